"""Tables shared by two processes: the steps of one process that holds them whole, and checkpoints of either."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from recap_model import RecapConfig
from recap_model.distributed.sharded_tables import ShardingPlan, init_shard
from recap_model.training import ProcessGroup, TrainingInterruptedError
from tests.recap_model.distributed.sharded_training import SHARED, TABLES, config_of, run
from tests.servers import free_port

OPTIONS = {
    "gradient_clip_norm": 0.05,
    "ema_decay": 0.9,
    "early_stopping": {"every_steps": 2, "patience": 10},
}
# Torch adds sparse gradients of two parts of a batch up by entry where their readings happen to meet.
ALL_OPTIONS = {**OPTIONS, "micro_batches": 2}


def in_two(
    folder: Path, kind: str, config: RecapConfig, checkpoints: Path | str = "", stop_after: int = 0
) -> dict[str, Any]:
    """Train in two processes; returns the first one's weights, and the entries that each process held."""
    port, out = str(free_port()), folder / "out.pt"
    out.unlink(missing_ok=True)
    arguments = [kind, config.model_dump_json(exclude_none=True), str(checkpoints), str(stop_after), str(out)]
    command = [sys.executable, "-m", "tests.recap_model.distributed.sharded_training", *arguments]
    processes = []
    for rank in ("0", "1"):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}
        address = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        processes.append(subprocess.Popen(command, env={**os.environ, **place, **address}))
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    return torch.load(out) if out.is_file() else {}


def alone(config: RecapConfig, checkpoints: Path | None = None, stop_after: int | None = None) -> Any:
    return run(config, "replicated", checkpoints, stop_after, ProcessGroup())[0].module.state_dict()


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    ("kind", "embeddings", "training"),
    [
        ("row_wise", "rowwise_adagrad", {}),
        ("table_wise", "rowwise_adagrad", OPTIONS),
        ("row_wise", "sgd", OPTIONS),
        ("table_wise", None, {}),
        ("row_wise", None, ALL_OPTIONS),
    ],
)
def test_two_processes_that_share_tables_take_the_steps_of_one(
    kind: str, embeddings: str | None, training: dict[str, Any], tmp_path: Path
):
    config = config_of(embeddings, **training)
    found = in_two(tmp_path, kind, config)
    expected = alone(config)
    assert_same(found["weights"], expected)
    whole = [table["num_embeddings"] for table in (*TABLES, *SHARED.values())]
    assert [sum(entries) for entries in zip(*found["held"], strict=True)] == whole
    assert found["held"] == (
        [[106, 54, 28, 45], [105, 53, 27, 45]] if kind == "row_wise" else [[211, 0, 0, 90], [0, 107, 55, 0]]
    )


@pytest.mark.parametrize(
    ("first", "then"), [("row_wise", None), (None, "table_wise"), ("row_wise", "table_wise")]
)
@pytest.mark.parametrize("embeddings", ["rowwise_adagrad", None])
def test_a_checkpoint_of_two_processes_goes_on_in_one_and_back(
    first: str | None, then: str | None, embeddings: str | None, tmp_path: Path
):
    config, checkpoints = (
        config_of(embeddings, **(ALL_OPTIONS if embeddings is None else OPTIONS)),
        tmp_path / "checkpoints",
    )
    if first is None:
        with pytest.raises(TrainingInterruptedError):
            alone(config, checkpoints, stop_after=3)
    else:
        in_two(tmp_path, first, config, checkpoints, stop_after=3)
    assert len(list(checkpoints.iterdir())) == 1
    expected = alone(config)
    if then is None:
        assert_same(alone(config, checkpoints), expected)
    else:
        assert_same(in_two(tmp_path, then, config, checkpoints)["weights"], expected)


@given(st.integers(1, 3000), st.integers(1, 9), st.integers(1, 5))
def test_parts_of_a_table_start_as_the_whole(entries: int, width: int, size: int):
    torch.manual_seed(1)
    whole = nn.init.xavier_uniform_(torch.empty(entries, width))
    after = torch.rand(1)
    parts = []
    (bounds,) = ShardingPlan("row_wise", 0, size).bounds([(entries, width)])
    for each in bounds:
        torch.manual_seed(1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("recap_model.distributed.sharded_tables._CHUNK_NUMBERS", 512)
            parts.append(init_shard(entries, width, each))
        assert torch.equal(torch.rand(1), after)
    assert torch.equal(torch.cat(parts), whole)


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 8)), min_size=1, max_size=8), st.integers(1, 5)
)
def test_every_entry_is_held_once_and_no_process_holds_more_than_it_must(shapes, size):
    for kind in ("row_wise", "table_wise"):
        bounds = ShardingPlan(kind, 0, size).bounds(shapes)
        loads = [0] * size
        for (entries, width), held in zip(shapes, bounds, strict=True):
            assert sorted(entry for first, last in held for entry in range(first, last)) == list(
                range(entries)
            )
            for rank, (first, last) in enumerate(held):
                loads[rank] += (last - first) * width
        total = sum(entries * width for entries, width in shapes)
        largest = max(entries * width for entries, width in shapes)
        slack = largest if kind == "table_wise" else sum(width for _, width in shapes)
        assert max(loads) <= total / size + slack
