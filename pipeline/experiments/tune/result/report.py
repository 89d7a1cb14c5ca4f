"""The page of a study: result, history, importance of settings, cost."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from components.common.html.charts import (
    Axis,
    Bar,
    Bound,
    Chart,
    Interval,
    Series,
    Tone,
    bar_chart,
    interval_chart,
    line_chart,
    scatter_chart,
)
from components.common.html.render import render
from components.common.html.tables import Table, figure
from pipeline.experiments.tune.result.winner import Winner
from pipeline.experiments.tune.space.space import Space, describe_changes
from pipeline.experiments.tune.study.guard import deciding_bounds, undecided_tasks
from pipeline.experiments.tune.study.search import POINTS, as_frozen_trial
from pipeline.experiments.tune.study.trial_runs import TrialRecord
from recap_model.config.steps.evaluation import GateConfig

_FEWEST_TRIALS = 8  # complete, for importances
_CURVES = 6
_MAX_TRIALS = 1000


@dataclass(frozen=True)
class Cost:
    """Seconds of all trials: training, calibration, and what a complete trial takes besides."""

    train_s: float
    calibrate_s: float
    total_s: float
    overhead_s: float

    @classmethod
    def of(cls, records: Sequence[TrialRecord]) -> "Cost":
        """Of finished trials."""
        complete = [one.metrics for one in records if one.state == "complete"]
        overheads = [one["total_s"] - one["train_s"] - one["calibrate_s"] for one in complete]
        return cls(
            sum(one["train_s"] for one in complete),
            sum(one["calibrate_s"] for one in complete),
            sum(one.metrics.get("total_s", 0.0) for one in records),
            fmean(overheads) if overheads else 0.0,
        )


def importances(space: Space, records: Sequence[TrialRecord]) -> dict[str, float]:
    """How much of the difference between good and other trials each dimension makes, the greatest first.

    By PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023); empty with under eight complete trials.
    """
    import optuna

    complete = [one for one in records if one.state == "complete"]
    if len(complete) < _FEWEST_TRIALS:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize")
        study.add_trials([as_frozen_trial(space, record) for record in complete])
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found: dict[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: value for name, value in found.items() if value > 0.0}


def study_page(
    space: Space, records: Sequence[TrialRecord], winner: Winner | None, diff: str, facts: Mapping[str, str]
) -> str:
    """The page as HTML; ``diff`` is the winner's against the config, ``facts`` go into its header."""
    found = importances(space, records)
    return render(
        "pipeline.experiments.tune.result/tune.html",
        lead=describe_result(records, winner, space.config.evaluation.gate),
        facts=dict(facts),
        diff=diff,
        tasks=_tasks(winner.record) if winner else None,
        history=_history(records, winner),
        curves=_curves(records),
        importance=_importance(found) if found else None,
        slices=_slice(next(iter(found)), space, records) if found else None,
        trials=_trials(space, records),
        space=Table(("setting", "tried"), [(one.name, one.words) for one in space.dimensions]),
    )


def describe_result(records: Sequence[TrialRecord], winner: Winner | None, gate: GateConfig) -> str:
    """The result in a few sentences."""
    states = [record.state for record in records]
    counted = ", ".join(
        f"{states.count(state)} {state}"
        for state in ("complete", "pruned", "failed", "running")
        if state in states
    )
    trials = f"{len(records)} trials ({counted})"
    if winner is None:
        why = _hindered(records, gate.max_rce_loss)
        return f"{trials}. None is better than the current config and no worse on every judged task.{why}"
    bounds = f" [{winner.interval.low:+.3f}, {winner.interval.high:+.3f}]" if winner.interval else ""
    return (
        f"{trials}. Best is trial {winner.record.number}: mean gain {winner.change:+.3f} points{bounds} against the "
        f"current config on the validation rows, {_guarded(winner, gate.max_rce_loss)}; p = {winner.p_value:.3f} "
        f"that the best of {winner.compared} is no better (White's reality check)."
        + (
            ""
            if winner.p_value <= 1.0 - gate.confidence
            else " That is not shown to be better than the current config."
        )
    )


def _guarded(winner: Winner, margin: float) -> str:
    """What is known of the winner's judged tasks."""
    undecided = undecided_tasks(winner.record.metrics, margin)
    if not undecided:
        return "non-inferior on every judged task"
    return (
        f"not shown to be worse on any judged task, and non-inferior on all but {', '.join(undecided)}, whose bounds "
        f"are wider than evaluation.gate.max_rce_loss ({margin:g})"
    )


def _hindered(records: Sequence[TrialRecord], margin: float) -> str:
    """Which tasks keep the trial of the highest mean gain from winning; empty if none gained."""
    complete = [one for one in records if one.state == "complete" and one.number > 0]
    best = max(complete, key=lambda one: one.change or 0.0, default=None)
    if best is None or best.change is None or best.change <= 0.0:
        return ""
    failed = ", ".join(
        f"{task} {best.metrics[f'change/{task}']:+.2f}, lower bound {best.metrics[f'low/{task}']:+.2f}"
        for task, bound in deciding_bounds(best.metrics, margin).items()
        if bound < -margin
    )
    return (
        f" Trial {best.number} has a mean gain of {best.change:+.3f} points, but may be worse on a task "
        f"({failed or 'bounds are not defined'}); more validation rows narrow the bounds, and "
        "evaluation.gate.max_rce_loss allows more."
    )


def _tasks(record: TrialRecord) -> Chart:
    changes = {
        name.partition("/")[2]: value for name, value in record.metrics.items() if name.startswith("change/")
    }
    intervals = []
    for task, value in changes.items():
        low = record.metrics.get(f"low/{task}")
        high = None if low is None else 2 * value - low
        tone: Tone = (
            "good" if low is not None and low > 0 else "bad" if high is not None and high < 0 else "plain"
        )
        intervals.append(Interval(task, value, low, high, tone))
    title = f"Trial {record.number} against the current config, validation rows"
    return interval_chart(
        title, intervals, Axis("RCE or skill difference, points"), bounds=[Bound("no difference", 0.0)]
    )


def _history(records: Sequence[TrialRecord], winner: Winner | None) -> Chart:
    complete = [one for one in records if one.state == "complete" and one.change is not None]
    by_feasible: dict[bool, list[TrialRecord]] = {True: [], False: []}
    for one in complete:
        by_feasible[one.metrics.get("shortfall", 0.0) <= 0.0].append(one)
    series = [
        Series(name, [one.number for one in chosen], [one.change or 0.0 for one in chosen], mark="points")
        for name, chosen in (
            ("passes the guard", by_feasible[True]),
            ("may be worse on a task", by_feasible[False]),
        )
        if chosen
    ]
    best, highest = [], 0.0
    for one in by_feasible[True]:
        highest = max(highest, one.change or 0.0)
        best.append(highest)
    numbers = [one.number for one in by_feasible[True]]
    series.append(Series("best so far", numbers, best, is_reference=True))
    return line_chart(
        "Mean gain of each complete trial less the current config's", series, Axis("trial"), Axis("points")
    )


def _curves(records: Sequence[TrialRecord]) -> Chart | None:
    """Held-out gain during training, of the current config and of the best trials."""
    known = [one for one in records if one.held_out and one.state == "complete"]
    best = sorted(known, key=lambda one: -(one.change or 0.0))[:_CURVES]
    shown = [one for one in known if one.number == 0 and one not in best] + best
    series = [
        Series(f"trial {one.number}", [step / POINTS for step in one.held_out], list(one.held_out.values()))
        for one in shown
    ]
    if not series:
        return None
    return line_chart(
        "Mean gain on validation rows during training, before calibration",
        series,
        Axis("fraction of the training", percent=True),
        Axis("points"),
    )


def _importance(found: Mapping[str, float]) -> Chart:
    return bar_chart(
        "Importance by PED-ANOVA, fractions of their sum",
        [Bar(name, value) for name, value in found.items()],
        Axis("importance", percent=True),
    )


def _slice(name: str, space: Space, records: Sequence[TrialRecord]) -> Chart:
    """Mean gain over the most important dimension; choices by their number."""
    dimension = next(one for one in space.dimensions if one.name == name)
    complete = [one for one in records if one.state == "complete" and one.change is not None]
    texts = list(getattr(dimension.distribution(), "choices", ()))
    x = [float(texts.index(one.point[name]) if texts else one.point[name]) for one in complete]
    ticks = [(float(number), text[:24]) for number, text in enumerate(texts)] if texts else None
    is_log = not texts and (dimension.log or dimension.kind == "scale")
    return scatter_chart(
        f"Mean gain by {name}",
        [Series("complete trials", x, [one.change or 0.0 for one in complete])],
        Axis(name, scale="log" if is_log else "linear", ticks=ticks),
        Axis("points"),
    )


def _trials(space: Space, records: Sequence[TrialRecord]) -> Table:
    rows = []
    for record in records[:_MAX_TRIALS]:
        metrics = record.metrics
        try:
            changed = describe_changes(space.at(record.point)[1])
        except ValueError:
            changed = {}
        words = ", ".join(f"{name} = {text}" for name, text in list(changed.items())[:8])
        rows.append(
            (
                record.number,
                record.state,
                figure(record.change, "+.4f"),
                "" if record.state != "complete" else "no" if metrics.get("shortfall", 0.0) > 0 else "yes",
                figure(metrics.get("train_s"), ".1f"),
                figure(metrics.get("total_s"), ".1f"),
                record.reason or words or "the current config",
            )
        )
    columns = ("trial", "state", "change, points", "passes the guard", "training, s", "total, s", "changes")
    return Table(columns, rows)
