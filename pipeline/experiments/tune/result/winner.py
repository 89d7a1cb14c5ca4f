"""The best trial of a study, and how sure it is better than the current config, corrected for the best of all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.common.artifacts.evaluation import Interval
from components.common.metrics.bootstrap import interval, standard_error
from pipeline.experiments.tune.study.trial_runs import TrialRecord


@dataclass(frozen=True)
class Winner:
    """The best trial that passes the guard of judged tasks (`deciding_bounds`).

    Attributes:
        change: its mean gain over objectives less that of the current config, on the validation rows.
        interval: one-sided bounds of ``change``, without a correction for the choice of the best.
        p_value: the probability of so high a best change if no trial were better, by `reality_check`.
        compared: complete trials that it is the best of.
    """

    record: TrialRecord
    change: float
    interval: Interval | None
    p_value: float
    compared: int


def choose_winner(records: Sequence[TrialRecord], confidence: float) -> Winner | None:
    """The complete trial of the highest change that passes the guard of judged tasks; None if none is better."""
    complete = [
        one for one in records if one.state == "complete" and one.number > 0 and one.change is not None
    ]
    eligible = [one for one in complete if one.metrics.get("shortfall", 0.0) <= 0.0]
    best = max(eligible, key=lambda one: one.change or 0.0, default=None)
    if best is None or best.change is None or best.change <= 0.0:
        return None
    error = standard_error(np.array(best.replicates))
    return Winner(
        best,
        best.change,
        None if error is None else interval(best.change, error, confidence),
        reality_check(best.change, complete),
        len(complete),
    )


def reality_check(change: float, complete: Sequence[TrialRecord]) -> float:
    """The p-value of the best change among several trials that were scored on the same rows.

    White, "A Reality Check for Data Snooping", Econometrica 68(5), 2000: the distribution of the highest change under
    the hypothesis that no trial is better is that of the highest centred replicate, over the same resampled users for
    all trials. Trials that resemble one another cost less than under Bonferroni's correction. That later trials were
    proposed from earlier results is not corrected for.
    """
    centred = [
        np.array(one.replicates) - one.change
        for one in complete
        if one.change is not None and len(one.replicates) == len(complete[0].replicates) > 0
    ]
    if not centred:
        return 1.0
    highest = np.max(np.stack(centred), axis=0)
    return float((1 + (highest >= change).sum()) / (1 + len(highest)))
