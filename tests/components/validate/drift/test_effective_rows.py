"""How alike the rows of one id are: by the analysis of variance, and what that leaves of the rows."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from components.validate.drift.effective_rows import effective_fraction, measure_correlations
from components.validate.profile.columns import Block
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.sketches.histogram import assign_number_bins, count_id_buckets
from components.validate.profile.statistics import Stats
from recap_model.data.log.column_roles import LogColumn
from recap_model.data.log.id_hashing import splitmix64

USERS = Block("id", (LogColumn("user", "id", "features.ids"),))
AMOUNTS = Block(
    "continuous",
    tuple(
        LogColumn(name, "continuous", "features.continuous") for name in ("amount", "noise", "own", "gaps")
    ),
)


def log(users: int = 50, each: int = 8) -> pa.Table:
    random = np.random.default_rng(0)
    user = np.repeat(np.arange(users), each)
    own = random.lognormal(size=users)[user]
    return pa.table(
        {
            "user": user,
            "amount": own * random.lognormal(0.0, 0.5, users * each),
            "noise": random.normal(size=users * each),
            "own": own,
            "gaps": pa.array(own, mask=random.random(users * each) < 0.3),
        }
    )


def test_the_correlation_is_that_of_scipys_analysis_of_variance():
    table = log()
    bins = assign_number_bins(table["amount"].to_numpy()).reshape(50, 8)
    ratio = stats.f_oneway(*bins).statistic
    found = measure_correlations(table, [USERS, AMOUNTS])["amount"]["user"]
    assert found == pytest.approx((ratio - 1) / (ratio + 7))


def test_a_value_of_the_user_is_alike_in_all_rows_whatever_is_missing_and_noise_in_none():
    alike = measure_correlations(log(), [USERS, AMOUNTS])
    assert alike["own"]["user"] == pytest.approx(1.0)
    assert alike["gaps"]["user"] == pytest.approx(1.0)
    assert alike["noise"]["user"] < 0.1


def part_of(users: int, each: int) -> PartitionProfile:
    part = PartitionProfile(users * each)
    hashes = splitmix64(np.repeat(np.arange(users), each).view(np.uint64))
    part.add("id", ["user"], Stats.empty(1), count_id_buckets([hashes]))
    return part


def test_rows_that_are_all_alike_count_as_many_as_there_are_users():
    part = part_of(200, 10)
    assert part.rows * effective_fraction(part, {"user": 1.0}) == pytest.approx(200, rel=0.05)
    assert effective_fraction(part, {"user": 0.0}) == 1.0
    assert effective_fraction(part, {}) == 1.0


def test_ids_that_are_strings_null_or_not_there_are_no_hindrance():
    table = log()
    strings = [None, *map(str, table["user"].to_pylist()[1:])]
    table = table.set_column(0, "user", pa.array(strings))
    assert measure_correlations(table, [USERS, AMOUNTS])["own"]["user"] > 0.9
    assert measure_correlations(table.drop_columns(["user"]), [USERS, AMOUNTS]) == {}
    assert measure_correlations(None, [USERS, AMOUNTS]) == {}
