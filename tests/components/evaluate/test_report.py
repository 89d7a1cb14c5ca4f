"""The report says what was decided, why, and what to do, whatever the metrics."""

import re
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.artifacts.score_table import ScoreTable
from components.evaluate.list_examples import choose_examples
from tests.components.evaluate.reports import make_report, many_tasks, measured


def heading(page: str) -> str:
    return re.sub(r"\s*<[^>]+>\s*", " ", page[page.index("<header>") : page.index("<dl")])


CASES = {
    "first run": (
        {"like": measured(None)},
        {"champion": None},
        ["Promote: the first champion", "There is no champion to compare with, and every floor holds."],
    ),
    "better": (
        {"like": measured(1.1), "reply": measured(0.0)},
        {},
        [
            "Promote: replaces version 7",
            "Better than the champion on like, and worse on none of the 2 judged tasks by more than the gate allows.",
            "like: RCE +1.10 points against the champion (+0.77 to +1.43): the largest gain.",
        ],
    ),
    "equal": (
        {"like": measured(0.0)},
        {"promote_if": "better"},
        ["Hold: version 7 stays champion", "not clearly better", "the candidate is as good as the champion"],
    ),
    "worse": (
        {"like": measured(1.1), "reply": measured(-2.0), "share": measured(0.1, 0.5)},
        {},
        [
            "worse than the champion on reply, and perhaps worse on share by more than the gate allows.",
            "reply: RCE −2.00 points against the champion (−2.33 to −1.67); a loss of 0.5 is allowed.",
        ],
    ),
    "few positives": (
        {"like": measured(1.1, positives=3)},
        {},
        ["Error: version 7 stays champion", "cannot be computed", "lower gate.min_positives"],
    ),
    "no champion's metric": (
        {"like": measured(None)},
        {},
        [
            "Error: version 7 stays champion",
            "like: RCE difference, lower 95% bound cannot be computed",
            "Find out why",
        ],
    ),
    "floor": (
        {"like": measured(1.1)},
        {"floors": {"min_rce": 20.0}},
        ["like is below a floor", "the model is not good enough by itself"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_heading_says_what_was_decided_why_and_what_to_do(case: str):
    tasks, changes, sentences = CASES[case]
    _, page = make_report(tasks, **changes)
    for sentence in sentences:
        assert sentence in heading(page)
    assert "What to do:" in heading(page)


def estimates(page: str, part: str) -> list[tuple[str, str]]:
    """The rows of a part's first forest plot: each name, and the colour of its estimate."""
    svg = page[page.index("<svg", page.index(f'id="{part}"')) :]
    marks = ElementTree.fromstring(svg[: svg.index("</svg>") + 6]).iter("path")
    rows = [(mark.findtext("title", ""), mark.get("fill", "")) for mark in marks]
    return [(re.split(r": [−+–]", title)[0], colour[6:-1]) for title, colour in rows if ": " in title]


def test_tasks_are_drawn_with_the_worst_objective_first_and_those_not_judged_last():
    tasks = {"a": measured(3.0), "b": measured(-2.0), "c": measured(0.1), "d": measured(-9.0, positives=3)}
    _, page = make_report(tasks, objectives=["a", "c"])
    drawn = [("c", "s0"), ("a", "good"), ("b", "bad"), ("d, not judged", "faint")]
    assert estimates(page, "tasks") == drawn


def test_slices_are_drawn_with_the_most_certain_harm_first():
    slices = {"new": {"like": measured(-3.0, 4.0)}, "old": {"like": measured(-2.0, 0.1)}}
    _, page = make_report({"like": measured(1.0)}, slices)
    assert estimates(page, "slices") == [("old: like", "bad"), ("new: like", "s0")]


def test_a_failed_rule_looks_different_from_one_that_passes():
    _, page = make_report({"like": measured(-2.0)})
    assert re.search(r'<td class="words bad"[^>]*>✕ fails</td>', page)
    assert re.search(r'<td class="words good"[^>]*>✓ passes</td>', page)


def test_a_page_of_ten_tasks_stays_small():
    _, page = many_tasks(10, 3)
    assert len(page.encode()) < 1_500_000


def test_lists_whose_top_changes_are_shown_by_what_enters_and_leaves(tmp_path):
    scores = np.array([3, 2, 1, 0, 3, 2, 1, 0], np.float32)
    other = np.array([3, 2, 1, 0, 0, 1, 2, 3], np.float32)
    columns = {
        "request": pa.array([1] * 4 + [2] * 4),
        "candidate": pa.array([f"post{number}" for number in range(8)]),
        "score/candidate": pa.array(scores),
        "score/champion": pa.array(other),
    }
    pq.write_table(pa.table(columns), tmp_path / "scores.parquet")
    table = ScoreTable(tmp_path / "scores.parquet", 8, [], [], list(columns))
    (example,) = choose_examples(table, 2)
    assert (example.name, example.rows, example.changed) == ("2", 4, 2)
    assert (example.candidate, example.champion) == (["post4", "post5"], ["post7", "post6"])
    assert choose_examples(table, 4) == []  # every list is as short as the top
