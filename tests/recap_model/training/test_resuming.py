"""Training that was broken off, and goes on from a checkpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from recap_model import RecapBatch, RecapConfig
from recap_model.training import (
    Checkpoints,
    ProcessGroup,
    Progress,
    TrainingInterruptedError,
    TrainState,
    train,
)
from tests.recap_model.training.few_rows import FewRows, new_module, weights_of
from tests.tiny import tiny_config

TOWER = {"mlp_config": {"layer_sizes": [8, 1], "batch_norm": {"momentum": 0.1}, "dropout": {"rate": 0.3}}}


def config_of(**training: Any) -> RecapConfig:
    """A model with drop-out and batch norm, a schedule, clipping and an average: all that has a state."""
    ramp = {"linear_ramp_to_constant": {"learning_rate": 0.01, "num_ramp_steps": 10}}
    model = {
        "featurization_config": {"double_norm_log_config": {"clip_magnitude": 5.0}},
        "multi_task_type": "share_all",
        "backbone": {"mlp_config": {"layer_sizes": [16], "final_layer_activation": True}},
        "tower": TOWER,
    }
    settings = {"batch_size": 32, "epochs": 3, "log_every_steps": 5, "gradient_clip_norm": 0.5}
    return tiny_config(
        model=model,
        optimizer={"single_task_learning_rate": ramp},
        training={**settings, "ema_decay": 0.9, **training},
    )


class HeldOut(FewRows):
    """Rows to look at, always in the same order."""

    def batches(self, epoch: int, skip: int = 0) -> Iterator[RecapBatch]:
        yield self.all[slice(0, 50)]


def run(
    config: RecapConfig, folder: Path | None = None, stop_after: int | None = None
) -> tuple[TrainState, list[Progress]]:
    """Train, from a checkpoint if there is one; ``stop_after`` so many steps of this run."""
    reports: list[Progress] = []
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == stop_after

    torch.manual_seed(config.training.seed)
    state = train(
        new_module(config),
        FewRows(),
        config,
        reports.append,
        held_out=HeldOut() if config.training.early_stopping else None,
        checkpoints=None if folder is None else Checkpoints(folder),
        stop=stop,
    )
    return state, reports


def losses(reports: list[Progress]) -> list[tuple[int, float, dict[str, float]]]:
    return [(report.step, report.loss, report.losses) for report in reports]


@pytest.mark.parametrize("after", [1, 4, 5, 11])
def test_training_in_two_goes_ends_with_the_same_bits_and_the_same_reports(after: int, tmp_path: Path):
    config = config_of()
    whole, expected = run(config)
    with pytest.raises(TrainingInterruptedError, match=f"after step {after}; the checkpoint in .* has all"):
        run(config, tmp_path, stop_after=after)
    resumed, reports = run(config, tmp_path)
    assert weights_of(resumed) == weights_of(whole)
    assert losses(reports) == losses(expected)
    assert (resumed.step, resumed.rows, resumed.epoch) == (12, 384, 2)


def test_early_stopping_and_parts_of_batches_go_on_too(tmp_path: Path):
    early = {"every_steps": 2, "patience": 4}
    config = config_of(epochs=30, early_stopping=early, micro_batches=2)
    whole, expected = run(config)
    for _ in range(3):
        with pytest.raises(TrainingInterruptedError):
            run(config, tmp_path, stop_after=7)
    resumed, reports = run(config, tmp_path)
    assert weights_of(resumed) == weights_of(whole)
    assert losses(reports) == losses(expected)


def test_embedding_tables_that_learn_by_themselves_go_on_too(tmp_path: Path):
    config = config_of()
    content = config.model_dump()
    table = {"name": "topic", "num_embeddings": 5, "embedding_dim": 3, "index": 1}
    content["model"]["small_embeddings"] = {"tables": [table]}
    content["optimizer"]["embeddings"] = {"learning_rate": {"constant": 0.1}}
    config = RecapConfig.model_validate(content)
    whole, _ = run(config)
    with pytest.raises(TrainingInterruptedError):
        run(config, tmp_path, stop_after=5)
    assert weights_of(run(config, tmp_path)[0]) == weights_of(whole)


def test_the_newest_few_checkpoints_stay_and_a_damaged_one_is_passed_over(tmp_path: Path):
    config = config_of(ema_decay=None, checkpoint={"every_steps": 3, "keep": 2})
    whole, _ = run(config, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["000000000009.checkpoint", "000000000012.checkpoint"]
    newest = tmp_path / names[1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    saved = Checkpoints(tmp_path).read_newest()
    assert saved is not None
    assert saved["position"]["step"] == 9
    newest.write_bytes(content[: len(content) // 2])
    assert weights_of(run(config, tmp_path)[0]) == weights_of(whole)


def test_a_whole_checkpoint_of_another_version_says_so_and_what_to_do(tmp_path: Path):
    config = config_of(checkpoint={"every_steps": 3})
    run(config, tmp_path)
    newest = max(tmp_path.iterdir())
    content = torch.load(newest, weights_only=True)
    del content["position"]
    torch.save(content, newest)
    with pytest.raises(
        ValueError, match=r"its newest checkpoint is not of this training .*; remove the folder"
    ):
        run(config, tmp_path)


def test_a_checkpoint_that_cannot_be_written_says_where(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/run: a checkpoint cannot be written \(.*\); make room there"):
        run(config_of(checkpoint={"every_steps": 3}), tmp_path / "file" / "run")


def test_reading_a_checkpoint_runs_no_code_of_its_author(tmp_path: Path):
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"module": Harmful()}, tmp_path / "000000000001.checkpoint")
    assert Checkpoints(tmp_path).read_newest() is None
    assert not (tmp_path / "touched").exists()


class Apart(ProcessGroup):
    """One of two processes, the other of which sees a checkpoint of step 2."""

    def gather(self, value: Any) -> list[Any]:
        return [value, 2]


def test_processes_that_see_different_checkpoints_end_instead_of_waiting_for_each_other(tmp_path: Path):
    config = config_of()
    with pytest.raises(
        ValueError, match=r"the processes see those of steps 0 to 2; they are to lie in one folder"
    ):
        train(
            new_module(config),
            FewRows(),
            config,
            lambda progress: None,
            checkpoints=Checkpoints(tmp_path),
            process_group=Apart(),
        )
