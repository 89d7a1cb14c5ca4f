"""What training can be asked for: parts of batches, early stopping, a warm start."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from recap_model import RecapBatch, RecapConfig
from recap_model.data.dataset.prefetch import Prefetcher
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.model.create_ranking_model import build_model
from recap_model.training import Progress, TrainState, mean_losses, train
from recap_model.training.warm_start import warm_start
from tests.recap_model.training.few_rows import FewRows, new_module, trained
from tests.tiny import tiny_config


class HeldOut(FewRows):
    """Labels that no input tells of, so that a model that learns the training rows gets worse on them."""

    def batches(self, epoch: int, skip: int = 0) -> Iterator[RecapBatch]:
        random = torch.Generator().manual_seed(0)
        labels = (torch.rand(self.all.labels.shape, generator=random) < 0.5).float()
        yield RecapBatch(**{**self.all.tensors(), "labels": labels})


class FewLabels(FewRows):
    """One task's labels are missing but in a batch's last rows, and weights differ."""

    def batches(self, epoch: int, skip: int = 0) -> Iterator[RecapBatch]:
        for batch in super().batches(epoch, skip):
            labels = batch.labels.clone()
            labels[: len(labels) - 5, -1] = torch.nan
            random = torch.Generator().manual_seed(7)
            weights = torch.rand(labels.shape, generator=random) * (0.5 + torch.arange(len(labels)))[:, None]
            yield RecapBatch(**{**batch.tensors(), "labels": labels, "weights": weights})


def stopped_early(**training: Any) -> tuple[TrainState, list[Progress]]:
    early = {"every_steps": 5, "patience": 2}
    config = tiny_config(training={"batch_size": 32, "epochs": 40, "early_stopping": early, **training})
    reports: list[Progress] = []
    torch.manual_seed(0)
    return train(new_module(config), FewRows(), config, reports.append, held_out=HeldOut()), reports


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_of_a_batch_make_the_step_of_the_whole(parts: int):
    whole, _ = trained()
    divided, _ = trained(micro_batches=parts)
    for left, right in zip(whole.module.parameters(), divided.module.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("normalise", [False, True])
def test_parts_in_which_a_task_has_few_labels_make_the_step_of_the_whole(normalise: bool):
    section = tiny_config().model.model_dump(exclude_none=True) | {"loss": {"normalise": normalise}}
    found = []
    for parts in (1, 4):
        config = tiny_config(
            model=section, training={"batch_size": 32, "max_steps": 1, "micro_batches": parts}
        )
        torch.manual_seed(0)
        module = new_module(config)
        train(module, FewLabels(), config, lambda progress: None)
        found.append(module)
    whole, divided = ([parameter.grad for parameter in module.parameters()] for module in found)
    for left, right in zip(whole, divided, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


def test_early_stopping_ends_with_the_weights_of_the_lowest_held_out_loss():
    state, reports = stopped_early()
    assert state.stopping is not None
    assert state.step < 40 * 4
    assert state.step == state.stopping.step + 2 * 5
    assert mean_losses(state.module, HeldOut())["loss"] == pytest.approx(state.stopping.loss)
    assert reports[-1].held_out_loss is not None
    assert reports[-1].held_out_loss > state.stopping.loss


def test_early_stopping_looks_at_the_average_where_training_ends_with_it():
    state, _ = stopped_early(ema_decay=0.9)
    assert state.stopping is not None
    assert mean_losses(state.module, HeldOut())["loss"] == pytest.approx(state.stopping.loss)


def test_batches_made_ahead_are_the_same_and_errors_come_where_they_were_due():
    class Broken(FewRows):
        def batches(self, epoch: int, skip: int = 0) -> Iterator[RecapBatch]:
            yield from super().batches(epoch, skip)
            raise ValueError("file truncated")

    ahead = Prefetcher(FewRows())
    for left, right in zip(ahead.batches(1, 2), FewRows().batches(1, 2), strict=True):
        assert torch.equal(left.continuous, right.continuous)
    seen = []
    with pytest.raises(ValueError, match="file truncated"):
        seen += [len(batch) for batch in Prefetcher(Broken()).batches(0)]
    endless = Prefetcher(FewRows(), depth=1).batches(0)
    next(endless)
    endless.close()


def test_a_warm_start_gives_every_weight_and_batch_norm_but_no_statistic():
    config = with_z_scores()
    spec = {"continuous": 3, "binary": 1, "discrete": 2, "user_embedding": 4}
    old, new = build_model(spec, config), build_model(spec, config)
    old.set_statistics(statistics(mean=5.0))
    new.set_statistics(statistics(mean=7.0))
    assert warm_start(new, old) == []
    for (name, left), right in zip(new.named_parameters(), old.parameters(), strict=True):
        assert torch.equal(left, right), name
    means = [tensor for name, tensor in new.named_buffers() if name.endswith("mean")]
    assert [mean.tolist() for mean in means] == [[7.0] * 3]


def test_a_warm_start_finds_an_ids_entry_in_a_vocabulary_that_has_changed():
    config = with_z_scores()
    content = config.model_dump()
    table = {"name": "topic", "num_embeddings": 4, "embedding_dim": 3, "index": 1, "min_count": 1}
    content["model"]["small_embeddings"] = {"tables": [table]}
    config = RecapConfig.model_validate(content)
    spec = {"continuous": 3, "binary": 1, "discrete": 2, "user_embedding": 4}
    old, new = build_model(spec, config), build_model(spec, config)
    old.set_statistics(statistics(ids={10: 3, 20: 2, 30: 1}))
    new.set_statistics(statistics(ids={20: 3, 25: 2, 30: 1}))
    tables_before = new.inputs.small_embeddings.weight_of(0).clone()
    warm_start(new, old)
    theirs, ours = old.inputs.small_embeddings.weight_of(0), new.inputs.small_embeddings.weight_of(0)
    assert torch.equal(ours[[0, 1, 3]], theirs[[0, 2, 3]])
    assert torch.equal(ours[2], tables_before[2])


@pytest.mark.parametrize(("hashed", "size", "fits"), [(True, 4, True), (True, 5, False), (False, 4, False)])
def test_a_warm_start_takes_hashed_entries_from_a_table_that_hashes_alike_alone(hashed, size, fits):
    def model(size: int, hashed: bool):
        content = tiny_config().model_dump()
        table = {"name": "t", "num_embeddings": size, "embedding_dim": 3, "index": 1, "hash": hashed}
        content["model"]["small_embeddings"] = {"tables": [table]}
        return build_model(spec, RecapConfig.model_validate(content))

    spec = {"continuous": 3, "binary": 1, "discrete": 2, "user_embedding": 4}
    old, new = model(size, hashed), model(4, True)
    stays = warm_start(new, old)
    assert ("inputs.small_embeddings.t" in stays) != fits
    tables = [part.inputs.small_embeddings.weight_of(0) for part in (new, old)]
    assert torch.equal(tables[0], tables[1][:4]) == fits


def test_a_warm_start_says_what_stays_new():
    spec = {"continuous": 3, "binary": 1, "discrete": 2, "user_embedding": 4}
    old, new = build_model(spec, tiny_config()), build_model(spec | {"continuous": 5}, tiny_config())
    first = "net.backbone"
    assert [name.startswith(first) and name.endswith("weight") for name in warm_start(new, old)] == [True]


def with_z_scores() -> RecapConfig:
    content = tiny_config().model_dump()
    content["model"]["featurization_config"] = {"z_score_log_config": {"clip_magnitude": 5.0}}
    return RecapConfig.model_validate(content)


def statistics(mean: float = 0.0, ids: dict[int, int] | None = None) -> FeatureStatistics:
    return FeatureStatistics(
        log_mean=[mean] * 3, log_std=[1.0] * 3, vocabularies={"topic": ids} if ids else {}
    )
