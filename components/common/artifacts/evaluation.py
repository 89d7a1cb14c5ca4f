"""The typed form of ``metrics.json``, and the names of the evaluation's other files."""

from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from recap_model.json_files import read_model

METRICS_NAME = "metrics.json"
REPORT_NAME = "report.html"
SCORES_NAME = "scores.parquet"

NO_SUCH_TASK = "the model has no such task"
INTERVAL = "interval"  # among the reasons, of all errors and intervals together

_VALUE_HEADLINE = ("skill", "mae", "xauc", "calibration_ratio")
_HEADLINE = ("auc", "rce", "log_loss", "calibration_ratio")


class _Part(BaseModel):
    """Part of ``metrics.json``; fields of other versions are ignored, and what they lack is None."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


def _is_none(value: object) -> bool:
    return value is None


class Interval(NamedTuple):
    """One-sided bounds, each at the gate's confidence."""

    low: float
    high: float


class Errors(_Part):
    """Bootstrap standard errors; None with too few rows, positives or negatives."""

    auc: float | None = None
    log_loss: float | None = None
    rce: float | None = None
    calibration_ratio: float | None = None


class Intervals(_Part):
    """Bounds of the metrics that the bootstrap resamples."""

    auc: Interval | None = None
    log_loss: Interval | None = None
    rce: Interval | None = None
    calibration_ratio: Interval | None = None


class Metrics(_Part):
    """Every metric of one task, of one model or the difference of two; None where it is not defined on the rows.

    ``ece`` is the debiased expected calibration error, `recap_model.metrics.expected_calibration_error`; ``gauc`` is
    of the sampled users.
    """

    auc: float | None = None
    pr_auc: float | None = None
    log_loss: float | None = None
    rce: float | None = None
    nrce: float | None = None
    brier: float | None = None
    predicted_rate: float | None = None
    calibration_ratio: float | None = None
    ece: float | None = None
    brier_reliability: float | None = None
    brier_resolution: float | None = None
    brier_uncertainty: float | None = None
    brier_within: float | None = None
    calibration_intercept: float | None = None
    calibration_slope: float | None = None
    gauc: float | None = None


class ModelMetrics(Metrics):
    """One model's metrics; ``undefined`` has the reason for each that is None."""

    undefined: dict[str, str] = {}


class Comparison(Metrics):
    """Candidate less champion, on the same rows and with paired errors."""

    error: Errors = Errors()
    interval: Intervals = Intervals()


class TaskMetrics(ModelMetrics):
    """The candidate's metrics of one task in one slice.

    Attributes:
        rows, positives: that have a label, without weights.
        rate: weighted mean label.
        champion, difference: None without a champion.
        anchor, anchor_difference: of all rows; None without an anchor, or where it is the champion.
    """

    gain_name: ClassVar[str] = "RCE"
    rows: NonNegativeInt = 0
    positives: NonNegativeInt = 0
    rate: float | None = None
    error: Errors = Errors()
    interval: Intervals = Intervals()
    champion: ModelMetrics | None = None
    difference: Comparison | None = None
    anchor: ModelMetrics | None = Field(None, exclude_if=_is_none)
    anchor_difference: Comparison | None = Field(None, exclude_if=_is_none)

    @property
    def gain(self) -> float | None:
        """The RCE."""
        return self.rce

    @property
    def order(self) -> float | None:
        """The AUC."""
        return self.auc

    @property
    def gain_change(self) -> tuple[float | None, float | None]:
        """The difference of the RCE, and its standard error."""
        return (self.difference.rce, self.difference.error.rce) if self.difference else (None, None)

    @property
    def gain_interval(self) -> Interval | None:
        """Bounds of that difference."""
        return self.difference.interval.rce if self.difference else None

    @property
    def champion_undefined(self) -> str | None:
        """Why the champion has no RCE; None if it has."""
        return self.champion.undefined.get("rce") if self.champion else None


class ValueErrors(_Part):
    """Bootstrap standard errors of a value task's metrics; None where too few users tell of one."""

    skill: float | None = None
    mae: float | None = None
    calibration_ratio: float | None = None


class ValueIntervals(_Part):
    """Bounds of the metrics that the bootstrap resamples."""

    skill: Interval | None = None
    mae: Interval | None = None
    calibration_ratio: Interval | None = None


class ValueMetrics(_Part):
    """Every metric of one value task, of one model or the difference of two, by `recap_model.metrics.values`.

    ``skill`` is the per cent of the best constant's deviance that predictions save, of the task's loss (of Poisson
    where calibrated means are no least of it);
    ``relative_mae`` the absolute error over that of the best constant.
    """

    skill: float | None = None
    mae: float | None = None
    relative_mae: float | None = None
    rmse: float | None = None
    r2: float | None = None
    xauc: float | None = None
    predicted_mean: float | None = None
    calibration_ratio: float | None = None


class ValueModelMetrics(ValueMetrics):
    """One model's metrics; ``undefined`` has the reason for each that is None."""

    undefined: dict[str, str] = {}


class ValueComparison(ValueMetrics):
    """Candidate less champion, on the same rows and with paired errors."""

    error: ValueErrors = ValueErrors()
    interval: ValueIntervals = ValueIntervals()


class Decile(NamedTuple):
    """Rows of neighbouring predictions: their weight, mean prediction and mean label."""

    weight: float
    predicted: float
    observed: float


class ValueTaskMetrics(ValueModelMetrics):
    """The candidate's metrics of one value task in one part of the rows.

    Attributes:
        rows, positives: that have a label, and one over 0, without weights.
        mean: weighted mean label.
        deciles: of all rows, by rising prediction.
        champion, difference: None without a champion.
        anchor, anchor_difference: of all rows; None without an anchor, or where it is the champion.
    """

    gain_name: ClassVar[str] = "skill"
    rows: NonNegativeInt = 0
    positives: NonNegativeInt = 0
    mean: float | None = None
    deciles: list[Decile] = []
    error: ValueErrors = ValueErrors()
    interval: ValueIntervals = ValueIntervals()
    champion: ValueModelMetrics | None = None
    difference: ValueComparison | None = None
    anchor: ValueModelMetrics | None = Field(None, exclude_if=_is_none)
    anchor_difference: ValueComparison | None = Field(None, exclude_if=_is_none)

    @property
    def gain(self) -> float | None:
        """The skill."""
        return self.skill

    @property
    def order(self) -> float | None:
        """The XAUC."""
        return self.xauc

    @property
    def gain_change(self) -> tuple[float | None, float | None]:
        """The difference of the skill, and its standard error."""
        return (self.difference.skill, self.difference.error.skill) if self.difference else (None, None)

    @property
    def gain_interval(self) -> Interval | None:
        """Bounds of that difference."""
        return self.difference.interval.skill if self.difference else None

    @property
    def champion_undefined(self) -> str | None:
        """Why the champion has no skill; None if it has."""
        return self.champion.undefined.get("skill") if self.champion else None


class SliceMetrics(_Part):
    """A slice's rows, and each task's metrics on them; ``min_rows`` is the slice's own least number of rows."""

    rows: NonNegativeInt
    min_rows: PositiveInt | None = Field(None, exclude_if=_is_none)
    tasks: dict[str, TaskMetrics]
    values: dict[str, ValueTaskMetrics] = Field({}, exclude_if=lambda value: not value)

    def measured(self, task: str) -> TaskMetrics | ValueTaskMetrics | None:
        """The metrics of a task of either kind; None if it was not measured."""
        return self.tasks.get(task) or self.values.get(task)


class ListMetrics(_Part):
    """One model's ranked lists: mean NDCG of the top k, and the mean gain of a row in it."""

    ndcg: float | None = None
    mean_gain: float | None = None


class RankedLists(ListMetrics):
    """The candidate's ranked lists, beside the champion's.

    Attributes:
        by: what a list is of, ``request`` or ``user``; None if neither id is known.
        lists, share: how many were sampled, and their fraction of all lists.
        top_k_change: fraction of the candidate's top k rows that are not among the champion's.
        undefined: why none of this is defined.
    """

    k: int = 0
    by: str | None = None
    lists: NonNegativeInt | None = None
    share: float | None = None
    champion: ListMetrics | None = None
    top_k_change: float | None = None
    undefined: str | None = None


class ScoreSupport(_Part):
    """Which fraction of the change of the weighted score the labels support.

    Least squares of the champion's residuals (label less prediction) on the difference of the two models'
    predictions, tasks weighted by the squared weights of their terms of the score: 1 if the candidate predicts the
    labels exactly, 0 if the champion does, and over 1/2 if the candidate's squared error is the smaller one.
    (Forecast encompassing; Chong and Hendry, Review of Economic Studies 53(4), 1986.)
    """

    value: float
    interval: Interval


class Evaluation(_Part):
    """Everything measured on the test rows.

    Attributes:
        users: how many there are; None where they are not known.
        not_finite: rows of which the candidate's score, or one of its probabilities, is not finite.
        score_psi: population stability index of the scores against the champion's on the same rows.
    """

    rows: NonNegativeInt = 0
    users: NonNegativeInt | None = None
    not_finite: NonNegativeInt = 0
    tasks: dict[str, TaskMetrics]
    values: dict[str, ValueTaskMetrics] = Field({}, exclude_if=lambda value: not value)
    slices: dict[str, SliceMetrics] = {}
    lists: RankedLists = RankedLists()
    score_psi: float | None = None
    score_support: ScoreSupport | None = None

    def measured(self, task: str) -> TaskMetrics | ValueTaskMetrics | None:
        """The metrics of a task of either kind; None if it was not measured."""
        return self.tasks.get(task) or self.values.get(task)

    def against_anchor(self) -> "Evaluation":
        """The same measurements with the anchor in the champion's place."""
        parts: dict[str, dict[str, TaskMetrics | ValueTaskMetrics]] = {
            "tasks": {**self.tasks},
            "values": {**self.values},
        }
        return self.model_copy(
            update={
                kind: {
                    task: one.model_copy(update={"champion": one.anchor, "difference": one.anchor_difference})
                    for task, one in measured.items()
                }
                for kind, measured in parts.items()
            }
        )

    @classmethod
    def read(cls, folder: str | Path) -> "Evaluation":
        """Read an evaluation's metrics. Raises FileNotFoundError or ValueError, which name the file."""
        return read_model(Path(folder) / METRICS_NAME, cls, "evaluate")

    def headline(self) -> dict[str, float]:
        """``METRIC/TASK`` for the few metrics that are shown beside a version, where they are defined.

        >>> Evaluation(tasks={"like": TaskMetrics(auc=0.7)}).headline()
        {'auc/like': 0.7}
        """
        of_tasks = [(task, measured, _HEADLINE) for task, measured in self.tasks.items()]
        of_values = [(task, measured, _VALUE_HEADLINE) for task, measured in self.values.items()]
        return {
            f"{name}/{task}": value
            for task, measured, names in (*of_tasks, *of_values)
            for name in names
            if (value := getattr(measured, name)) is not None
        }
