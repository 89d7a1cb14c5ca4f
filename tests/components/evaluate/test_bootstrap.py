"""Replicates of a difference, also where a metric is undefined, and as many as there are independent users."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.metrics.accumulate import accumulate
from components.common.metrics.bootstrap import (
    METRICS,
    draw_counts,
    interval,
    paired_differences,
    replicate_metrics,
    standard_error,
)
from components.common.metrics.task_metrics import measure
from components.common.scoring.score_test_set import score_test_set
from recap_model import metrics
from tests.components.evaluate.score_tables import changed_scores
from tests.datasets import TinySets
from tests.tiny import tiny_config


def test_a_difference_is_undefined_where_one_of_the_two_is():
    ours = dict.fromkeys(METRICS, np.array([1.5, np.inf, np.inf, np.nan, -np.inf]))
    theirs = dict.fromkeys(METRICS, np.array([1.0, np.inf, 2.0, 2.0, np.inf]))
    for difference in paired_differences(ours, theirs).values():
        np.testing.assert_array_equal(difference, [0.5, np.nan, np.nan, np.nan, np.nan])
        assert standard_error(difference) is None


@pytest.mark.parametrize("exact_rows", [1000, 0])
def test_the_bootstrap_spreads_as_much_as_resampled_users_do(
    exact_rows: int, built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    table = score_test_set(model, sets.test, tiny_config(), None, tmp_path / "scores.parquet")
    sums = next(accumulate(table, exact_rows))
    model = sums.models["candidate"]
    assert model.values is not None
    ours = replicate_metrics(
        draw_counts(2000, seed=1), model.values["auc"], sums.weight_sums, model.prediction_sums
    )
    content = pq.read_table(table.path)
    label, prediction, weight = (
        content[f"{kind}/like"].to_numpy() for kind in ("label", "candidate", "weight")
    )
    _, users = np.unique(content["user"].to_numpy(), return_inverse=True)
    random = np.random.default_rng(2)
    plain: dict[str, list[float]] = {"auc": [], "log_loss": [], "rce": [], "calibration_ratio": []}
    for _ in range(400):
        counts = random.poisson(1.0, 20)[users] * weight.astype(float)
        plain["auc"].append(metrics.auc(label, prediction, counts))
        plain["log_loss"].append(metrics.log_loss(label, prediction, counts))
        plain["rce"].append(metrics.relative_cross_entropy(label, prediction, counts))
        plain["calibration_ratio"].append(metrics.calibration_ratio(label, prediction, counts))
    for name, values in plain.items():
        assert standard_error(ours[name]) == pytest.approx(np.std(values), rel=0.2), name
        low, high = interval(float(np.mean(values)), float(np.std(values)), 0.95)
        assert low < np.mean(ours[name]) < high


def test_rows_without_a_user_or_a_request_have_nothing_in_common(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    table = score_test_set(model, sets.test, tiny_config(), None, tmp_path / "scores.parquet")
    content = pq.read_table(table.path)
    users, requests = (content[name].to_numpy() for name in ("user", "request"))
    named = users < 10
    whole = measure(changed_scores(table, tiny_config(), user=users, request=requests), tiny_config())[0]
    gaps = {"user": pa.array(users, mask=~named), "request": pa.array(requests, mask=~named)}
    found = measure(changed_scores(table, tiny_config(), **gaps), tiny_config())[0]
    label, prediction = (content[f"{kind}/like"].to_numpy() for kind in ("label", "candidate"))
    gauc = metrics.grouped_auc(label[named], prediction[named], users[named])
    assert found.users == 10
    assert found.tasks["like"].gauc == pytest.approx(gauc, abs=1e-12)
    assert found.lists.lists == len(np.unique(requests[named]))
    assert found.tasks["like"].auc == whole.tasks["like"].auc

    nobody = pa.nulls(len(users), pa.int64())
    found = measure(changed_scores(table, tiny_config(), user=nobody, request=nobody), tiny_config())[0]
    assert found.tasks["like"].undefined["gauc"] == "no row has a user"
    assert found.lists.undefined == "no row has a request"
    # Of rows that are independent, here by construction, the mean label's error is the binomial one.
    rate = label.mean()
    like = found.tasks["like"]
    assert like.calibration_ratio is not None
    expected = np.sqrt((1.0 - rate) / rate / len(label)) * like.calibration_ratio
    assert like.error.calibration_ratio == pytest.approx(expected, rel=0.35)
