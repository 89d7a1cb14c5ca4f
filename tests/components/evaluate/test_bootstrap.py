"""Replicates of a difference, also where a metric is undefined."""

import numpy as np

from components.common.metrics.bootstrap import METRICS, paired_differences, standard_error


def test_a_difference_is_undefined_where_one_of_the_two_is():
    ours = dict.fromkeys(METRICS, np.array([1.5, np.inf, np.inf, np.nan, -np.inf]))
    theirs = dict.fromkeys(METRICS, np.array([1.0, np.inf, 2.0, 2.0, np.inf]))
    for difference in paired_differences(ours, theirs).values():
        np.testing.assert_array_equal(difference, [0.5, np.nan, np.nan, np.nan, np.nan])
        assert standard_error(difference) is None
