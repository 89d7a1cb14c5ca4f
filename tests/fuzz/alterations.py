"""Contents that are nearly right, drawn by hypothesis: of JSON, tables, checkpoints, and bytes of any kind."""

import copy
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis import strategies as st

_VALUES = st.one_of(
    st.sampled_from(
        [
            *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -(10**30), 0.5, 1e308),
            *(
                float("nan"),
                float("inf"),
                "",
                " ",
                "\x00",
                "a\nb",
                "é",
                "\ud800",
                "x" * 3000,
                "NaN",
                "1",
                "a.b",
            ),
            *("..", "../../etc/passwd", "/etc/passwd", "a/../../b", "__init__", "s3://b/../c"),
            *("file:///etc/passwd", "http://user:word@host/x"),
            *([], [None], [[]], [1, "a", None], {}, {"a": 1}, {"": None}, {"kind": "by_value"}),
        ]
    ),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
)

_WHOLE = [b"", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"\x80\x04cos\nsystem\n(Vtrue\ntR."]
"""Possible contents of an altered file: among others levels beyond count, and a pickle that runs a command."""

YAML_TRICKS = [
    b"!!python/object/apply:os.system ['touch hacked']",
    b"features: !!python/object/new:dict {}",
    b"a: &a [x, x]\nb: &b [*a, *a]\nfeatures: *b",
    b"features: &f\n  derived: *f\n",
    b"tasks: &t {like: *t}",
    b"? [a, b]\n: c",
    b"a0: &a0 [x]\n"
    + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 10))
    + b"features: *a9\ntasks: *a9",
    b"a: !!int ''\nb: !!bool x",
    b"a: !!timestamp x",
    b"features: 2026-02-30",
    b"data: 0x" + b"f" * 20_000,
    b"data: 1" + b"0" * 5_000,
    b"data: " + b"[" * 20_000,
    b"features: " + b"{a: " * 5_000,
    b"a: \x00",
    b"1: 2\n!!binary aGk=: 3",
    b"? {a: 1}\n: 2",
    b"<<: 3",
    b"d: 0o9\ne: 1:99:99\nf: 9999999-01-01",
]
"""Tags that make objects, anchors that unfold or bite their tails, keys that are none, and numbers beyond bounds."""

_TYPES = [
    *(pa.int8(), pa.int64(), pa.uint64(), pa.float16(), pa.float64(), pa.string(), pa.binary(), pa.bool_()),
    *(pa.null(), pa.list_(pa.float32()), pa.list_(pa.float32(), 3), pa.timestamp("us"), pa.date32()),
    *(pa.decimal128(10, 2), pa.dictionary(pa.int32(), pa.string()), pa.struct([("a", pa.int8())])),
]
_NAMES = ["a.b", "a b", "a__b", "ünï", "", "a\nb", "x" * 300, "label/like", "like", "date"]
_NUMBERS = [float("nan"), float("inf"), 1e308, -1.0, 2.0**63]


class Altered:
    """A content, and in a few words what was done to it, as which it is printed."""

    def __init__(self, what: str, content: bytes) -> None:
        self.what, self.content = what, content

    def __repr__(self) -> str:
        return self.what


@st.composite
def altered(draw: st.DrawFn, content: bytes, suffix: str) -> Altered:
    """A file's content with a part of it altered: mostly as its kind allows, else whatever the kind, byte by byte.

    Args:
        suffix: of its name: ``.json``, ``.yaml``, ``.parquet`` and ``.checkpoint`` have alterations of their own.
    """
    alter = _OF_KIND.get(suffix)
    if alter is not None and draw(st.integers(0, 3)):
        return alter(draw, content)
    return _bytes(draw, content)


def _json(draw: st.DrawFn, content: bytes) -> Altered:
    what, value = _structure(draw, json.loads(content))
    return Altered(what, json.dumps(value).encode())


def _yaml(draw: st.DrawFn, content: bytes) -> Altered:
    import yaml

    if not draw(st.integers(0, 5)):
        number = draw(st.integers(0, len(YAML_TRICKS) - 1))
        return Altered(f"trick {number}", YAML_TRICKS[number])
    what, value = _structure(draw, yaml.safe_load(content))
    return Altered(what, json.dumps(value).encode())


def _checkpoint(draw: st.DrawFn, content: bytes) -> Altered:
    """A whole file without a key or with another one, as another version of the code might have written it."""
    value = torch.load(io.BytesIO(content), weights_only=True)
    holders = [value, *(inside for inside in value.values() if isinstance(inside, dict) and inside)]
    holder = draw(st.sampled_from(holders))
    key = draw(st.sampled_from(list(holder)))
    if draw(st.booleans()):
        holder[f"{key}s"] = holder[key]
    del holder[key]
    stream = io.BytesIO()
    torch.save(value, stream)
    return Altered(f"another {key!r:.40}", stream.getvalue())


def _parquet(draw: st.DrawFn, content: bytes) -> Altered:
    what, table = _table(draw, pq.read_table(io.BytesIO(content), partitioning=None))
    stream = io.BytesIO()
    try:
        pq.write_table(table, stream)
    except (pa.ArrowException, ValueError):  # Parquet has no such type
        return Altered("nothing", content)
    return Altered(what, stream.getvalue())


_OF_KIND: dict[str, Callable[[st.DrawFn, bytes], Altered]] = {
    ".json": _json,
    ".yaml": _yaml,
    ".checkpoint": _checkpoint,
    ".parquet": _parquet,
}


def _bytes(draw: st.DrawFn, content: bytes) -> Altered:
    """Cut off, flipped anywhere or among the first, with bytes put in or taken out, or replaced as a whole."""
    way = draw(st.sampled_from(["cut", "flip", "flip", "head", "insert", "remove", "replace"]))
    if way == "replace":
        return Altered(way, draw(st.sampled_from(_WHOLE) | st.binary(max_size=40)))
    end = min(len(content), 400) if way == "head" else len(content)
    positions = draw(st.lists(st.integers(0, max(0, end - 1)), min_size=1, max_size=4))
    changed = bytearray(content)
    for position in positions:
        if way == "cut":
            del changed[position:]
        elif way == "remove":
            del changed[position : position + 8]
        elif way == "insert":
            changed[position:position] = draw(st.binary(max_size=8))
        elif position < len(changed):
            changed[position] = draw(st.integers(0, 255))
    return Altered(f"{way} at {positions}", bytes(changed))


def _structure(draw: st.DrawFn, value: Any) -> tuple[str, Any]:
    """A copy of nested values, one to three of them replaced, removed, renamed, doubled or wrapped."""
    value, done = copy.deepcopy(value), []
    for _ in range(draw(st.integers(1, 3))):
        positions = list(_places(value))
        if not positions or not draw(st.integers(0, 60)):
            return "all replaced", draw(_VALUES)
        holder, key = draw(st.sampled_from(positions))
        way = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "double", "wrap"]))
        done.append(f"{way} {key!r:.40}")
        if way == "remove":
            del holder[key]
        elif way == "rename" and isinstance(holder, dict):
            holder[draw(st.text(max_size=6))] = holder.pop(key)
        elif way == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif way == "wrap":
            holder[key] = [holder[key]]
        else:
            holder[key] = copy.deepcopy(draw(_VALUES))
    return ", ".join(done), value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(value, dict | list):
        return
    for key, inside in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        yield from _places(inside)


def _table(draw: st.DrawFn, table: pa.Table) -> tuple[str, pa.Table]:
    """A table, one to three of whose columns have another type, name or content, or are gone, or there twice."""
    done = []
    for _ in range(draw(st.integers(1, 3))):
        if not table.num_columns:
            break
        position = draw(st.integers(0, table.num_columns - 1))
        name = table.column_names[position]
        way = draw(st.sampled_from(["type", "type", "nulls", "rename", "remove", "empty", "double", "ends"]))
        done.append(f"{way} {name!r:.40}")
        if way == "type":
            table = table.set_column(position, name, _of_type(len(table), draw(st.sampled_from(_TYPES))))
        elif way == "nulls":
            table = table.set_column(position, name, pa.nulls(len(table), table.schema.field(position).type))
        elif way == "rename":
            names = table.column_names
            names[position] = draw(st.sampled_from(_NAMES))
            table = table.rename_columns(names)
        elif way == "remove":
            table = table.remove_column(position)
        elif way == "empty":
            table = table.slice(0, 0)
        elif way == "double":
            table = table.append_column(name, table.column(position))
        else:
            number = draw(st.sampled_from(_NUMBERS))
            table = table.set_column(position, name, pa.array([number] * len(table), pa.float64()))
    return ", ".join(done), table


def _of_type(rows: int, kind: pa.DataType) -> pa.Array:
    value: Any = 1
    if pa.types.is_string(kind) or pa.types.is_dictionary(kind):
        value = "x"
    elif pa.types.is_binary(kind):
        value = b"x"
    elif pa.types.is_boolean(kind):
        value = True
    elif pa.types.is_struct(kind):
        value = {"a": 1}
    elif pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        value = [1.0, None, 2.0]
    elif pa.types.is_null(kind):
        value = None
    return pa.array([value] * rows, kind)
