"""The guard of a study: which losses on single tasks keep a trial from winning."""

from collections.abc import Mapping


def deciding_bounds(metrics: Mapping[str, float], margin: float) -> dict[str, float]:
    """By judged task, the bound of a trial's difference that must be at least ``-margin``, in points.

    The lower one shows non-inferiority, as the gate tests it. An interval wider than the margin cannot show it, not
    even of a model that is equal: then it is the upper one, so that only a trial that is shown to be worse is kept
    back. The gate still tests what is retrained with the winner's settings.

    Args:
        metrics: a trial's, with ``change/TASK`` and ``low/TASK``.
        margin: ``evaluation.gate.max_rce_loss``.
    """
    wide = set(undecided_tasks(metrics, margin))
    return {
        task: 2 * change - low if task in wide else low for task, (change, low) in _intervals(metrics).items()
    }


def undecided_tasks(metrics: Mapping[str, float], margin: float) -> list[str]:
    """The judged tasks whose bounds are further than ``margin`` from a trial's difference."""
    return [task for task, (change, low) in _intervals(metrics).items() if change - low > margin]


def _intervals(metrics: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """By task, the difference and its lower bound; the bounds are symmetric."""
    lows = {name.partition("/")[2]: low for name, low in metrics.items() if name.startswith("low/")}
    return {task: (metrics[f"change/{task}"], low) for task, low in lows.items()}
