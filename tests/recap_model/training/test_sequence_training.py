"""Training with histories: what was planted in them is learned, and training resumes with the same bits."""

from pathlib import Path
from typing import Any

import pytest
import torch

from recap_model import RecapConfig
from recap_model.optim import build_optimizer
from recap_model.training import Checkpoints, TrainingInterruptedError, TrainState, train
from tests.recap_model.sequences import READERS, histories, sequence_config, sequence_model
from tests.recap_model.training.few_rows import FewRows, new_module, weights_of


class PlantedRows(FewRows):
    """128 rows, whose first label is whether the candidate's author is among the authors of the history."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(1)
        sides = histories(128, 8, seed=2)
        sides["author"] = sides["author"].where(sides["author"] < 0, sides["author"] % 5)
        discrete = torch.stack(
            [torch.randint(0, 900, (128,), generator=random), torch.randint(0, 5, (128,), generator=random)],
            dim=1,
        )
        seen = (sides["author"] == discrete[:, 1:]).any(dim=1).float()
        labels = torch.stack([seen, torch.zeros(128)], dim=1)
        super().__init__(sequences={"history": sides}, discrete=discrete, labels=labels)  # type: ignore[arg-type]


OPTIMIZER = {"single_task_learning_rate": {"constant": 0.01}, "adam": {"weight_decay": 0.01}}
TABLES = {"embeddings": {"learning_rate": {"constant": 0.1}}}


def config_of(
    reader: str,
    optimizer: dict[str, Any] = OPTIMIZER | TABLES,
    tasks: dict[str, Any] | None = None,
    **training: Any,
) -> RecapConfig:
    return sequence_config(
        reader,
        optimizer=optimizer,
        **({"tasks": tasks} if tasks else {}),
        training={"batch_size": 32, "epochs": 3, "gradient_clip_norm": 1.0, "ema_decay": 0.9, **training},
    )


def trained(
    config: RecapConfig, folder: Path | None = None, stop_after: int = 0
) -> tuple[TrainState, list[float]]:
    losses: list[float] = []
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == stop_after

    torch.manual_seed(3)
    checkpoints = None if folder is None else Checkpoints(folder)
    state = train(
        new_module(config),
        PlantedRows(),
        config,
        lambda progress: losses.append(progress.losses["like"]),
        checkpoints=checkpoints,
        stop=stop,
    )
    return state, losses


@pytest.mark.parametrize("reader", READERS)
def test_training_goes_on_with_the_same_bits(reader: str, tmp_path: Path):
    config = config_of(reader, micro_batches=2)
    whole, _ = trained(config)
    with pytest.raises(TrainingInterruptedError):
        trained(config, tmp_path, stop_after=5)
    assert weights_of(trained(config, tmp_path)[0]) == weights_of(whole)


@pytest.mark.parametrize("reader", ["din", "transformer"])
def test_whether_a_candidate_is_in_the_history_is_learned(reader: str):
    _, losses = trained(config_of(reader, epochs=40, log_every_steps=4, ema_decay=None))
    assert losses[-1] < 0.35 < losses[0]


@pytest.mark.parametrize("reader", READERS)
def test_bf16_learns_as_float32(reader: str):
    _, exact = trained(config_of(reader, log_every_steps=1))
    state, rough = trained(config_of(reader, log_every_steps=1, precision="bf16"))
    assert {parameter.dtype for parameter in state.module.parameters()} == {torch.float32}
    assert rough != exact
    assert rough == pytest.approx(exact, abs=0.08)


# torch's own, when it loads its compiler
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.long
def test_a_compiled_net_reads_histories_as_a_plain_one():
    plain, _ = trained(config_of("transformer", OPTIMIZER))
    compiled, _ = trained(config_of("transformer", OPTIMIZER, compile=True))
    for left, right in zip(plain.module.parameters(), compiled.module.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("reader", READERS)
def test_tables_learn_by_their_own_rate_and_matrices_alone_decay(reader: str):
    model = sequence_model(reader)
    optimizer = build_optimizer(model, config_of(reader).optimizer)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {
        (bool(group.get("tables")), group.get("weight_decay", 0.0) > 0): set()
        for group in optimizer.param_groups
    }
    for group in optimizer.param_groups:
        kind = bool(group.get("tables")), group.get("weight_decay", 0.0) > 0
        groups[kind] |= {names[id(parameter)] for parameter in group["params"]}
    assert groups[True, False] == {
        f"inputs.shared_tables.tables.{name}.table.weight" for name in ("item", "author", "surface")
    }
    assert "inputs.sequences.history.encoder.projection.weight" in groups[False, True]
    assert "inputs.sequences.history.encoder.times.time.table.weight" in groups[False, False]
    assert not any(name.endswith(("bias", "norm.weight", "positions")) for name in groups[False, True])
    assert set(names.values()) == set().union(*groups.values())
    shared = model.parameters_by_task()[None]
    assert all(name in shared for name in names.values() if name.startswith("inputs."))


# torch's own, when it loads its compiler
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.slow
def test_a_compiled_net_with_tables_and_a_value_learns_what_a_plain_one_does():
    value = {"kind": "value", "loss": "tweedie", "cap": 30, "score_weight": 0.1}
    plain, compiled = (
        trained(config_of("mean", tasks={"like": {}, "reply": value}, compile=compiles))[0]
        for compiles in (False, True)
    )
    assert len(weights_of(plain)) == len(weights_of(compiled))
    for left, right in zip(plain.module.parameters(), compiled.module.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-2, atol=1e-3)
