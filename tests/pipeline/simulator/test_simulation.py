"""What the simulated log is like: rates, dependence, flaws, signal, bias, drift, truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from pipeline.simulator import write_log
from pipeline.simulator.columns import BINARY, CONTINUOUS, DISCRETE, EMBEDDINGS, IDS, SCHEMA
from pipeline.simulator.labels import (
    AUTHOR_ENGAGED,
    CLICKED_ENGAGED,
    CLICKED_STAYED,
    FAVORITED,
    NEGATIVE,
    REPLIED,
    REPORTED,
    RETWEETED,
    TASKS,
    VIDEO,
    on_time_probability,
)
from tests.pipeline.simulator.reading import labels, read, read_days, vectors

WINDOW_MS = 3 * 3_600_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("large")
    write_log(out, rows=200_000, days=2, truth=True)
    return out


@pytest.fixture(scope="module")
def log(root: Path) -> pa.Table:
    return read(root)


@pytest.fixture(scope="module")
def truth(root: Path) -> pa.Table:
    return read(root / "_truth")


def test_columns_are_those_of_the_schema(log: pa.Table):
    assert log.schema.equals(SCHEMA)
    assert len(CONTINUOUS) == 26
    assert len(BINARY) == 9
    assert len(log) == 200_000


def test_rates_are_those_of_a_real_timeline(log: pa.Table):
    rate = {task: values.mean() for task, values in labels(log).items()}
    assert 0.01 < rate[FAVORITED] < 0.05
    assert 0.5e-4 < rate[REPORTED] < 5e-4
    assert 0.02 < rate[VIDEO] < 0.10
    others = set(TASKS) - {FAVORITED, REPORTED, VIDEO}
    assert all(0.001 < rate[task] < 0.02 for task in others)


def test_an_engagement_that_needs_another_never_comes_without_it(log: pa.Table):
    label = labels(log)
    assert (label[AUTHOR_ENGAGED] <= label[REPLIED]).all()
    assert (label[VIDEO] <= log["has_video"].to_numpy()).all()
    engaged = np.stack(list(label.values())).any(axis=0)
    assert (engaged == log["engaged_ms"].is_valid().to_numpy()).all()


def test_engagements_of_a_row_go_together_beyond_their_probabilities(log: pa.Table, truth: pa.Table):
    label = labels(log)
    for one, other in ((FAVORITED, RETWEETED), (FAVORITED, REPLIED), (CLICKED_ENGAGED, CLICKED_STAYED)):
        independent = truth[f"truth.{one}"].to_numpy() * truth[f"truth.{other}"].to_numpy()
        assert (label[one] * label[other]).sum() > 1.5 * independent.sum()
    assert np.corrcoef(label[FAVORITED], label[NEGATIVE])[0, 1] < 0.0


def test_counts_have_heavy_tails(log: pa.Table):
    for column in ("post_like_count", "author_follower_count", "user_author_past_likes"):
        values = log[column].to_numpy()
        assert values.mean() > 2.0 * np.median(values)
        assert values.max() > 50.0 * values.mean()


def test_values_are_missing_and_some_are_not_finite_but_only_a_few(log: pa.Table):
    with_nulls = {name for name in (*CONTINUOUS, *DISCRETE) if log[name].null_count}
    assert {"text_length", "user_past_like_rate", "hours_since_author_seen", "language"} <= with_nulls
    assert all(log[name].null_count < 0.3 * len(log) for name in with_nulls)
    ratio = log["author_likes_per_follower"].to_numpy()
    assert np.isnan(ratio).any()
    assert np.isinf(ratio).any()
    assert (~np.isfinite(ratio)).mean() < 0.05
    others = set(CONTINUOUS) - {"author_likes_per_follower"}
    assert all(np.isfinite(log[name].drop_null().to_numpy()).all() for name in others)
    assert not any(log[name].null_count for name in (*IDS, *BINARY, *TASKS, "served_ms", "impressed_ms"))


def test_new_accounts_have_no_engagement_embedding(log: pa.Table):
    zeros = ~vectors(log, "user_eng_embedding").any(axis=1)
    assert (zeros == log["user_past_like_rate"].is_null().to_numpy()).all()
    assert 0.0 < zeros.mean() < 0.2


def test_embeddings_carry_signal(log: pa.Table):
    likes = log[FAVORITED].to_numpy()
    user, author = vectors(log, "user_embedding"), vectors(log, "author_embedding")
    assert roc_auc_score(likes, (user * author).sum(axis=1)) > 0.6
    assert roc_auc_score(likes, (user * np.roll(author, 1_000, axis=0)).sum(axis=1)) < 0.55
    assert all(np.isfinite(vectors(log, name)).all() for name in EMBEDDINGS)


def test_a_request_is_a_ranked_list_of_different_posts(log: pa.Table):
    requests = log["request_id"].to_numpy()
    starts = np.flatnonzero(np.r_[True, np.diff(requests) != 0])
    sizes = np.diff(np.r_[starts, len(requests)])
    assert len(starts) == len(np.unique(requests))
    assert (log["position"].to_numpy() == np.arange(len(requests)) - np.repeat(starts, sizes)).all()
    # A block's last request is cut short.
    assert (sizes < 10).sum() <= 4
    assert sizes.max() == 20
    assert len(
        log.select(["request_id", "post_id"]).group_by(["request_id", "post_id"]).aggregate([])
    ) == len(log)


def test_higher_positions_get_more_even_where_the_content_is_as_good(log: pa.Table, truth: pa.Table):
    position = log["position"].to_numpy()
    likes = log[FAVORITED].to_numpy()
    assert likes[position == 0].mean() > 2.0 * likes[position == 9].mean()
    # Divided by the chance of being examined, what is left of the truth stays a probability.
    examined = (1.0 + position) ** -0.35
    for task in TASKS:
        assert (truth[f"truth.{task}"].to_numpy() / examined).max() <= 1.0


def test_a_post_is_shown_after_it_was_written_and_seen_after_it_was_served(log: pa.Table):
    age = log["hours_since_post"].to_numpy()
    assert age.min() >= 0.0
    assert age.max() <= 48.0
    assert pc.all(pc.greater(log["impressed_ms"], log["served_ms"])).as_py()
    engaged = log.filter(log["engaged_ms"].is_valid())
    assert pc.all(pc.greater_equal(engaged["engaged_ms"], engaged["impressed_ms"])).as_py()
    day = (log["served_ms"].to_numpy() // 86_400_000) - 20_513  # days from 1970-01-01 to 2026-03-01
    assert (np.bincount(day) == [100_000, 100_000]).all()


def test_some_engagements_are_too_late_as_often_as_the_truth_says(log: pa.Table, truth: pa.Table):
    delay = log["impressed_ms"].to_numpy() - log["served_ms"].to_numpy()
    assert 0.002 < (delay >= WINDOW_MS).mean() < 0.05
    engaged = log["engaged_ms"].is_valid().to_numpy()
    waited = log["engaged_ms"].fill_null(0).to_numpy()[engaged] - log["served_ms"].to_numpy()[engaged]
    expected = truth["on_time_3h"].to_numpy()[engaged]
    on_time = waited < WINDOW_MS
    assert 0.01 < 1.0 - on_time.mean() < 0.15
    assert abs(on_time.sum() - expected.sum()) < 4.0 * np.sqrt((expected * (1.0 - expected)).sum())


def test_the_probability_of_being_on_time_in_closed_form():
    # 8 % of the engagements wait 4 hours on average, so 8 % · exp(-3/4) come after 3 hours; the quick ones do not.
    assert on_time_probability(np.array([0]))[0] == pytest.approx(1.0 - 0.08 * np.exp(-0.75))
    assert on_time_probability(np.array([WINDOW_MS, WINDOW_MS + 1])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_drawn_by_the_truth(task: str, log: pa.Table, truth: pa.Table):
    label, probability = log[task].to_numpy(), truth[f"truth.{task}"].to_numpy()
    assert (probability >= 0.0).all()
    assert (probability < 1.0).all()
    order = np.argsort(probability, kind="stable")
    for part in (order, *np.array_split(order, 10)):
        expected, variance = probability[part].sum(), (probability[part] * (1.0 - probability[part])).sum()
        # Over ten tasks of eleven sums each, 4.5 standard deviations; a count of a few is skewed, hence the 3.
        assert abs(label[part].sum() - expected) < 4.5 * np.sqrt(variance) + 3.0


def test_the_truth_lies_beside_the_rows_it_is_of(log: pa.Table, truth: pa.Table):
    assert truth["request_id"].equals(log["request_id"])
    assert truth["post_id"].equals(log["post_id"])


def test_drift_moves_rates_and_interests(tmp_path: Path):
    def changes(drift: float) -> tuple[float, float]:
        out = tmp_path / str(drift)
        write_log(out, rows=20_000, days=4, drift=drift, truth=True)
        rates = [day[f"truth.{FAVORITED}"].to_numpy().mean() for day in read_days(out / "_truth")]
        known = [_embedding_of_users(day) for day in read_days(out)]
        both = sorted(known[0].keys() & known[-1].keys())
        moved = np.mean([np.abs(known[0][user] - known[-1][user]).max() for user in both])
        return abs(np.log(rates[-1] / rates[0])), float(moved)

    calm, wild = changes(0.0), changes(0.5)
    assert calm[0] < 0.2 < wild[0]
    assert calm[1] == 0.0
    assert wild[1] > 0.3


def _embedding_of_users(log: pa.Table) -> dict[int, Any]:
    return dict(zip(log["user_id"].to_pylist(), vectors(log, "user_embedding"), strict=True))


def test_a_model_of_the_features_is_clearly_better_than_a_constant(log: pa.Table):
    inputs = np.column_stack([log[name].to_numpy() for name in (*CONTINUOUS, *BINARY)]).astype(float)
    inputs[~np.isfinite(inputs)] = np.nan
    likes = log[FAVORITED].to_numpy()
    half = len(log) // 2
    model = HistGradientBoostingClassifier(max_iter=25, random_state=0).fit(inputs[:half:3], likes[:half:3])
    assert 0.72 < roc_auc_score(likes[half:], model.predict_proba(inputs[half:])[:, 1]) < 0.9
