"""Bodies of requests and responses: MLflow's JSON protocol, Arrow IPC streams and Parquet."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from recap_model.config.reading.errors import in_one_line

JSON, ARROW, PARQUET = (
    "application/json",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
)
FORMATS = {JSON: "json", ARROW: "arrow", PARQUET: "parquet"}
PARAMS_KEY = b"params"
"""Key of an Arrow schema's metadata with the parameters as JSON."""

_INPUTS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_PARAMS = ("weights", "history")


class Request(NamedTuple):
    """Rows by column, and the parameters of `RecapPyfunc.predict`."""

    rows: pa.Table | Mapping[str, Sequence[Any]]
    params: dict[str, Any]


def read_request(body: bytes, content_type: str) -> Request:
    """Parse a body of one of the `FORMATS`. Raises ValueError, one line, if it is not of that format."""
    if content_type == JSON:
        return _read_json(body)
    try:
        if content_type == PARQUET:
            table = pq.read_table(pa.BufferReader(body))
        else:
            table = pa.ipc.open_stream(body).read_all()
        # Offsets of a body are anybody's; unchecked ones may lead out of its buffers.
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"body: is not {FORMATS[content_type]}: {in_one_line(error)}") from None
    metadata = table.schema.metadata or {}
    params = _parse(metadata[PARAMS_KEY], "params") if PARAMS_KEY in metadata else {}
    return Request(table, _check_params(params))


def write_scores(scores: NDArray[np.float32], outputs: list[str], content_type: str) -> bytes:
    """Scores, (rows, outputs), as JSON records, as MLflow's server writes them, or as an Arrow stream."""
    if content_type == JSON:
        return to_json({"predictions": [dict(zip(outputs, row, strict=True)) for row in scores.tolist()]})
    batch = pa.record_batch([pa.array(column) for column in scores.T], names=outputs)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def write_error(code: str, message: str) -> bytes:
    """An error as MLflow's server writes it, without a stack trace."""
    return json.dumps({"error_code": code, "message": message}).encode()


def _read_json(body: bytes) -> Request:
    content = _parse(body, "body")
    if not isinstance(content, dict):
        raise ValueError(f"body: is a JSON {_kind(content)}; give an object with one of {', '.join(_INPUTS)}")
    given = [key for key in _INPUTS if key in content]
    if len(given) != 1:
        raise ValueError(f"body: has {' and '.join(given) or 'no rows'}; give one of {', '.join(_INPUTS)}")
    key = given[0]
    read = _read_split if key == "dataframe_split" else _read_columns_or_records
    return Request(read(content[key], key), _check_params(content.get("params")))


def _parse(text: bytes, what: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        raise ValueError(f"{what}: is not JSON: {in_one_line(error)}") from None


def _check_params(params: Any) -> dict[str, Any]:
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise ValueError(f"params: is a JSON {_kind(params)}; give an object with {' or '.join(_PARAMS)}")
    for name in params:
        if name not in _PARAMS:
            raise ValueError(f"params: unknown parameter {name!r}; parameters: {', '.join(_PARAMS)}")
    return params


def _read_split(split: Any, key: str) -> dict[str, Sequence[Any]]:
    if not (isinstance(split, dict) and isinstance(split.get("columns"), list)):
        raise ValueError(f"{key}: give an object with columns and data")
    names, rows = split["columns"], split.get("data")
    if not isinstance(rows, list):
        raise ValueError(f"{key}.data: is a JSON {_kind(rows)}; give a list of rows")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise ValueError(f"{key}.data: row {number} is no list of {len(names)} values, as columns has")
    for number, name in enumerate(names):
        if not isinstance(name, str) or name in names[:number]:
            raise ValueError(f"{key}.columns: {name!r} is no text, or there twice")
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return dict(zip(names, map(list, columns), strict=True))


def _read_columns_or_records(rows: Any, key: str) -> dict[str, Sequence[Any]]:
    if isinstance(rows, dict) and key == "inputs":
        lengths = {name: len(column) for name, column in rows.items() if isinstance(column, list)}
        for name in rows:
            if lengths.get(name, -1) != next(iter(lengths.values()), 0):
                raise ValueError(f"{key}: column {name} is no list as long as the other columns'")
        return rows
    if not isinstance(rows, list):
        raise ValueError(f"{key}: is a JSON {_kind(rows)}; give a list of rows, each an object")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"{key}: row {number} is a JSON {_kind(row)}; give an object of column: value")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _kind(value: Any) -> str:
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")
