"""Compare configs: train each with several seeds, and score all on the same test rows, paired with the first."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.common.artifacts.evaluation import Interval
from components.common.metrics.bootstrap import interval, standard_error
from components.common.metrics.gains import PairedGain, paired_gains
from components.common.metrics.task_metrics import measure
from pipeline.experiments.frozen_data import FrozenData
from pipeline.experiments.trial import Fitted, fit, judged_gains, score
from recap_model.config import RecapConfig


@dataclass(frozen=True)
class Change:
    """A config's gain less the first config's, a mean over seeds; ``interval`` has one-sided bounds."""

    value: float
    interval: Interval | None

    @property
    def words(self) -> str:
        """Whether the bounds tell the two apart."""
        if self.interval is None or self.interval.low <= 0.0 <= self.interval.high:
            return "not shown to differ"
        return "better" if self.interval.low > 0.0 else "worse"


@dataclass(frozen=True)
class TaskResult:
    """One task, means over seeds: RCE or a value's skill, AUC or XAUC; ``judged`` if it has enough positives."""

    metric: str
    gain: float | None
    order: float | None
    judged: bool
    change: Change | None = None


@dataclass(frozen=True)
class ConfigResult:
    """A config's results. ``mean_gain`` and ``mean_change`` are over the gate's objectives."""

    name: str
    tasks: dict[str, TaskResult]
    mean_gain: float
    mean_change: Change | None
    train_s: float
    calibrate_s: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _Scored:
    """One config under one seed."""

    gains: dict[str, PairedGain]
    orders: dict[str, float | None]
    fitted: Fitted


def compare_configs(
    configs: Mapping[str, RecapConfig],
    data: FrozenData,
    folder: Path,
    seeds: int = 1,
    report: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[ConfigResult]:
    """Train, calibrate and score each config with each seed, and pair it with the first config.

    Seeds are ``training.seed`` of the first config and those after it, the same for all configs. The bounds have the
    sampling error of the users (paired bootstrap) and, from two seeds on, the error of the mean over seeds.

    Args:
        configs: by name; all prepare the same sets (`check_same_data`).
        folder: for models and scores.
        report: called before each training and at the end, with what is done of how many and a few words.

    Raises:
        ValueError: no objective has enough positives among the test rows, or a config cannot be trained.
    """
    names = list(configs)
    first = configs[names[0]]
    scored: dict[str, list[_Scored]] = {name: [] for name in names}
    total, done = len(names) * seeds, 0
    for seed in range(first.training.seed, first.training.seed + seeds):
        reference: Path | None = None
        for name in names:
            report(done, total, f"{name}, seed {seed}")
            training = configs[name].training.model_copy(update={"seed": seed})
            config = configs[name].model_copy(update={"training": training})
            one, model = _run(config, data, folder / f"{name}-{seed}", reference, first)
            reference = reference or model
            scored[name].append(one)
            done += 1
    report(total, total, "done")
    return [_combine(name, scored[name], first, is_first=name == names[0]) for name in names]


def _run(
    config: RecapConfig, data: FrozenData, folder: Path, reference: Path | None, first: RecapConfig
) -> tuple[_Scored, Path]:
    """One config under one seed; without a reference it is compared with itself."""
    fitted = fit(data, config, folder)
    table = score(data, config, fitted.model, reference or fitted.model, folder / "scores.parquet")
    evaluation = measure(table, config.model_copy(update={"evaluation": _without_slices(config)})).evaluation
    orders = {
        task: measured.order if (measured := evaluation.measured(task)) else None for task in table.tasks
    }
    settings = first.evaluation
    gains = paired_gains(table, config, settings.bootstrap_replicates, settings.seed)
    return _Scored(gains, orders, fitted), fitted.model


def _without_slices(config: RecapConfig) -> Any:
    return config.evaluation.model_copy(update={"slices": []})


def _combine(name: str, seeds: list[_Scored], first: RecapConfig, is_first: bool) -> ConfigResult:
    confidence = first.evaluation.gate.confidence
    judged = judged_gains(seeds[0].gains, first)[0]
    tasks = {}
    for task in seeds[0].gains:
        gains = [one.gains[task] for one in seeds]
        orders = [order for one in seeds if (order := one.orders[task]) is not None]
        value = float(np.mean([gain.candidate for gain in gains]))
        tasks[task] = TaskResult(
            metric="RCE" if first.tasks[task].kind == "binary" else "skill",
            gain=value if math.isfinite(value) else None,
            order=float(np.mean(orders)) if orders else None,
            judged=task in judged,
            change=None if is_first else _change(gains, confidence),
        )
    means = [judged_gains(one.gains, first)[1] for one in seeds]
    return ConfigResult(
        name=name,
        tasks=tasks,
        mean_gain=mean_of(means),
        mean_change=None if is_first else _change(means, confidence),
        train_s=float(np.mean([one.fitted.train_s for one in seeds])),
        calibrate_s=float(np.mean([one.fitted.calibrate_s for one in seeds])),
    )


def mean_of(gains: list[PairedGain]) -> float:
    """The mean over seeds of the candidate's gain."""
    return float(np.mean([gain.candidate for gain in gains]))


def _change(gains: list[PairedGain], confidence: float) -> Change | None:
    differences = np.array([gain.difference for gain in gains])
    if not np.isfinite(differences).all():
        return None
    value = float(differences.mean())
    error = standard_error(np.mean([gain.replicates for gain in gains], axis=0))
    if error is None:
        return Change(value, None)
    if len(differences) > 1:
        error = math.hypot(error, float(differences.std(ddof=1)) / math.sqrt(len(differences)))
    return Change(value, interval(value, error, confidence))
