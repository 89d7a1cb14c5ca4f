"""Paired gains: the difference of two models' RCE, or skill of a value task, in every bootstrap replicate."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components.common.artifacts.evaluation import Interval
from components.common.artifacts.score_table import ScoreTable
from components.common.metrics.accumulate import ALL_ROWS, accumulate
from components.common.metrics.bootstrap import (
    Array,
    draw_counts,
    interval,
    paired_differences,
    replicate_metrics,
    standard_error,
)
from components.common.metrics.value_metrics import value_gains
from recap_model.config import RecapConfig


@dataclass(frozen=True)
class PairedGain:
    """One task's gain of the candidate over the table's other model, in RCE points or points of skill.

    Attributes:
        candidate, champion: each model's RCE or skill; NaN where it is not defined.
        positives: labelled rows with a positive, or with a value over 0.
        replicates: (replicates,) of the difference; NaN where it is not defined.
    """

    candidate: float
    champion: float
    positives: int
    replicates: Array

    @property
    def difference(self) -> float:
        return self.candidate - self.champion

    def interval(self, confidence: float) -> Interval | None:
        """One-sided bounds of the difference, each at ``confidence``; None with too few defined replicates."""
        error = standard_error(self.replicates)
        return None if error is None else interval(self.difference, error, confidence)


def paired_gains(
    table: ScoreTable, config: RecapConfig, replicates: int, seed: int = 0
) -> dict[str, PairedGain]:
    """The gain of each task over all rows of a table with two models, from the same resampled users.

    Two tables of the same rows have the same resampled users under the same ``replicates`` and ``seed``, so that
    replicates of different candidates can be compared too.
    """
    counts = draw_counts(replicates, seed)
    gains: dict[str, PairedGain] = {}
    for sums in accumulate(table):
        if sums.slice_name != ALL_ROWS:
            continue
        values = {model: (one.values or {}).get("rce", np.nan) for model, one in sums.models.items()}
        resampled = {
            model: replicate_metrics(counts, np.nan, sums.weight_sums, one.prediction_sums)
            for model, one in sums.models.items()
        }
        difference = paired_differences(resampled["candidate"], resampled["champion"])["rce"]
        gains[sums.task] = PairedGain(values["candidate"], values["champion"], sums.positives, difference)
    for task, positives, values, resampled_skill in value_gains(table, config, counts):
        difference = resampled_skill["candidate"] - resampled_skill["champion"]
        gains[task] = PairedGain(values["candidate"], values["champion"], positives, difference)
    return {task: gains[task] for task in table.tasks}


def mean_gain(gains: Mapping[str, PairedGain]) -> PairedGain:
    """The mean over tasks, with the replicates' mean, so that tasks of the same users are not taken as independent.

    Raises ValueError without a task.
    """
    if not gains:
        raise ValueError(
            "no task is judged on these rows; lower evaluation.gate.min_positives, or give more rows"
        )
    each = list(gains.values())
    return PairedGain(
        float(np.mean([gain.candidate for gain in each])),
        float(np.mean([gain.champion for gain in each])),
        min(gain.positives for gain in each),
        np.mean([gain.replicates for gain in each], axis=0),
    )
