"""Slices by ranges, quantiles, missing values and several conditions, against rows chosen by hand."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.calibrate.calibrate import calibrate_model
from components.evaluate.evaluate import evaluate_model
from components.evaluate.gate.replay import replay_gate
from components.train.train import train_model
from recap_model.config import ConfigError, parse_config
from recap_model.data.dataset.statistics import FeatureStatistics
from tests.datasets import build_tiny
from tests.tiny import tiny_config, write_tiny_log

OLD, SEEN = {"column": "account_days", "at_least": 30}, {"column": "seen", "at_most": 1}
SLICES: list[dict[str, Any]] = [
    {"name": "topic", "column": "topic", "value": 1},
    {"name": "old", **OLD},
    {"name": "middle", "column": "account_days", "between": [10, 20]},
    {"name": "unknown", "column": "account_days", "missing": True, "min_rows": 120},
    {"name": "known", "column": "account_days", "missing": False},
    {"name": "top", "column": "likes", "quantiles": [0.9, 1]},
    {"name": "low", "column": "account_days", "quantiles": [0, 0.25]},
    {"name": "short", **SEEN},
    {"name": "late", "column": "waited", "at_least": 0.002},
    {"name": "new", "sequence": "history", "at_most": 2},
    {
        "name": "both",
        "all_of": [OLD, SEEN, {"column": "topic", "value": 1}, {"column": "likes", "quantiles": [0, 0.5]}],
    },
]


def _evaluation(slices: list[dict[str, Any]]) -> dict[str, Any]:
    gate = {"min_rows": 10, "min_positives": 5, "min_slice_rows": 1}
    return {"bootstrap_replicates": 20, "slices": slices, "gate": gate}


def test_slices_hold_the_rows_chosen_by_hand(tmp_path: Path):
    log = write_tiny_log(tmp_path / "log", days=5, rows=200)
    for number, file in enumerate(sorted(log.rglob("*.parquet"))):
        rows, random = pq.read_table(file), np.random.default_rng(number)
        days = pa.array(random.exponential(20.0, len(rows)), mask=random.random(len(rows)) < 0.4)
        seen = [None if length == 4 else [1] * length for length in random.integers(0, 5, len(rows)).tolist()]
        pq.write_table(
            rows.append_column("account_days", days)
            .append_column("seen", pa.array(seen))
            .append_column("seen_posts", pa.array(seen)),
            file,
        )
    features = tiny_config().features.model_dump(exclude_none=True)
    features["continuous"] += ["waited"]
    features["derived"] = {"waited": {"kind": "hours_between", "of": ["served_ms", "impressed_ms"]}}
    features["sequences"] = {"history": {"columns": {"post": "seen_posts"}}}
    config = tiny_config(features=features, evaluation=_evaluation(SLICES))
    sets = build_tiny(tmp_path, config, log)
    train_model(sets.snapshot, sets.train, tmp_path / "model")
    calibrate_model(sets.snapshot, tmp_path / "model", sets.calibration, tmp_path / "calibrated")
    out = tmp_path / "evaluation"
    decision = evaluate_model(sets.snapshot, tmp_path / "calibrated", sets.test, sets.validated, out)

    files = sorted(log.rglob("*.parquet"))
    train = pa.concat_tables([pq.read_table(file) for file in files[:3]])
    test = pq.read_table(files[-1])
    days, topic = test["account_days"].to_pandas().to_numpy(), test["topic"].to_numpy()
    lengths = np.array([np.nan if ids is None else len(ids) for ids in test["seen"].to_pylist()])
    likes = test["likes"].to_numpy()
    tenth, half = np.quantile(train["likes"].to_numpy().astype(np.float64), [0.9, 0.5])
    quarter = np.quantile(train["account_days"].drop_null().to_numpy(), 0.25)
    waited_ms = test["impressed_ms"].to_numpy() - test["served_ms"].to_numpy()
    expected = {
        "topic": topic == 1,
        "old": days >= 30,
        "middle": (days >= 10) & (days <= 20),
        "unknown": np.isnan(days),
        "known": ~np.isnan(days),
        "top": likes >= tenth,
        "low": days < quarter,
        "short": lengths <= 1,
        "late": waited_ms >= 7200,
        "new": ~(lengths > 2),
        "both": (days >= 30) & (lengths <= 1) & (topic == 1) & (likes < half),
    }
    scores = pq.read_table(out / "scores.parquet")
    for name, rows in expected.items():
        assert scores[f"slice/{name}"].to_numpy().tolist() == rows.tolist(), name
    unknown = int(np.isnan(days).sum())
    assert [rule.words for rule in decision.rules if rule.name == "slice_rows"] == [
        f"slice unknown: {unknown} test rows, under its min_rows 120"
    ]
    assert replay_gate(out, config)[2] == decision.rules
    assert set(FeatureStatistics.read(sets.train).slice_quantiles) == {"likes", "account_days"}


@pytest.mark.parametrize(
    ("one", "message"),
    [
        ({}, "evaluation.slices.0.column: is required; or give sequence"),
        (
            {"sequence": "x", "at_most": 1},
            "evaluation.slices.0.sequence: unknown sequence 'x'; sequences: none",
        ),
        (
            {"sequence": "x", "missing": True},
            "evaluation.slices.0.missing: of a sequence; its length has at_least",
        ),
        (
            {"column": "likes"},
            "evaluation.slices.0: exactly one of value, at_least, at_most, between, quantiles, missing",
        ),
        (
            {"column": "likes", "value": 1},
            "evaluation.slices.0.column: 'likes' is no column of features.discrete",
        ),
        (
            {"column": "likes", "quantiles": [0.5, 0.5]},
            "evaluation.slices.0.quantiles: [0.5, 0.5] holds no row",
        ),
        ({"column": "likes", "quantiles": [0, 2]}, "evaluation.slices.0.quantiles.1: 2: must be at most 1"),
        (
            {"column": "likes", "all_of": [OLD]},
            "evaluation.slices.0.column: beside all_of; move it into all_of",
        ),
        ({"all_of": [OLD, {"column": "x"}]}, "evaluation.slices.0.all_of.1: exactly one of value, at_least"),
        (
            {"all_of": [{"column": "x", "value": 1}]},
            "evaluation.slices.0.all_of.0.column: 'x' is no column of features",
        ),
    ],
)
def test_a_slice_that_cannot_be_is_refused_with_its_path(one: dict[str, Any], message: str):
    content = {
        **tiny_config().model_dump(exclude_none=True),
        "evaluation": _evaluation([{"name": "s", **one}]),
    }
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config(content)
