"""A Delta or an Iceberg table as a log: its current version, frozen, and read as the table's columns."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyiceberg.manifest import DataFileContent
from pyiceberg.transforms import HourTransform, IdentityTransform
from pyiceberg.types import DoubleType, LongType, StringType

from components.common.artifacts.snapshot import Snapshot
from components.common.storage.parquet import batches_of, open_parquet
from components.prepare.prepare import prepare_datasets
from components.resolve.log_source import open_log
from components.resolve.resolve import resolve_run
from components.resolve.serving_log import freeze_serving_log
from components.resolve.window import Window
from components.validate.validate import validate_snapshot
from pipeline.config_draft.sample import read_log
from pipeline.local.scoring import list_files
from tests.components.resolve.tables import Delta, Iceberg, freeze, with_date
from tests.datasets import build_tiny
from tests.tiny import tiny_config, write_tiny_log

KINDS = ("delta", "iceberg")
FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
SMALL = pa.table({"id": pa.array([1, 2, 3], pa.int32()), "x": pa.array([0.5, 1.5, None], pa.float32())})


@pytest.fixture(params=KINDS)
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Delta | Iceberg:
    return Delta(tmp_path) if request.param == "delta" else Iceberg(tmp_path, monkeypatch)


def read(snapshot: Snapshot) -> pa.Table:
    """Every file's rows, as the steps read them."""
    assert snapshot.table is not None
    batches = []
    for file in snapshot.files:
        with open_parquet(snapshot, file) as parquet:
            assert parquet.metadata.num_rows == file.rows
            batches += batches_of(parquet, 2, snapshot.table.schema_arrow.names)
    return pa.concat_tables(
        [pa.Table.from_batches([batch]) for batch in batches], promote_options="permissive"
    )


def same_rows(ours: pa.Table, theirs: pa.Table) -> bool:
    return sorted(ours.to_pylist(), key=str) == sorted(theirs.to_pylist(), key=str)


def test_a_table_makes_the_same_sets_as_a_folder_with_the_same_rows(table: Delta | Iceberg, tmp_path: Path):
    log, config = write_tiny_log(tmp_path / "log", days=5, rows=40), tiny_config()
    folder = build_tiny(tmp_path / "folder", config, log)
    for path in sorted(log.rglob("*.parquet")):
        table.append(
            with_date(pq.read_table(path, partitioning=None), date.fromisoformat(path.parent.name[5:]))
        )
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    frozen = resolve_run(
        tmp_path / "config.yaml", table.address, tmp_path / "s", tracking_uri=uri, run_id="r"
    )
    assert (frozen.first_day, frozen.last_day, frozen.rows) == (FIRST, date(2026, 3, 5), 200)
    validate_snapshot(tmp_path / "s", tmp_path / "validated", tmp_path / "data.html")
    outs = [tmp_path / name for name in ("train", "calibration", "test")]
    made = prepare_datasets(tmp_path / "s", tmp_path / "validated", *outs)
    assert made["test"].rows
    for split, manifest in made.items():
        expected = (folder.train.parent / split / "_manifest.json").read_text()
        assert manifest.fingerprint in expected


def test_the_current_rows_are_read_with_every_column(table: Delta | Iceberg):
    table.append(with_date(SMALL, FIRST))
    table.append(with_date(SMALL, SECOND))
    table.delete("id = 2")
    snapshot = freeze(table.address, tiny_config(data={"days": 2}))
    assert same_rows(read(snapshot), table.read())
    assert snapshot.rows == 4
    one_day = freeze(table.address, tiny_config(), end_date="2026-03-01", days=1)
    assert {part.name for part in one_day.partitions} == {"date=2026-03-01"}
    assert read(one_day)["date"].to_pylist() == [FIRST] * 2


def test_columns_that_were_added_and_partition_columns_are_read_in_every_file(tmp_path: Path):
    table = Delta(tmp_path, ("date", "country"))
    table.append(with_date(SMALL.append_column("country", pa.array(["a b/ü%", None, "c"])), FIRST))
    more = SMALL.append_column("country", pa.array(["c"] * 3)).append_column("y", pa.array([7, 8, 9]))
    table.append(with_date(more, SECOND))
    snapshot = freeze(table.address, tiny_config(data={"days": 2}))
    rows = read(snapshot)
    assert rows.schema.names == ["id", "x", "date", "country", "y"]
    assert same_rows(rows, table.read())


def test_hours_and_days_in_text_are_partitions_and_rows_without_a_date_are_named(tmp_path: Path):
    table = Delta(tmp_path, ("date", "hour"))
    for day, hour in (("2026-03-01", 23), ("2026-03-02", 0), ("2026-03-02", 1), (None, 1)):
        columns = [pa.array([day] * 3, pa.string()), pa.array([hour] * 3)]
        table.append(SMALL.append_column("date", columns[0]).append_column("hour", columns[1]))
    snapshot = freeze(table.address, tiny_config(data={"hours": 2}))
    assert [part.name for part in snapshot.partitions] == [
        "date=2026-03-02/hour=00",
        "date=2026-03-02/hour=01",
    ]
    assert read(snapshot)["hour"].to_pylist() == [0, 0, 0, 1, 1, 1]
    assert open_log(table.address).days.not_read == ["1 file of rows without a date"]
    table.append(
        SMALL.append_column("date", pa.array(["3 March"] * 3)).append_column("hour", pa.array([2] * 3))
    )
    with pytest.raises(
        ValueError, match=r"column date: partition value '3 March' is not a date; write dates"
    ):
        freeze(table.address, tiny_config())


def test_a_snapshot_of_another_release_or_with_a_broken_schema_says_to_run_again(tmp_path: Path):
    table = Delta(tmp_path)
    table.append(with_date(SMALL, FIRST))
    content = freeze(table.address, tiny_config(data={"days": 1})).model_dump(mode="json")
    for change, reason in (
        ({"format": "recap-snapshot/1"}, "format"),
        ({"table": {**content["table"], "columns": "bm8="}}, "not an Arrow schema in base64"),
    ):
        (tmp_path / "_manifest.json").write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=rf"not what resolve writes: .*{reason}.*; run resolve again"):
            Snapshot.read(tmp_path)


def test_renamed_widened_added_and_replaced_columns_are_read_by_their_field_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table = Iceberg(tmp_path, monkeypatch)
    table.append(with_date(SMALL.append_column("old", pa.array(["a", "b", "c"])), FIRST))
    with table.table.update_schema() as update:
        update.rename_column("x", "score")
        update.update_column("id", LongType())
        update.delete_column("old")
    with table.table.update_schema() as update:
        update.add_column("old", StringType())
        update.add_column("new", DoubleType())
    columns = [
        pa.array([2**40]),
        pa.array([2.0], pa.float32()),
        pa.array([SECOND]),
        pa.array(["d"]),
        pa.array([0.5]),
    ]
    table.append(pa.table(columns, names=["id", "score", "date", "old", "new"]))
    rows = read(freeze(table.address, tiny_config(data={"days": 2})))
    assert rows.schema.field("id").type == pa.int64()
    assert rows["old"].to_pylist() == [None, None, None, "d"]
    assert same_rows(rows, table.read())


def test_files_that_were_added_to_a_table_by_the_day_of_a_time_are_read_by_its_name_mapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table = Iceberg(tmp_path, monkeypatch)
    times = pa.array([datetime(2026, 3, day, 5, tzinfo=UTC) for day in (1, 1, 1)], pa.timestamp("us", "UTC"))
    rows = SMALL.append_column("time", times)
    created = table.catalog.create_table("feed.log", schema=rows.schema)
    with created.update_spec() as update:
        update.add_field("time", HourTransform(), "time_hour")
    pq.write_table(rows, tmp_path / "elsewhere.parquet")
    table.table.add_files([f"file://{tmp_path}/elsewhere.parquet"])
    snapshot = freeze(table.address, tiny_config(data={"hours": 1}))
    assert [part.name for part in snapshot.partitions] == ["date=2026-03-01/hour=05"]
    assert read(snapshot).drop("time").equals(SMALL)
    with table.table.transaction() as change:
        change.remove_properties("schema.name-mapping.default")
    with pytest.raises(
        ValueError, match=r"elsewhere.parquet: its columns have no field ids, and the table has no"
    ):
        read(freeze(table.address, tiny_config(data={"hours": 1})))


def test_a_table_that_changes_after_resolve_is_read_as_it_was_and_a_vacuumed_file_is_one_line(
    table: Delta | Iceberg,
):
    table.append(with_date(SMALL, FIRST))
    snapshot = freeze(table.address, tiny_config(data={"days": 1}))
    table.append(with_date(SMALL, FIRST))
    table.delete("id = 2")
    assert read(snapshot)["id"].to_pylist() == [1, 2, 3]
    table.remove_old_files()
    with pytest.raises(
        FileNotFoundError, match=r"vacuumed or expired since version \d+ of .*run the pipeline again"
    ):
        open_parquet(snapshot, snapshot.files[0])


DELETION_VECTOR = {  # rows 3, 4, 7, 11, 18 and 29; the example of Delta's protocol
    "storageType": "i",
    "pathOrInlineDv": "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L",
    "sizeInBytes": 44,
    "cardinality": 6,
}


def rewrite_log(table: Delta, feature: str, change: Callable[[dict], None]) -> None:
    """Change the actions of a Delta table's first version, as a writer with a reader feature writes them."""
    log = Path(table.address, "_delta_log", f"{0:020d}.json")
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        if "protocol" in action:
            features = {"readerFeatures": [feature], "writerFeatures": [feature]}
            action["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7, **features}
        change(action)
    log.write_text("\n".join(json.dumps(action) for action in actions))


def add_deletion_vector(action: dict) -> None:
    if "add" in action and "2026-03-02" in action["add"]["path"]:
        action["add"]["deletionVector"] = DELETION_VECTOR


def map_columns(action: dict) -> None:
    if "metaData" in action:
        action["metaData"]["configuration"] = {
            "delta.columnMapping.mode": "name",
            "delta.columnMapping.maxColumnId": "3",
        }
        schema = json.loads(action["metaData"]["schemaString"])
        for number, field in enumerate(schema["fields"], start=1):
            field["metadata"] = {
                "delta.columnMapping.id": number,
                "delta.columnMapping.physicalName": field["name"],
            }
        action["metaData"]["schemaString"] = json.dumps(schema)


def test_deletion_vectors_are_refused_in_the_days_that_have_them_and_column_mapping_everywhere(
    tmp_path: Path,
):
    table = Delta(tmp_path)
    many = pa.table({"id": range(40)})
    table.append(pa.concat_tables([with_date(many, FIRST), with_date(many, SECOND)]))
    rewrite_log(table, "deletionVectors", add_deletion_vector)
    assert freeze(table.address, tiny_config(), end_date="2026-03-01", days=1).rows == 40
    with pytest.raises(
        ValueError, match=r"date=2026-03-02/.*has deleted rows in a deletion vector.*REORG TABLE"
    ):
        freeze(table.address, tiny_config(data={"days": 2}))
    rewrite_log(table, "columnMapping", map_columns)
    with pytest.raises(
        ValueError, match=r"the Delta table uses columnMapping \(name\), which is not supported"
    ):
        freeze(table.address, tiny_config())


def test_rows_deleted_by_merge_on_read_are_refused_in_the_days_that_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table = Iceberg(tmp_path, monkeypatch)
    table.append(with_date(SMALL, SECOND))
    table.delete_on_read(DataFileContent.POSITION_DELETES, monkeypatch)
    table.append(with_date(SMALL, FIRST))
    assert len(table.read()) == 5
    assert freeze(table.address, tiny_config(), end_date="2026-03-01", days=1).rows == 3
    with pytest.raises(
        ValueError, match=r"data/date=2026-03-02/.*has rows deleted by merge-on-read.*compact"
    ):
        freeze(table.address, tiny_config(data={"days": 2}))
    table.delete_on_read(DataFileContent.EQUALITY_DELETES, monkeypatch)
    with pytest.raises(ValueError, match=r"its files cannot be listed .*equality deletes.*compact the table"):
        freeze(table.address, tiny_config(), end_date="2026-03-01", days=1)


def test_draft_score_and_the_serving_log_read_a_tables_current_rows(table: Delta | Iceberg):
    table.append(with_date(SMALL, FIRST))
    table.append(with_date(SMALL, SECOND))
    table.delete("id = 2")
    assert read_log(table.address).rows["id"].to_pylist() == [1, 3, 1, 3]
    served = freeze_serving_log(table.address, Window(FIRST, FIRST))
    assert (sum(file.rows for file in served.files), served.table is not None) == (2, True)
    later = Window(date(2026, 4, 1), date(2026, 4, 2))
    assert freeze_serving_log(table.address, later).missing.endswith("the table has no file of the window")
    assert sum(file.rows for file, _ in list_files(table.address).files) == 4


def test_a_log_in_a_folder_needs_no_library_of_tables(tmp_path: Path):
    write_tiny_log(tmp_path / "log", days=1, rows=5)
    code = (
        "import sys\nfrom components.resolve.log_source import open_log\nlist(open_log(sys.argv[1]).days)\n"
        "print({'deltalake', 'pyiceberg', 'sqlalchemy'} & set(sys.modules))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "log")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "set()\n"


def test_partition_columns_of_every_type_are_read(tmp_path: Path):
    values = {
        "number": pa.array([1.5, 1e-7, None]),
        "flag": pa.array([True, None, False]),
        "time": pa.array([datetime(2026, 3, 1, 5, 0, 0, 7, tzinfo=UTC)] * 3),
        "code": pa.array([b"a", None, b"c"]),
        "text": pa.array(["", "__HIVE_DEFAULT_PARTITION__", "a=b/c%20"]),
    }
    table, rows = Delta(tmp_path, ("date", *values)), with_date(SMALL, FIRST)
    for name, column in values.items():
        rows = rows.append_column(name, column)
    table.append(rows)
    DeltaTable(table.address).create_checkpoint()
    for path in Path(table.address, "_delta_log").glob("*.json"):
        path.unlink()
    assert same_rows(read(freeze(table.address, tiny_config(data={"days": 1}))), table.read())


def test_files_from_before_a_table_was_partitioned_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table, rows = Iceberg(tmp_path, monkeypatch), with_date(SMALL, FIRST)
    table.catalog.create_table("feed.log", schema=rows.schema)
    table.append(rows)
    with table.table.update_spec() as update:
        update.add_field("date", IdentityTransform(), "date")
    with pytest.raises(ValueError, match=r"has files from before its partitioning changed.*rewrite-all"):
        freeze(table.address, tiny_config())


def test_a_table_that_is_not_partitioned_by_day_or_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Iceberg(tmp_path, monkeypatch)
    plain = Delta(tmp_path, ("id",))
    plain.append(SMALL)
    monkeypatch.setenv("PYICEBERG_CATALOG__GONE__URI", "http://127.0.0.1:9")
    (tmp_path / "bare/metadata").mkdir(parents=True)
    (tmp_path / "bare/metadata/v1.metadata.json").write_text("{}")
    (tmp_path / "empty/_delta_log").mkdir(parents=True)
    for address, reason in {
        plain.address: r"is not partitioned by day \(but by id\); partition it by a column 'date'",
        "iceberg://prod/feed.nothing": "no such table in the catalog 'prod'",
        "iceberg://prod/nothing.log": "no such table in the catalog 'prod'",
        "iceberg://other/feed.log": "the catalog 'other' is not configured .*PYICEBERG_CATALOG__OTHER__URI",
        "iceberg://gone/feed.log": "the catalog 'gone' does not answer",
        f"{plain.address}?versionAsOf=0": "names a version of a table, and a log is read at its table's current",
        "iceberg://prod/feed.log?snapshot_id=7": "names a version of a table",
        "iceberg://prod": "write iceberg://CATALOG/NAMESPACE.TABLE",
        str(
            tmp_path / "bare"
        ): r"is a table \(Iceberg: metadata/\).*name it by its catalog: iceberg://CATALOG/",
        str(tmp_path / "empty"): "no such Delta table",
    }.items():
        with pytest.raises((ValueError, OSError), match=reason) as raised:
            freeze(address, tiny_config())
        assert str(raised.value).startswith(address)
        assert "\n" not in str(raised.value)
