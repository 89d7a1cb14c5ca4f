"""One decision on types: what draft, validate, prepare and score take of a column in a role, they all take."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from components.common.artifacts.snapshot import Snapshot
from components.common.engine.local import LocalEngine
from components.common.engine.scratch import scratch_folder
from components.common.storage.file_groups import all_files
from components.prepare.prepare import plan
from pipeline.config_draft.config import ColumnRoles, draft_config
from pipeline.config_draft.sample import read_log
from pipeline.local.scoring import Source, score_files
from recap_model import create_ranking_model, data_spec, save_model
from recap_model.config import RecapConfig, parse_config, parse_yaml
from recap_model.data.log.values import invalid_values
from tests.components.snapshots import snapshot_of
from tests.components.validate.scans import scan
from tests.tiny import FIRST_DAY, tiny_config, tiny_rows, with_lists

ROWS = 48
FLAGS = [number % 3 % 2 for number in range(ROWS)]
UUIDS = [bytes([flag]) * 16 for flag in FLAGS]
NOON = datetime(2026, 3, 1, 12)


def lists(kind: pa.DataType) -> pa.Array:
    return pa.array([[flag] * 4 if row % 5 else None for row, flag in enumerate(FLAGS)], kind)


ARRAYS: dict[str, pa.Array] = {
    "bool": pa.array(FLAGS).cast(pa.bool_()),
    "int8 with nulls": pa.array([flag if row % 5 else None for row, flag in enumerate(FLAGS)], pa.int8()),
    "uint64": pa.array(FLAGS, pa.uint64()),
    "dictionary of int64": pa.array(FLAGS, pa.int64()).dictionary_encode(),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array(FLAGS, pa.int8())),
    "float16": pa.array(FLAGS, pa.float16()),
    "float64 with nulls": pa.array(
        [flag if row % 5 else None for row, flag in enumerate(FLAGS)], pa.float64()
    ),
    "decimal": pa.array(map(Decimal, FLAGS), pa.decimal128(19, 0)),
    "duration": pa.array(FLAGS, pa.duration("s")),
    "date32": pa.array([date(2026, 3, 1)] * ROWS),
    "timestamp": pa.array([NOON] * ROWS, pa.timestamp("us", "UTC")),
    "string": pa.array(map(str, FLAGS)),
    "large_string": pa.array(map(str, FLAGS), pa.large_string()),
    "string_view": pa.array(map(str, FLAGS), pa.string_view()),
    "dictionary of string": pa.array(map(str, FLAGS)).dictionary_encode(),
    "binary": pa.array(UUIDS, pa.binary()),
    "fixed_size_binary": pa.array(UUIDS, pa.binary(16)),
    "uuid": pa.array(UUIDS, pa.uuid()),
    "null": pa.nulls(ROWS),
    "list of float32": lists(pa.list_(pa.float32())),
    "fixed_size_list of float16 with nulls": lists(pa.list_(pa.float16(), 4)),
    "list of int64": lists(pa.large_list(pa.int64())),
    "list of string": pa.array([["a", "b"]] * ROWS),
    "struct": pa.array([{"a": 1}] * ROWS),
    "map": pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64())),
}
INTEGERS = {"int8 with nulls", "uint64", "dictionary of int64", "bool8", "null"}
NUMBERS = INTEGERS | {"bool", "float16", "float64 with nulls"}
TEXTS = {"string", "large_string", "string_view", "dictionary of string"}
WORDS = TEXTS | {"binary", "fixed_size_binary", "uuid"}
LISTS = {"list of float32", "fixed_size_list of float16 with nulls", "list of int64", "null"}
TIMES = INTEGERS | {"date32", "timestamp"}


def config_with(**sections: Any) -> RecapConfig:
    """The tiny config, its log of one day split by user; ``sections`` are merged into its own."""
    content = tiny_config().model_dump(exclude_none=True)
    content["data"] = {"days": 1, "split": {"by": "hash", "column": "user_id"}}
    for section, changes in sections.items():
        content[section] = content[section] | changes
    return parse_config(content)


SMALL = {"name": "t", "index": 1, "num_embeddings": 9, "embedding_dim": 2, "min_count": 2}
LARGE = {"name": "seen", "num_embeddings": 9, "embedding_dim": 2}
SEEN = {"features": {"sparse": ["seen"]}}
HOUR = {"hour": {"kind": "hour_of_day", "of": ["posted"]}}
# Role, its column, the config, what it takes, and how draft is told of it.
ROLES: list[tuple[str, str, RecapConfig, set[str], Callable[[str], ColumnRoles] | None]] = [
    ("continuous", "likes", config_with(), NUMBERS, None),
    ("binary", "has_video", config_with(), NUMBERS, None),
    ("discrete, read as a number", "topic", config_with(), NUMBERS, None),
    (
        "discrete, looked up",
        "topic",
        config_with(model={"small_embeddings": {"tables": [SMALL]}}),
        NUMBERS | WORDS,
        lambda name: ColumnRoles({"like": "like"}, {"user": "user_id"}, {}, discrete=(name,)),
    ),
    ("embedding", "user_embedding", config_with(), LISTS, None),
    (
        "sparse",
        "seen",
        config_with(**SEEN, model={"large_embeddings": {"tables": [LARGE]}}),
        {"list of int64", "null"},
        None,
    ),
    (
        "sparse, hashed",
        "seen",
        config_with(**SEEN, model={"large_embeddings": {"tables": [LARGE | {"hash": True}]}}),
        {"list of int64", "list of string", "null"},
        None,
    ),
    (
        "label",
        "reply",
        config_with(),
        NUMBERS,
        lambda name: ColumnRoles({"like": "like", "reply": name}, {"user": "user_id"}, {}),
    ),
    ("weight", "weight", config_with(features={"weight": "weight"}), NUMBERS, None),
    (
        "id",
        "post_id",
        config_with(),
        (INTEGERS | WORDS),
        lambda name: ColumnRoles({"like": "like"}, {"user": "user_id", "candidate": name}, {}),
    ),
    (
        "timestamp",
        "impressed_ms",
        config_with(),
        TIMES,
        lambda name: ColumnRoles({"like": "like"}, {"user": "user_id"}, {"impressed": name}),
    ),
    (
        "time of a derived column",
        "posted",
        config_with(features={"derived": HOUR, "continuous": ["likes", "hour"]}),
        TIMES,
        None,
    ),
    (
        "source of a cross that is read as a number too",
        "topic",
        config_with(
            features={
                "derived": {"both": {"kind": "cross", "of": ["topic", "position"], "buckets": 4}},
                "discrete": ["position", "topic", "both"],
            }
        ),
        NUMBERS | WORDS,
        None,
    ),
]
SCORED = {"continuous", "binary", "discrete", "embedding", "sparse", "id", "time", "source"}


def write(root: Path, column: str, array: pa.Array) -> Path:
    rows = with_lists(tiny_rows(FIRST_DAY, rows=ROWS))
    rows = rows.append_column("posted", rows["served_ms"]).append_column("weight", pa.array([1.0] * ROWS))
    rows = rows.set_column(rows.schema.get_field_index(column), column, array)
    folder = root / f"date={FIRST_DAY}"
    folder.mkdir(parents=True)
    pq.write_table(rows, folder / "part.parquet")
    return root


def attempt(step: Callable[[], str | None]) -> str:
    """What a step says; "" if it takes the log. It raises nothing but a ValueError of one line."""
    said = ""
    try:
        said = step()
    except ValueError as error:
        said = str(error) if type(error) is ValueError else repr(error)
    assert "\n" not in (said or "")
    return said or ""


def validated(snapshot: Path) -> str:
    frozen, config = Snapshot.read(snapshot)
    return "; ".join(f"{found.subject} {found.observed}" for found in scan(frozen, config).faults)


def prepared(snapshot: Path) -> None:
    frozen, config = Snapshot.read(snapshot)
    with LocalEngine(1) as engine, scratch_folder(str(snapshot)) as scratch:
        kernel, items = plan(engine, [all_files(frozen)], frozen, config, scratch)
        for item in items:
            list(kernel(item))


def drafted(log: Path, named: ColumnRoles) -> None:
    draft_config(read_log(str(log)), named, "m")


def scored(config: RecapConfig, log: Path, folder: Path) -> None:
    if not (folder / "model").is_dir():
        torch.manual_seed(0)
        save_model(create_ranking_model(data_spec(config), config, "cpu").eval(), folder / "model", config)
    score_files(
        Source(folder / "model", "m"), str(log), folder / "scores" / log.name, {}, lambda done, name: None
    )


@pytest.mark.parametrize(("role", "column", "config", "taken", "named"), ROLES, ids=[one[0] for one in ROLES])
def test_every_step_takes_the_same_types(
    role: str,
    column: str,
    config: RecapConfig,
    taken: set[str],
    named: Callable[[str], ColumnRoles] | None,
    tmp_path: Path,
):
    for number, (name, array) in enumerate(ARRAYS.items()):
        if role == "weight" and array.null_count:
            continue  # a row without a weight is refused, whatever the type
        log = write(tmp_path / f"log-{number}", column, array)
        snapshot = snapshot_of(log, config, tmp_path / f"snapshot-{number}")
        said = {
            "validate": attempt(lambda at=snapshot: validated(at)),
            "prepare": attempt(lambda at=snapshot: prepared(at)),
        }
        if role.split(",")[0].split()[0] in SCORED:
            said["score"] = attempt(lambda at=log: scored(config, at, tmp_path))
        if named is not None and name != "null":  # of which draft cannot make a task
            task = {"like": "like"} | ({"reply": "reply"} if role == "label" else {})
            assert named(column).tasks == task
            said["draft"] = attempt(lambda at=log: drafted(at, named(column)))
        assert {step: not words for step, words in said.items()} == dict.fromkeys(said, name in taken), (
            name,
            said,
        )
        if name not in taken:
            assert all(f"column {column} is " in words for words in said.values()), said


def test_what_draft_makes_of_a_column_the_other_steps_take(tmp_path: Path):
    named = ColumnRoles(
        {"like": "like"}, {"user": "user_id"}, {"impressed": "impressed_ms"}, left_out=("reply",)
    )
    for number, (name, array) in enumerate(ARRAYS.items()):
        log = write(tmp_path / f"log-{number}", "likes", array)
        config = parse_yaml(draft_config(read_log(str(log)), named, "m").encode(), name)
        snapshot = snapshot_of(log, config, tmp_path / f"snapshot-{number}")
        assert attempt(lambda at=snapshot: validated(at)) == "", name
        assert attempt(lambda at=snapshot: prepared(at)) == "", name
        scored(config, log, tmp_path / name)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("like", [0.0, 1.0, float("nan"), None], ""),
        ("like", [0, 1, 2, None], "has value 2"),
        ("like", [0.0, 1.0, float("inf"), 0.0], "has value inf"),
        ("topic", [1.0, 2.0, None, -1.0], ""),
        ("topic", [1.0, 2.5, None, -1.0], "has value 2.5"),
        ("topic", [1.0, float("nan"), 2.0, 3.0], "has value nan"),
        ("topic", [2**64 - 5, 2**63, 1, None], ""),
        ("topic", [-(2**63), -77, 5, None], ""),
    ],
)
def test_validate_and_prepare_refuse_the_same_values(
    column: str, values: list[Any], words: str, tmp_path: Path
):
    kind = pa.uint64() if 2**63 in values else None
    log = write(tmp_path / "log", column, pa.array(values * (ROWS // 4), kind, from_pandas=False))
    snapshot = snapshot_of(log, config_with(), tmp_path / "snapshot")
    for said in (attempt(lambda: validated(snapshot)), attempt(lambda: prepared(snapshot))):
        assert words in said
        assert bool(words) == bool(said)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), 1e30])
def test_a_weight_that_would_drown_the_others_is_refused_as_a_negative_one_is(weight: float, tmp_path: Path):
    assert invalid_values("weight", np.array([0.0, 1e9, weight])).tolist() == [False, False, True]
    log = write(tmp_path / "log", "weight", pa.array([weight] * ROWS))
    snapshot = snapshot_of(log, config_with(features={"weight": "weight"}), tmp_path / "snapshot")
    assert "column weight has value" in (said := attempt(lambda: prepared(snapshot)))
    assert "a weight is a number from 0 to 1e+09" in said


def test_a_column_that_is_twice_in_a_file_is_refused_where_it_is_read(tmp_path: Path):
    config = config_with()
    log = write(tmp_path / "log", "posted", pa.array(FLAGS))
    file = next(log.rglob("*.parquet"))
    rows = pq.read_table(file, partitioning=None)
    for column, read in (("likes", True), ("like", True), ("posted", False)):
        pq.write_table(rows.append_column(column, rows[column]), file)
        snapshot = snapshot_of(log, config, tmp_path / f"snapshot-{column}")
        steps = [lambda at=snapshot: validated(at), lambda at=snapshot: prepared(at)]
        if column != "like":
            steps.append(lambda name=column: scored(config, log, tmp_path / name))
        for step in steps:
            assert (f"column {column} is there 2 times" in attempt(step)) == read
    named = ColumnRoles({"like": "like"}, {"user": "user_id"}, {"impressed": "impressed_ms"})
    assert "# left out: posted: more than once in a file" in draft_config(read_log(str(log)), named, "m")
    pq.write_table(rows.append_column("like", rows["like"]), file)
    with pytest.raises(ValueError, match="column like is there 2 times; a column is there once"):
        draft_config(read_log(str(log)), named, "m")


@pytest.mark.parametrize("ids", ["string", "fixed_size_binary", "uint64"])
def test_a_file_without_a_row_or_a_value_goes_with_files_of_any_type(ids: str, tmp_path: Path):
    """As pandas writes an empty frame, whose columns are all of Arrow's null type."""
    log = write(tmp_path / "log", "post_id", ARRAYS[ids])
    rows = pq.read_table(next(log.rglob("*.parquet")), partitioning=None)
    nothing = pa.table({name: pa.nulls(0) for name in rows.schema.names})
    pq.write_table(nothing, log / f"date={FIRST_DAY}" / "empty.parquet")
    pq.write_table(rows.set_column(2, "post_id", pa.nulls(ROWS)), log / f"date={FIRST_DAY}" / "a.parquet")
    config = config_with()
    snapshot = snapshot_of(log, config, tmp_path / "snapshot")
    assert attempt(lambda: validated(snapshot)) == attempt(lambda: prepared(snapshot)) == ""
    scored(config, log, tmp_path)
    named = ColumnRoles({"like": "like"}, {"user": "user_id"}, {}, discrete=("post_id",))
    assert "discrete:" in draft_config(read_log(str(log)), named, "m")


def test_ids_that_are_text_in_one_file_and_integers_in_another_are_refused_everywhere(tmp_path: Path):
    log = write(tmp_path / "log", "post_id", ARRAYS["string"])
    other = write(tmp_path / "other", "post_id", ARRAYS["uint64"])
    next(other.rglob("*.parquet")).rename(log / f"date={FIRST_DAY}" / "second.parquet")
    snapshot = snapshot_of(log, config_with(), tmp_path / "snapshot")
    for step in (validated, prepared):
        said = attempt(lambda step=step: step(snapshot))
        assert f"column post_id has integers, and text in date={FIRST_DAY}/part.parquet" in said
