"""Compare the metrics of two versions on the same rows: as recorded at registration, or scored again."""

import contextlib
import io
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from components.common import registry
from components.common.artifacts.evaluation import Evaluation
from recap_model.config import RecapConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient

_METRICS_PATH = "evaluation/metrics.json"


class TaskChange(NamedTuple):
    """One task of two versions: RCE or skill, AUC or XAUC, and the change with one-sided bounds."""

    metric: str
    first: float | None
    second: float | None
    change: float | None
    bounds: tuple[float, float] | None
    order: str
    first_order: float | None
    second_order: float | None


@dataclass(frozen=True)
class SameRows:
    """Two versions on the test rows of one of them; judged tasks only.

    Attributes:
        version: whose test rows these are.
        source: "recorded" at its registration, or "rescored" now.
        confidence: of each bound.
    """

    rows: int
    version: str
    source: str
    confidence: float
    tasks: dict[str, TaskChange]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "tasks": {task: change._asdict() for task, change in self.tasks.items()}}

    def lines(self) -> list[str]:
        """A line for each task, below one on the rows."""
        head = (
            f"metrics: on the same {self.rows:,} test rows, of version {self.version}, {self.source}; judged tasks, "
            f"bounds at {self.confidence:.0%} each"
        )
        return [head, *(f"  {task}: {_describe(change)}" for task, change in self.tasks.items())]


def compare_on_same_rows(client: "MlflowClient", name: str, first: str, second: str) -> SameRows | str:
    """The change from the first version to the second, on rows that both were scored on; or why there is none.

    The registration of the one may have recorded the comparison, if the other was its champion or anchor. Else both
    are scored on the test set of the newer one's run, or the older one's, where its folder is still on this machine.
    """
    for version, other in ((second, first), (first, second)):
        recorded = _read_recorded(client, name, version, other, is_second=version == second)
        if recorded is not None:
            return recorded
    reasons = []
    for version in sorted((first, second), key=int, reverse=True):
        test_set = _find_test_set(client, name, version)
        if test_set is None:
            reasons.append(f"the test set of version {version} is not on this machine")
            continue
        try:
            return _rescore(client, name, (first, second), version, test_set)
        except (ValueError, OSError) as error:
            reasons.append(str(error))
    return "; ".join(reasons)


def _read_recorded(
    client: "MlflowClient", name: str, version: str, other: str, is_second: bool
) -> SameRows | None:
    tags = registry.get_version(client, name, version).tags
    if other not in (tags.get(registry.COMPARED_TAG), tags.get(registry.ANCHOR_TAG)):
        return None
    content = registry.fetch_file(client, name, version, _METRICS_PATH)
    if content is None:
        return None
    evaluation = Evaluation.model_validate_json(content)
    if tags.get(registry.COMPARED_TAG) != other:
        evaluation = evaluation.against_anchor()
    with tempfile.TemporaryDirectory(prefix="recap-diff-") as temporary:
        config = _read_config(registry.download(client, name, version, Path(temporary)))
    if config is None:
        return None
    tasks = _changes(evaluation, config, is_second)
    confidence = config.evaluation.gate.confidence
    return SameRows(evaluation.rows, version, "recorded", confidence, tasks) if tasks else None


def _rescore(
    client: "MlflowClient", name: str, versions: tuple[str, str], owner: str, test_set: Path
) -> SameRows:
    """Raises ValueError or OSError where the other version cannot read the rows, or they are gone or were altered."""
    from components.common.metrics.task_metrics import measure
    from components.common.scoring.score_test_set import score_test_set

    first, second = versions
    other = first if owner == second else second
    with tempfile.TemporaryDirectory(prefix="recap-diff-") as temporary:
        model, champion = (
            registry.download(client, name, version, Path(temporary) / version) for version in (owner, other)
        )
        config = _read_config(model)
        if config is None:
            raise ValueError(f"version {owner} has no config of its data")
        config = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"slices": []})})
        with contextlib.redirect_stdout(io.StringIO()):  # the step's progress
            table = score_test_set(model, test_set, config, champion, Path(temporary) / "scores.parquet")
        evaluation = measure(table, config).evaluation
    tasks = _changes(evaluation, config, owner == second)
    return SameRows(table.rows, owner, "rescored", config.evaluation.gate.confidence, tasks)


def _changes(evaluation: Evaluation, config: RecapConfig, is_second: bool) -> dict[str, TaskChange]:
    """By judged task; in an evaluation the candidate is the second version if ``is_second``, else the first."""
    changes = {}
    for task in config.tasks:
        measured = evaluation.measured(task)
        if measured is None or measured.champion is None or measured.gain_change[0] is None:
            continue
        if measured.positives < config.evaluation.gate.min_positives:
            continue
        name = "rce" if measured.gain_name == "RCE" else "skill"
        order = "auc" if name == "rce" else "xauc"
        sides = [
            (getattr(measured.champion, name), getattr(measured.champion, order)),
            (measured.gain, measured.order),
        ]
        change, interval = measured.gain_change[0], measured.gain_interval
        bounds = (interval.low, interval.high) if interval else None
        if not is_second:
            sides.reverse()
            change, bounds = -change, (-bounds[1], -bounds[0]) if bounds else None
        (first, first_order), (second, second_order) = sides
        changes[task] = TaskChange(
            measured.gain_name, first, second, change, bounds, order.upper(), first_order, second_order
        )
    return changes


def _find_test_set(client: "MlflowClient", name: str, version: str) -> Path | None:
    """The test set beside the scores that a version's lineage names."""
    content = registry.fetch_file(client, name, version, registry.LINEAGE_PATH)
    scores = Path(str((json.loads(content) if content else {}).get("scores", "")))
    folder = scores.parent.parent.parent / "prepare" / "test_set"
    return folder if scores.is_absolute() and folder.is_dir() else None


def _read_config(model: Path) -> RecapConfig | None:
    from recap_model import load_model

    config = load_model(model).config
    return config if isinstance(config, RecapConfig) else None


def _describe(change: TaskChange) -> str:
    bounds = f" ({change.bounds[0]:+.3g} to {change.bounds[1]:+.3g})" if change.bounds else " (no bounds)"
    orders = f"; {change.order} {_number(change.first_order, '.4f')} -> {_number(change.second_order, '.4f')}"
    return (
        f"{change.metric} {_number(change.first, '.2f')} -> {_number(change.second, '.2f')}, change "
        f"{_number(change.change, '+.3g')}{bounds}{orders}"
    )


def _number(value: float | None, style: str) -> str:
    return "none" if value is None else format(value, style)
