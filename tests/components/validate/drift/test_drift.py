"""Planted changes of one day's rows are each told in one line that names column and day; a clean log in none."""

import json
import logging
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.common.artifacts.snapshot import BASELINE_NAME
from components.validate.drift.compare import WINDOW, compare
from components.validate.profile.profile import Profile
from components.validate.validate import ValidationFailed, validate_snapshot
from recap_model.config import ConfigError, RecapConfig
from tests.components.snapshots import snapshot_of
from tests.components.validate.broken import Change, profile_of, replaced, validate
from tests.components.validate.changed_logs import verdict_in
from tests.components.validate.shop import shop_config, write_shop_log

DAY = "date=2026-04-09"
ROWS = 3000
BRAND = 10**12 + 1


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile of six clean days."""
    folder = tmp_path_factory.mktemp("champion")
    return profile_of(folder, write_shop_log(folder / "log", 0, 6, ROWS), shop_config())


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six days that end four days later."""
    return write_shop_log(tmp_path_factory.mktemp("clean") / "log", 4, 6, ROWS)


def changed(folder: Path, clean: Path, *changes: Change, everywhere: bool = False) -> Path:
    """The clean log with one day's file changed, or all."""
    root = folder / "log"
    for path in sorted(clean.rglob("*.parquet")):
        table = pq.read_table(path, partitioning=None)
        for change in changes if everywhere or path.parent.name == DAY else ():
            table = change(table)
        (root / path.parent.name).mkdir(parents=True)
        pq.write_table(table, root / path.parent.name / path.name)
    return root


def lines(folder: Path, root: Path, champion: Path, config: RecapConfig | None = None) -> list[str]:
    verdict = validate(folder, root, config or shop_config(), champion)
    assert verdict.drifts["drift"].comparison is not None
    return sorted(verdict.lines("warning"))


def test_a_clean_log_is_within_the_bounds(tmp_path: Path, clean: Path, champion: Path, caplog):
    with caplog.at_level(logging.INFO):
        verdict = validate(tmp_path, clean, shop_config(), champion)
    assert verdict.outcome == "passed"
    content = json.loads((tmp_path / "validated/verdict.json").read_text())["drift"]
    assert (content["state"], content["against"]) == ("within_bounds", "version 7")
    assert {column["column"] for column in content["columns"]} == set(shop_config().features.columns())
    assert caplog.messages[-1].endswith("failed=none drift=within_bounds")


def moved(column: str, by: float) -> Change:
    """Shift by a number of standard deviations."""

    def shift(values: pa.ChunkedArray) -> pa.ChunkedArray:
        return pc.add(values, by * pc.stddev(values).as_py())

    return replaced(column, shift)


def without(column: str, value: int) -> Change:
    """No row with a value."""
    return lambda table: table.filter(pc.not_equal(table[column], value))


def nulls(share: float):
    def some(values: pa.ChunkedArray) -> pa.Array:
        absent = np.random.default_rng(0).random(len(values)) < share
        return pc.if_else(pa.array(absent), None, values.combine_chunks())

    return some


def swapped(first: str, second: str) -> Change:
    def change(table: pa.Table) -> pa.Table:
        names = [{first: second, second: first}.get(name, name) for name in table.schema.names]
        return table.rename_columns(names)

    return change


def halved(values: pa.ChunkedArray) -> pa.Array:
    kept = np.random.default_rng(0).random(len(values)) < 0.5
    return pc.if_else(pa.array(kept), values.combine_chunks(), pa.scalar(0, values.type))


def sentinels(values: pa.ChunkedArray) -> pa.Array:
    """A hundredth of the values become 9999."""
    some = np.random.default_rng(0).random(len(values)) < 0.01
    return pc.if_else(pa.array(some), pa.scalar(9999.0, values.type), values.combine_chunks())


PLANTED: dict[str, tuple[list[Change], list[str]]] = {
    "the mean moves by half a deviation": (
        [moved("temperature", 0.5)],
        ["column_drift: column temperature is not as in version 7: "],
    ),
    "a category vanishes": (
        [without("category", 2)],
        ["column_drift: column category is not as in version 7: "],
    ),
    "a hashed category vanishes": (
        [replaced("brand", lambda values: pc.if_else(pc.equal(values, BRAND), BRAND + 1, values))],
        ["column_drift: column brand is not as in version 7: "],
    ),
    "a unit becomes a thousand times smaller": (
        [replaced("amount", lambda values: pc.multiply(values, 1000.0))],
        ["column_drift: column amount is not as in version 7: "],
    ),
    "nulls jump": (
        [replaced("temperature", nulls(0.2))],
        ["missing_rate_drift: column temperature has "],
    ),
    "two columns are swapped": (
        [swapped("temperature", "discount")],
        [
            "column_drift: column discount is not as in version 7: ",
            "column_drift: column temperature is not as in version 7: ",
        ],
    ),
    "a column is constant": (
        [replaced("temperature", lambda values: pa.array([20.0] * len(values), pa.float32()))],
        ["column_drift: column temperature is not as in version 7: "],
    ),
    "a positive rate is halved": (
        [replaced("click", halved), replaced("buy", halved)],
        ["task_rate_drift: task click has a positive rate of 0.0"],
    ),
    "a value's mean doubles": (
        [replaced("stay_s", lambda values: pc.multiply(values, 2.0))],
        ["task_mean_drift: task stay has a mean label of "],
    ),
    "a value's unit changes": (
        [replaced("stay_s", lambda values: pc.multiply(values, 1000.0))],
        ["task_mean_drift: task stay has a mean label of 1"],
    ),
    "half of a value's labels are lost": (
        [replaced("stay_s", nulls(0.5))],
        ["task_null_rate_drift: task stay has no label in "],
    ),
    "half of a task's labels are lost": (
        [replaced("buy", nulls(0.5))],
        ["task_null_rate_drift: task buy has no label in "],
    ),
    "the day's rows are there twice, in other bytes": (
        [lambda table: pa.concat_tables([table, table])],
        ["partition_rows_drift: date=2026-04-09 has "],
    ),
    "most of the day is lost": (
        [lambda table: table.slice(0, 600)],
        ["partition_rows_drift: date=2026-04-09 has 600 rows, a day of version 7 3,"],
    ),
    "zeros stand for what is missing": (
        [replaced("last_visit_days", lambda values: pc.fill_null(values, 0.0))],
        ["missing_rate_drift: column last_visit_days has 0.0% missing values, version 7 20"],
    ),
    "one value in a hundred is a sentinel": (
        [replaced("temperature", sentinels)],
        ["column_drift: column temperature is not as in version 7: a mean "],
    ),
    "an id of eight rows in a hundred vanishes": (
        [replaced("brand", lambda values: pc.if_else(pc.equal(values, BRAND + 2), BRAND + 99, values))],
        ["column_drift: column brand is not as in version 7: ids of 0.0"],
    ),
    "a flag is turned round": (
        [replaced("is_new", lambda values: pc.cast(pc.subtract(1, values), pa.int8()))],
        ["column_drift: column is_new is not as in version 7: "],
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_change_of_one_day_is_told(tmp_path: Path, clean: Path, champion: Path, name: str):
    changes, expected = PLANTED[name]
    told = lines(tmp_path, changed(tmp_path, clean, *changes), champion)
    assert [line[: len(start)] for line, start in zip(told, expected, strict=False)] == expected
    assert all(DAY in line for line in told)
    assert len(told) == len(expected)


def test_a_change_of_unit_says_so_and_how_large(tmp_path: Path, clean: Path, champion: Path):
    root = changed(tmp_path, clean, *PLANTED["a unit becomes a thousand times smaller"][0], everywhere=True)
    (line,) = lines(tmp_path, root, champion)
    assert line.endswith("; its values are 1,000 times as large: look whether its unit changed")
    assert " in 2026-04-05 to 2026-04-10, on 6 of its days; " in line


def test_without_a_champion_nothing_is_compared_and_that_is_no_pass(tmp_path: Path, clean: Path, caplog):
    with caplog.at_level(logging.INFO):
        validate(tmp_path, clean, shop_config())
    drift = json.loads((tmp_path / "validated/verdict.json").read_text())["drift"]
    assert drift == {
        "state": "no_baseline",
        "against": "the champion",
        "reason": "there is no champion yet",
    }
    assert caplog.messages[-1].endswith('drift=no_baseline("there is no champion yet")')
    page = (tmp_path / "docs.html").read_text()
    assert "Not compared with the champion: there is no champion yet." in page
    assert "not compared" in page


def test_a_profile_of_an_older_form_is_no_baseline(tmp_path: Path, clean: Path, champion: Path):
    table = pq.read_table(champion).drop_columns(["bins", "counts"])
    older = tmp_path / "profile.parquet"
    pq.write_table(
        table.replace_schema_metadata({**table.schema.metadata, b"recap.format": b"recap-profile/1"}), older
    )
    verdict = validate(tmp_path, clean, shop_config(), older)
    assert verdict.drift_state("drift") == "no_baseline"
    assert verdict.drifts["drift"].reason == (
        "its profile cannot be compared with: it is recap-profile/1, and this validate reads recap-profile/2"
    )


def test_a_baseline_with_blocks_that_are_no_longer_measured_is_read_and_compared(
    champion: Path, tmp_path: Path
):
    table = pq.read_table(champion)
    obsolete = table.filter(pc.equal(table["block"], "continuous"))
    for name in ("block", "column"):
        place = obsolete.schema.get_field_index(name)
        obsolete = obsolete.set_column(place, name, pa.array(["direction:taste"] * len(obsolete)))
    older = tmp_path / "older.parquet"
    pq.write_table(
        pa.concat_tables([table, obsolete]).sort_by([("partition", "ascending"), ("block", "ascending")]),
        older,
    )
    current = Profile.read(champion)
    assert compare(current, Profile.read(older), {}, shop_config()) == compare(
        current, current, {}, shop_config()
    )


def test_a_baseline_that_changed_since_resolve_is_refused(tmp_path: Path, clean: Path, champion: Path):
    folder = snapshot_of(clean, shop_config(), tmp_path / "snapshot", profile=champion)
    (folder / BASELINE_NAME).write_bytes(b"else")
    with pytest.raises(ValueError, match=r"baseline.parquet: lost or changed since resolve wrote it"):
        validate_snapshot(folder, tmp_path / "validated", tmp_path / "docs.html")


def test_critical_drift_ends_the_run(tmp_path: Path, clean: Path, champion: Path):
    config = shop_config(drift={"severity": {"column_drift": "critical"}})
    root = changed(tmp_path, clean, moved("temperature", 2.0))
    with pytest.raises(ValidationFailed, match=r"^column_drift: column temperature "):
        validate(tmp_path, root, config, champion)
    assert verdict_in(tmp_path / "docs.html")["drift"]["state"] == "drifted"


def test_a_warning_does_not_explain_critical_drift_away(tmp_path: Path, clean: Path, champion: Path):
    config = shop_config(drift={"severity": {"column_drift": "critical"}})
    change = replaced("temperature", lambda values: pa.array([20.0] * len(values), pa.float32()))
    root = changed(tmp_path, clean, change, everywhere=True)
    with pytest.raises(ValidationFailed, match=r"^column_drift: column temperature "):
        validate(tmp_path, root, config, champion)


def test_a_column_may_be_left_out_and_have_bounds_of_its_own(tmp_path: Path, clean: Path, champion: Path):
    root = changed(tmp_path, clean, moved("temperature", 1.0), replaced("stock", lambda c: pc.add(c, 1.0)))
    bounds = {"max_psi": 9.0, "max_ks": 0.9, "max_mean_shift": 9.0}
    config = shop_config(drift={"ignore": ["temperature"], "columns": {"stock": bounds}})
    assert lines(tmp_path, root, champion, config) == []
    (line,) = lines(tmp_path, root, champion, shop_config(drift={"ignore": ["temperature"]}))
    assert line.startswith("column_drift: column stock ")


def test_a_new_column_is_named_and_not_compared(tmp_path: Path, clean: Path, champion: Path):
    content = shop_config().model_dump(mode="json", exclude_none=True)
    content["features"]["continuous"] += ["extra"]
    root = changed(
        tmp_path,
        clean,
        lambda table: table.append_column("extra", pa.array(np.arange(float(len(table))))),
        everywhere=True,
    )
    verdict = validate(tmp_path, root, RecapConfig.model_validate(content), champion)
    assert verdict.drift_state("drift") == "within_bounds"
    assert verdict.drifts["drift"].comparison.new == ["extra"]
    assert "It does not have: extra." in (tmp_path / "docs.html").read_text()


def test_the_page_shows_the_furthest_column_first_with_its_histograms(
    tmp_path: Path, clean: Path, champion: Path
):
    renamed = replaced("category", lambda values: pc.if_else(pc.equal(values, 1), 999, values))
    lines(tmp_path, changed(tmp_path, clean, moved("temperature", 1.0), renamed), champion)
    page = (tmp_path / "docs.html").read_text().replace("<wbr>", "")
    failures, section = page.split("<h2>Drift from version 7: beyond the bounds</h2>")
    assert f"<figcaption>temperature, {DAY.removeprefix('date=')}</figcaption>" in failures
    assert "</span>this log <span" in failures
    assert "</span>version 7 " in failures
    row = re.search(r'<tr><td class="words">category</td><td class="words">discrete.*', section)
    assert row is not None
    # A category of a day is new: of a seventh of the rows a part.
    assert re.search(r'</td><td data-sort="0\.0\d+">\d\.\d+%</td><td data-sort="\d+">', row[0])
    assert section.index('<td class="words">temperature<') < section.index('<td class="words">amount<')


@pytest.mark.parametrize(
    ("drift", "said"),
    [
        ({"max_psi": 0}, r"validation.drift.max_psi"),
        ({"max_pis": 0.2}, r"validation.drift.max_pis"),
        (
            {"columns": {"stock": {"max_pis": 1.0}}},
            r"drift.columns.stock.max_pis: .*unknown bound; bounds: max_psi",
        ),
        ({"columns": {"stock": {"max_psi": 0}}}, r"validation.drift.columns.stock.max_psi"),
        ({"ignore": ["click"]}, r"validation.drift.ignore: unknown feature column 'click'"),
        ({"columns": {"nothing": {}}}, r"validation.drift.columns: unknown feature column 'nothing'"),
        ({"severity": {"drift": "critical"}}, r"validation.drift.severity.drift"),
        ({"serving_log": "s3://key:secret@bucket/*"}, r"holds a password"),
    ],
)
def test_a_wrong_section_names_its_field(drift: dict, said: str):
    with pytest.raises(ConfigError, match=said):
        shop_config(drift=drift)


def hourly(profile: Profile, hours: int) -> Profile:
    """Each day as if its rows had come in so many hours."""
    return Profile(
        {
            f"{name}/hour={hour:02d}": part
            for name, part in profile.partitions.items()
            for hour in range(hours)
        }
    )


@pytest.mark.parametrize(("hours", "days"), [(24, 6), (7, 0)])
def test_of_a_log_by_the_hour_whole_days_are_compared(champion: Path, hours: int, days: int):
    profile = hourly(Profile.read(champion), hours)
    found = compare(profile, profile, {}, shop_config())
    places = {change.where for change in found.changes}
    assert len(places - {WINDOW}) == len(found.rows) == days
    assert WINDOW in places
    assert max(change.furthest for change in found.changes if change.where == WINDOW) == 0.0


def test_days_that_differ_by_habit_are_no_alarm_and_others_are(champion: Path, tmp_path: Path, clean: Path):
    fixed = replaced("weekday", lambda values: pa.array([6] * len(values)))
    assert lines(tmp_path / "a", changed(tmp_path / "a", clean, fixed), champion) == []
    new = replaced("category", lambda values: pa.array([7] * len(values)))
    (line,) = lines(tmp_path / "b", changed(tmp_path / "b", clean, new), champion)
    assert line.startswith("column_drift: column category ")


def test_stored_bounds_of_a_removed_metric_are_read_past():
    config = shop_config(drift={"max_js": 0.05, "columns": {"stock": {"max_js": 0.1, "max_psi": 0.5}}})
    drift = config.validation.drift
    assert drift.bounds_of("stock") == drift.bounds_of("amount") | {"max_psi": 0.5}


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("one value in a hundred is a sentinel", "mean_shift"),
        ("an id of eight rows in a hundred vanishes", "vanished"),
    ],
)
def test_one_metric_alone_sees_some_planted_changes(
    tmp_path: Path, clean: Path, champion: Path, name: str, metric: str
):
    verdict = validate(tmp_path, changed(tmp_path, clean, *PLANTED[name][0]), shop_config(), champion)
    changes = verdict.drifts["drift"].comparison.changes
    (change,) = [change for change in changes if change.excess > 1.0 and change.where == DAY]
    beyond = [one for one, value in change.values.items() if value > change.allowed[one]]
    assert beyond == [metric]
