"""Export the model as a torch program or an ONNX graph, from features to calibrated probabilities and the score."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from recap_model.config.data.features import DENSE_GROUPS
from recap_model.config.data.sequences import LENGTH
from recap_model.data.dataset.batch import RecapBatch
from recap_model.export.metadata import HISTORY_ROW, onnx_metadata
from recap_model.model.ranking_model import MultiTaskRankingModel

OPSET = 20
"""Of the ONNX graph."""

_EXAMPLE_ROWS = 3
_EXAMPLE_LIST = 2
_EXAMPLE_HISTORIES = 5
_EXAMPLE_EVENTS = 7


class ByGroup(nn.Module):
    """A model on a plain dictionary of groups, id lists and columns of sequences, each by its own name."""

    def __init__(self, model: MultiTaskRankingModel):
        super().__init__()
        self.model = model

    def forward(self, groups: dict[str, Tensor]) -> dict[str, Tensor]:
        """Groups as `RecapBatch` has them to what the model returns for them."""
        sparse = {name: groups[name] for name in self.model.inputs.sparse}
        dense = {name: groups[name] for name in self.model.inputs.widths}
        sequences = {
            name: {key: groups[sequence_input(name, key)] for key in (*schema.columns, LENGTH)}
            for name, schema in self.model.inputs.schemas.items()
        }
        return self.model(
            RecapBatch(
                **dense,
                sparse=sparse or None,
                sequences=sequences or None,
                history_row=groups[HISTORY_ROW] if sequences else None,
            )
        )


def input_names(model: MultiTaskRankingModel) -> list[str]:
    """The groups that an exported graph takes, in order."""
    sequences = [
        sequence_input(name, key)
        for name, schema in model.inputs.schemas.items()
        for key in (*schema.columns, LENGTH)
    ]
    rows = [HISTORY_ROW] if sequences else []
    return [*model.inputs.widths, *model.inputs.sparse, *sequences, *rows]


def sequence_input(name: str, key: str) -> str:
    """The input of an exported graph for a column of a sequence, or its lengths."""
    return f"{name}.{key}"


def export_program(model: MultiTaskRankingModel) -> ExportedProgram:
    """The model in evaluation mode as a program of torch alone, for any number of rows.

    The program's module maps a dictionary of groups, each as in `RecapBatch`, to the outputs of the model; every
    column of id lists may be of another length. A sequence has an input ``NAME.KEY`` for each of its columns and one
    for its lengths, of any number of histories; ``history_row`` says which of them each row reads. It holds the
    weights and the fitted calibrators; save it with ``torch.export.save``.
    """
    was_training = model.training
    rows = Dim("rows", min=1)
    shapes: dict[str, dict[int, Dim]] = {name: {0: rows} for name in model.inputs.widths}
    for number, name in enumerate(model.inputs.sparse):
        shapes[name] = {0: rows, 1: Dim(f"longest_list_{number}", min=1)}
    shapes |= _sequence_shapes(model, rows)
    try:
        return torch.export.export(ByGroup(model.eval()), (_example(model),), dynamic_shapes=(shapes,))
    finally:
        model.train(was_training)


def _sequence_shapes(model: MultiTaskRankingModel, rows: Dim) -> dict[str, dict[int, Dim]]:
    shapes: dict[str, dict[int, Dim]] = {}
    histories = Dim("histories", min=1)
    for number, (name, schema) in enumerate(model.inputs.schemas.items()):
        events = Dim(f"events_{number}", min=1, max=schema.max_length)
        shapes |= {sequence_input(name, key): {0: histories, 1: events} for key in schema.columns}
        shapes[sequence_input(name, LENGTH)] = {0: histories}
    return shapes | ({HISTORY_ROW: {0: rows}} if shapes else {})


def export_onnx(
    model: MultiTaskRankingModel, path: str | Path, origin: Mapping[str, str] | None = None
) -> None:
    """Write the model as one ONNX file, atomically.

    It has one input for each of `input_names`: float32, ids int64; and one output for each that the model
    returns, by name: ``logits``, ``probabilities``, ``calibrated_probabilities`` (rows, tasks), ``score`` (rows,).
    Its metadata says how a row of the log becomes these inputs; see `onnx_metadata`.

    Args:
        origin: what the model was trained from, for the metadata.

    Raises:
        ImportError: the extra ``onnx`` is not installed.
    """
    if find_spec("onnxscript") is None:
        raise ImportError("ONNX needs packages that are not installed: pip install 'recap[onnx]'")
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    with _quiet_exporter():
        program = export_program(model)
        graph = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=input_names(model),
            output_names=list(program.module()(_example(model))),
            verbose=False,
        )
        assert graph is not None
        graph.model.metadata_props.update(onnx_metadata(model, OPSET, origin or {}))
        try:
            graph.save(str(partial), external_data=False)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without torch's words on packages that we do not use, and on parts of itself that it deprecates."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        registration.setLevel(level)


def _example(model: MultiTaskRankingModel) -> dict[str, Tensor]:
    """Rows of nothing, on the model's device."""
    device = model.score_weights.device
    groups = {
        name: torch.zeros(
            _EXAMPLE_ROWS,
            width,
            device=device,
            dtype=torch.int64 if DENSE_GROUPS[name].is_ids else model.score_weights.dtype,
        )
        for name, width in model.inputs.widths.items()
    }
    # Of different lengths, as lists are: of one length they would be taken to be always so.
    groups |= {
        name: torch.zeros(_EXAMPLE_ROWS, _EXAMPLE_LIST + number, dtype=torch.int64, device=device)
        for number, name in enumerate(model.inputs.sparse)
    }
    return groups | _example_histories(model, device)


def _example_histories(model: MultiTaskRankingModel, device: torch.device) -> dict[str, Tensor]:
    groups: dict[str, Tensor] = {}
    for number, (name, schema) in enumerate(model.inputs.schemas.items()):
        shape = (_EXAMPLE_HISTORIES, min(_EXAMPLE_EVENTS + number, schema.max_length))
        for key, column in schema.columns.items():
            is_id = column.kind in ("id", "category")
            groups[sequence_input(name, key)] = torch.zeros(
                (*shape, len(column.values)) if column.values else shape,
                dtype=torch.int64 if is_id else model.score_weights.dtype,
                device=device,
            )
        groups[sequence_input(name, LENGTH)] = torch.ones(
            _EXAMPLE_HISTORIES, dtype=torch.int64, device=device
        )
    if groups:
        groups[HISTORY_ROW] = torch.zeros(_EXAMPLE_ROWS, dtype=torch.int64, device=device)
    return groups
