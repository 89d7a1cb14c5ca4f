"""Labels made by rules are profiled as labels written by hand are, and what is wrong with them is one line."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.validate.profile.columns import locate_label
from components.validate.profile.profile import Profile
from components.validate.validate import PROFILE_NAME
from recap_model.config import RecapConfig
from tests.components.validate.broken import lines_of, validate
from tests.tiny import tiny_config, write_tiny_log

STAY = {"column": "dwell_s", "at_least": 10}
TASKS = {
    "stayed": {"label": STAY},
    "bought": {"label": STAY, "only_where": "like"},
    "quiet": {"label": {"not": {"column": "event", "equals": "share"}}, "unless": "reply"},
    "like": {},
    "reply": {},
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with what the rules read, and the labels that they make as columns ``TASK_by_hand``."""
    root = write_tiny_log(tmp_path / "log", rows=200)
    for number, file in enumerate(sorted(root.rglob("*.parquet"))):
        rows, random = pq.read_table(file), np.random.default_rng(number)
        dwell_s = random.exponential(20.0, len(rows))
        event = ["share" if one < 0.3 else "view" for one in random.random(len(rows))]
        like, reply = rows["like"].to_pylist(), rows["reply"].to_pylist()
        stayed = [int(time >= 10) for time in dwell_s.tolist()]
        columns = {
            "dwell_s": dwell_s,
            "event": event,
            "stayed_by_hand": stayed,
            "bought_by_hand": [stay if one else None for stay, one in zip(stayed, like, strict=True)],
            "quiet_by_hand": [int(one != "share" and not act) for one, act in zip(event, reply, strict=True)],
        }
        for name, values in columns.items():
            rows = rows.append_column(name, pa.array(values))
        pq.write_table(rows, file)
    return root


def counts(folder: Path, config: RecapConfig, task: str) -> dict[str, tuple[int, int, int]]:
    """Positives, negatives and missing labels of each partition."""
    key, label = locate_label(config, task)
    counted = {}
    for name, partition in Profile.read(folder / "validated" / PROFILE_NAME).partitions.items():
        block = partition.blocks[key]
        position, stats = block.labels.index(label), block.stats
        counted[name] = (int(stats.ones[position]), int(stats.zeros[position]), int(stats.missing[position]))
    return counted


def test_a_rules_label_is_profiled_by_day_as_one_made_by_hand_is(tmp_path: Path, log: Path):
    rules = tiny_config(tasks=TASKS)
    hand = tiny_config(tasks={task: {"label": f"{task}_by_hand"} for task in ("stayed", "bought", "quiet")})
    for name, config in (("rules", rules), ("hand", hand)):
        (tmp_path / name).mkdir()
        assert validate(tmp_path / name, log, config).outcome == "passed"
    for task in ("stayed", "bought", "quiet"):
        assert counts(tmp_path / "rules", rules, task) == counts(tmp_path / "hand", hand, task)
    page = (tmp_path / "rules" / "docs.html").read_text()
    assert "bought: dwell_s &gt;= 10, only where like" in page.replace("<wbr>", "")


@pytest.mark.parametrize(
    ("task", "line"),
    [
        (
            {"label": {"column": "dwell_s", "at_least": 1e6}},
            "task_positives: task new has 0 positives among 1,000 labels in 2026-03-01 to 2026-03-05; at least 1 "
            "(validation.min_positives); widen the window, change tasks.new (dwell_s >= 1e+06), or remove the task",
        ),
        (
            {"label": {"column": "dwell_s", "at_least": 0}},
            "task_negatives: task new has no negative among 1,000 labels in 2026-03-01 to 2026-03-05; a task needs "
            "both; change tasks.new (dwell_s >= 0), or remove the task",
        ),
        (
            {"label": {"any_of": ["reply", "topic"]}},
            "label_values: column topic has value",
        ),
        (
            {"label": {"column": "event", "at_least": 1}},
            "column_type: column event is string in date=2026-03-01/part-00000.parquet and 4 more files; "
            "allowed are numbers or booleans; fix the log, or change tasks.new.label",
        ),
        (
            {"label": {"column": "dwell_s", "equals": "long"}},
            "column_type: column dwell_s is double in date=2026-03-01/part-00000.parquet and 4 more files; "
            "allowed are text, as a rule compares it with a text; fix the log, or change tasks.new.label",
        ),
        ({"label": {"column": "gone", "at_least": 1}}, "column_present: column gone is not there in "),
    ],
)
def test_a_rule_that_makes_no_label_is_one_line(
    task: dict[str, object], line: str, tmp_path: Path, log: Path
):
    features = tiny_config().features.model_dump() | {"discrete": ["position"]}
    config = tiny_config(tasks={"new": task, "reply": {}}, features=features)
    assert lines_of(tmp_path, log, config)[0].startswith(line)


@pytest.mark.parametrize(
    "task", [{"label": STAY}, {"kind": "value", "label": "dwell_s", "scale": 10, "score_weight": 0.0}]
)
def test_milliseconds_in_a_column_named_in_seconds_are_a_warning(
    task: dict[str, object], tmp_path: Path, log: Path
):
    for file in log.rglob("*.parquet"):
        rows = pq.read_table(file)
        slow = pa.array(np.where(rows["like"], 0.0, rows["dwell_s"].to_numpy() * 1000.0))
        pq.write_table(rows.set_column(rows.schema.get_field_index("dwell_s"), "dwell_s", slow), file)
    result = validate(tmp_path, log, tiny_config(tasks={"stayed": task, "reply": {}}))
    failures = [item for item in result.failures("warning") if item.rule == "label_unit"]
    assert [(item.subject, item.advice) for item in failures] == [
        (
            "column dwell_s",
            "if these are milliseconds, write seconds, or rename the column and compare it with milliseconds",
        )
    ]
