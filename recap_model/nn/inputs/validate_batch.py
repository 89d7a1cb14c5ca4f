"""Validate a batch's groups: names, shapes and dtypes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from recap_model.data.dataset.batch import RecapBatch

_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_DTYPES = {
    "binary": (*_FLOATS, torch.bool, torch.uint8, torch.int8),
    "discrete": (torch.int64,),
    "sparse": (torch.int64,),
}


def validate_batch(
    batch: RecapBatch, widths: Mapping[str, int], sparse: Sequence[str], dtype: torch.dtype
) -> RecapBatch:
    """Validate the dense groups of ``widths`` and the lists ``sparse``; cast all but ids to ``dtype``.

    Raises:
        ValueError: a group is missing, or has another shape or dtype; it names the group, what was expected
            and what was given.
    """
    groups = batch.tensors()
    rows: int | None = None
    changed: dict[str, Any] = {}
    for name, width in widths.items():
        tensor = _validate_group(name, groups.get(name), width, rows, _DTYPES.get(name, _FLOATS))
        rows = tensor.shape[0]
        changed[name] = tensor if name == "discrete" else tensor.to(dtype)
    lists = batch.sparse or {}
    for name in sparse:
        rows = _validate_group(f"sparse.{name}", lists.get(name), None, rows, _DTYPES["sparse"]).shape[0]
    return replace(batch, **changed)


def _validate_group(
    name: str, tensor: Tensor | None, width: int | None, rows: int | None, dtypes: tuple[torch.dtype, ...]
) -> Tensor:
    columns = "longest list" if width is None else width
    expected = f"{name}: expected shape (rows, {columns})"
    if tensor is None:
        raise ValueError(f"{name}: missing in the batch; expected shape (rows, {columns})")
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{expected}, got a {type(tensor).__name__} that is no tensor")
    if tensor.dim() != 2 or (width is not None and tensor.shape[1] != width):
        raise ValueError(f"{expected}, got {tuple(tensor.shape)}")
    if rows is not None and tensor.shape[0] != rows:
        raise ValueError(
            f"{name}: expected shape ({rows}, {columns}) as the other groups, got {tuple(tensor.shape)}"
        )
    if tensor.dtype not in dtypes:
        names = ", ".join(str(kind).removeprefix("torch.") for kind in dtypes)
        raise ValueError(f"{expected} of {names}, got {str(tensor.dtype).removeprefix('torch.')}")
    return tensor
