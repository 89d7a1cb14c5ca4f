"""Several configs on one prepared set, paired on the same test rows."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.metrics.gains import mean_gain, paired_gains
from components.common.metrics.task_metrics import measure
from pipeline.experiments.compare import compare_configs
from pipeline.experiments.frozen_data import FrozenData, check_same_data
from pipeline.experiments.trial import fit, score
from tests.tiny import tiny_config

FIRST = tiny_config()
LONGER = tiny_config(training={"batch_size": 64, "epochs": 6})


def test_configs_are_trained_with_the_same_seeds_and_paired_with_the_first(data: FrozenData, tmp_path: Path):
    done: list[tuple[int, int]] = []
    configs = {"first": FIRST, "same": FIRST, "longer": LONGER}
    first, same, longer = compare_configs(
        configs, data, tmp_path, seeds=2, report=lambda number, total, what: done.append((number, total))
    )
    assert done == [(number, 6) for number in range(7)]
    assert (first.mean_change, first.tasks["like"].change) == (None, None)
    # The same weights, as of one seed each, so that there is no difference at all.
    assert same.mean_change is not None
    assert (same.mean_change.value, same.mean_change.interval) == (0.0, (0.0, 0.0))
    assert longer.mean_change is not None
    assert longer.mean_change.value == pytest.approx(longer.mean_gain - first.mean_gain)
    assert longer.tasks["reply"].order != first.tasks["reply"].order


def test_a_paired_gain_is_the_difference_that_evaluate_measures(data: FrozenData, tmp_path: Path):
    models = [fit(data, config, tmp_path / str(n)).model for n, config in enumerate((FIRST, LONGER))]
    table = score(data, LONGER, models[1], models[0], tmp_path / "scores.parquet")
    measured = measure(table, LONGER).evaluation.tasks
    settings = LONGER.evaluation
    gains = paired_gains(table, LONGER, settings.bootstrap_replicates, settings.seed)
    for task, gain in gains.items():
        difference = measured[task].difference
        assert difference is not None
        assert gain.difference == pytest.approx(difference.rce)
        assert gain.interval(0.95) == pytest.approx(difference.interval.rce)
    mean = mean_gain(gains)
    assert mean.difference == pytest.approx(np.mean([gain.difference for gain in gains.values()]))
    # Tasks of the same users are not independent: the error of the mean is not theirs by the root of two.
    assert mean.replicates == pytest.approx((gains["like"].replicates + gains["reply"].replicates) / 2)
    assert math.isfinite(mean.replicates.std())


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"data": {"days": 4}}, "data.days: 4 differs from 5 in a.yaml"),
        (
            {"tasks": {"like": {}, "reply": {"label": "like"}}},
            "tasks.reply.label: 'like' differs from nothing",
        ),
        ({"data": {"days": 5, "engine": {"kind": "local"}}}, None),
        ({"tasks": {"like": {"score_weight": 3.0}, "reply": {}}}, None),
        ({"training": {"batch_size": 32}}, None),
    ],
)
def test_configs_that_would_prepare_other_sets_are_refused_by_the_field_that_differs(
    sections: dict[str, Any], reason: str | None
):
    if reason is None:
        check_same_data("b.yaml", tiny_config(**sections), "a.yaml", FIRST)
        return
    with pytest.raises(ValueError, match=f"^b.yaml: {reason}"):
        check_same_data("b.yaml", tiny_config(**sections), "a.yaml", FIRST)
