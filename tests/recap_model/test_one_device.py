"""A training step of a model that is not on the CPU; torch's meta device stands for a GPU, and computes nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from recap_model import build_loss, build_optimizer, create_ranking_model, data_spec
from recap_model.config import RecapConfig, load_config
from recap_model.config.data.sequences import LENGTH, Sequence
from recap_model.data.dataset.batch import RecapBatch
from tests.benchmarks.random_sets import narrow_config
from tests.tiny import sparse_config

CONFIGS = sorted((Path(__file__).parents[2] / "pipeline" / "configs").glob("*.yaml"))


class OneDevice(TorchDispatchMode):
    """Fails at what would read tensors of two devices (a scalar may be the CPU's), or copy from one to the other."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        tensors = [one for one in tree_leaves((args, kwargs or {})) if isinstance(one, Tensor)]
        devices = {one.device.type for one in tensors if one.ndim or one.device.type != "cpu"}
        assert len(devices) < 2, f"{func} of tensors on {devices}"
        found = func(*args, **(kwargs or {}))
        given = {one.device.type for one in tree_leaves(found) if isinstance(one, Tensor)}
        assert not (devices and given) or given <= devices, f"{func} from {devices} to {given}"
        return found


def rows_of(config: RecapConfig, count: int) -> RecapBatch:
    groups = {
        name: torch.zeros(count, width, dtype=torch.int64 if name == "discrete" else torch.float32)
        for name, width in data_spec(config).items()
    }
    sparse = {name: torch.zeros(count, 3, dtype=torch.int64) for name in config.features.sparse}
    sequences = {name: events_of(one, count) for name, one in config.features.all_sequences().items()}
    labels = torch.zeros(count, len(config.tasks))
    return RecapBatch(
        **groups,
        sparse=sparse or None,
        sequences=sequences or None,
        labels=labels,
        weights=torch.ones_like(labels),
    )


def events_of(sequence: Sequence, count: int, length: int = 3) -> dict[str, Tensor]:
    events = {LENGTH: torch.full((count,), length)}
    for key, column in sequence.columns.items():
        is_id = column.kind in ("id", "category")
        widths = [len(column.values)] if column.values else []
        events[key] = torch.zeros(count, length, *widths, dtype=torch.int64 if is_id else torch.float32)
    return events


@pytest.mark.parametrize(
    "config",
    [
        *(pytest.param(load_config(path), id=path.stem) for path in CONFIGS),
        pytest.param(narrow_config("mmoe"), id="experts"),
        pytest.param(sparse_config(), id="lists"),
    ],
)
def test_a_step_needs_nothing_that_lies_on_the_cpu(config: RecapConfig, monkeypatch: pytest.MonkeyPatch):
    # There is no autocast of the meta device.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device=None: False)
    module = create_ranking_model(data_spec(config), config, "meta", build_loss(config))
    optimizer = build_optimizer(module, config.optimizer)
    rows = rows_of(config, 8).to("meta")
    with OneDevice():
        loss, outputs = module(rows)
        loss.backward()
        optimizer.step()
    assert {tensor.device.type for tensor in outputs.values() if isinstance(tensor, Tensor)} == {"meta"}
