"""Metadata of an exported ONNX file: everything needed to score a row of the log.

Each entry is JSON under a key of its own; ``docs/serving.md`` has a program that reads them:

| key | |
|---|---|
| ``recap.inputs`` | the graph's inputs in order: their columns, and what stands for a missing value |
| ``recap.derived`` | columns that are computed from others, as `DerivedColumn` |
| ``recap.text_ids`` | how a word becomes an id |
| ``recap.tasks``, ``recap.score_weights`` | the columns of the probabilities, and their weights in the score |
| ``recap.score_terms`` | further terms of the score, if there are any: a weight times the product ``of`` tasks |
| ``recap.versions``, ``recap.origin`` | of the packages that wrote the file, and what the model was trained from |
"""

import json
import math
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from recap_model.config import RecapConfig
from recap_model.config.data.features import DENSE_GROUPS, FeaturesConfig, ListColumn
from recap_model.config.data.sequences import LENGTH
from recap_model.data.log.id_hashing import MISSING_ID, WORD_BITS
from recap_model.model.ranking_model import MultiTaskRankingModel

FORMAT = "recap-onnx/1"

HISTORY_ROW = "history_row"
"""The input that says which history each row reads."""

_PREFIX = "recap."
_MISSING_EVENT: dict[str, int] = {"id": MISSING_ID, "category": MISSING_ID, "actions": 0}
_HASHED_BITS = 64


def onnx_metadata(model: MultiTaskRankingModel, opset: int, origin: Mapping[str, str]) -> dict[str, str]:
    """The metadata of a model's graph; a model without a feature schema has its groups' widths for their columns."""
    features = model.config.features if isinstance(model.config, RecapConfig) else None
    weights = model.score_weights.tolist()
    entries: dict[str, Any] = {
        "format": FORMAT,
        "inputs": list(_inputs(model, features)),
        "derived": {name: column.model_dump() for name, column in features.derived.items()}
        if features
        else {},
        "text_ids": {
            "hash": "blake2b",
            "digest_size": _HASHED_BITS // 8,
            "byteorder": "little",
            "shift_right": _HASHED_BITS - WORD_BITS,
        },
        "tasks": model.tasks,
        "score_weights": dict(zip(model.tasks, weights, strict=True)),
        **_score_terms(model),
        "versions": {**_releases(), "opset": opset},
        "origin": dict(origin),
    }
    return {f"{_PREFIX}{key}": json.dumps(value) for key, value in entries.items()}


def _score_terms(model: MultiTaskRankingModel) -> dict[str, dict[str, Any]]:
    if not isinstance(model.config, RecapConfig) or not model.score_terms:
        return {}
    return {"score_terms": {name: term.model_dump() for name, term in model.config.score_terms.items()}}


def _inputs(model: MultiTaskRankingModel, features: FeaturesConfig | None) -> Iterator[dict[str, Any]]:
    for group, width in model.inputs.widths.items():
        value = getattr(features, group) if features else None
        missing = DENSE_GROUPS[group].missing
        described = {"name": group, "width": width, "missing": "nan" if math.isnan(missing) else int(missing)}
        if isinstance(value, ListColumn):
            yield {**described, "list": value.column, "list_width": value.width, "places": value.slices}
        else:
            yield {**described, "columns": value}
    for name in model.inputs.sparse:
        longest = features.longest_list if features else None
        yield {"name": name, "ids": name, "longest": longest, "missing": MISSING_ID}
    yield from _sequence_inputs(model, features)


def _sequence_inputs(
    model: MultiTaskRankingModel, features: FeaturesConfig | None
) -> Iterator[dict[str, Any]]:
    for name, schema in model.inputs.schemas.items():
        about = {"sequence": name, "longest": schema.max_length, "order": schema.order}
        for key, column in schema.columns.items():
            described = {"name": f"{name}.{key}", **about, "column": column.column, "kind": column.kind}
            if column.values is not None:
                described["values"] = column.values
            if column.kind == "time" and features is not None:
                described["impressed"] = features.timestamps.impressed
            yield {**described, "missing": _MISSING_EVENT.get(column.kind, "nan")}
        measured = next(iter(schema.columns.values())).column
        yield {"name": f"{name}.{LENGTH}", **about, "column": measured, "kind": LENGTH}
    if model.inputs.schemas:
        yield {"name": HISTORY_ROW, "kind": HISTORY_ROW}


def _releases() -> dict[str, str]:
    releases = {}
    for package in ("recap", "torch"):
        try:
            releases[package] = version(package)
        except PackageNotFoundError:  # the library may be used from a folder
            continue
    return releases
