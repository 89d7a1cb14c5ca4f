"""Validate a batch's groups: names, shapes and dtypes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from recap_model.config.data.features import DENSE_GROUPS
from recap_model.config.data.sequences import LENGTH
from recap_model.config.data.sequences import Sequence as SequenceSchema
from recap_model.data.dataset.batch import RecapBatch

_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_FLAGS = (*_FLOATS, torch.bool, torch.uint8, torch.int8)
_IDS = (torch.int64,)
_ID_KINDS = ("id", "category")


def validate_batch(
    batch: RecapBatch,
    widths: Mapping[str, int],
    sparse: Sequence[str],
    sequences: Mapping[str, SequenceSchema],
    dtype: torch.dtype,
) -> RecapBatch:
    """Validate the dense groups of ``widths``, the lists ``sparse`` and ``sequences``; cast all but ids to ``dtype``.

    Raises:
        ValueError: a group is missing, or has another shape or dtype; it names the group, what was expected
            and what was given.
    """
    groups = batch.tensors()
    rows: int | None = None
    changed: dict[str, Any] = {}
    for name, width in widths.items():
        role, _, is_ids = DENSE_GROUPS[name]
        dtypes = _IDS if is_ids else _FLAGS if role == "binary" else _FLOATS
        tensor = _validate_group(name, groups.get(name), width, rows, dtypes)
        rows = tensor.shape[0]
        changed[name] = tensor if is_ids else tensor.to(dtype)
    lists = batch.sparse or {}
    for name in sparse:
        rows = _validate_group(f"sparse.{name}", lists.get(name), None, rows, _IDS).shape[0]
    if sequences:
        changed["sequences"] = _validate_sequences(batch, sequences, rows, dtype)
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
        raise ValueError(f"{expected} of {_dtype_names(dtypes)}, got {_dtype_names([tensor.dtype])}")
    return tensor


def _validate_sequences(
    batch: RecapBatch, sequences: Mapping[str, SequenceSchema], rows: int | None, dtype: torch.dtype
) -> dict[str, dict[str, Tensor]]:
    """The columns of ``sequences``, cast; as many histories as rows, unless there is a ``history_row``."""
    histories = rows
    if batch.history_row is not None:
        _check_shape("history_row", batch.history_row, (rows,), ("rows",), _IDS)
        histories = None
    changed: dict[str, dict[str, Tensor]] = {}
    for name, schema in sequences.items():
        given = (batch.sequences or {}).get(name, {})
        lengths = _check_shape(f"{name}.{LENGTH}", given.get(LENGTH), (histories,), ("histories",), _IDS)
        histories, steps = lengths.shape[0], None
        changed[name] = {LENGTH: lengths}
        for key, column in schema.columns.items():
            is_id = column.kind in _ID_KINDS
            shape = (histories, steps, *([len(column.values)] if column.values else []))
            dims = ("histories", f"length of at most {schema.max_length}", "actions")
            tensor = _check_shape(f"{name}.{key}", given.get(key), shape, dims, _IDS if is_id else _FLOATS)
            steps = tensor.shape[1]
            changed[name][key] = tensor if is_id else tensor.to(dtype)
        if steps is not None and steps > schema.max_length:
            raise ValueError(
                f"{name}: histories of {steps} events; max_length is {schema.max_length}, so give the newest ones"
            )
    return changed


def _check_shape(
    name: str,
    tensor: Tensor | None,
    shape: Sequence[int | None],
    dims: Sequence[str],
    dtypes: tuple[torch.dtype, ...],
) -> Tensor:
    """A tensor of the shape, in which None is any size, which errors call as ``dims`` does."""
    sizes = ", ".join(dim if size is None else str(size) for size, dim in zip(shape, dims, strict=False))
    expected = f"expected shape ({sizes}) of {_dtype_names(dtypes)}"
    if tensor is None:
        raise ValueError(f"{name}: missing in the batch; {expected}")
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name}: {expected}, got a {type(tensor).__name__} that is no tensor")
    fits = tensor.dim() == len(shape) and all(
        size is None or size == given for size, given in zip(shape, tensor.shape, strict=True)
    )
    if not fits or tensor.dtype not in dtypes:
        raise ValueError(f"{name}: {expected}, got {tuple(tensor.shape)} of {_dtype_names([tensor.dtype])}")
    return tensor


def _dtype_names(dtypes: Sequence[torch.dtype]) -> str:
    return ", ".join(str(kind).removeprefix("torch.") for kind in dtypes)
