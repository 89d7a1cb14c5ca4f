"""Measure the champion, and the versions beside it, on a day's rows; conclude, act, and record the day."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.common import registry
from components.common.artifacts.evaluation import METRICS_NAME, Evaluation, SliceMetrics
from components.common.artifacts.snapshot import Champion, Snapshot
from components.common.artifacts.validation_result import check_validated, read_validation_result
from components.common.artifacts.watch_record import Compared, OtherVersion, WatchRecord
from components.common.history import write_history
from components.common.metrics.task_metrics import measure
from components.common.registry.watch_records import read_watch_records, write_watch_record
from components.common.runtime.atomic_output import atomic_directory
from components.common.runtime.step import progress
from components.common.scoring.champion_adapter import ChampionError
from components.common.scoring.score_test_set import score_test_set
from components.watch.act import act
from components.watch.rule import WatchedDay, conclude
from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import DatasetManifest

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECORD_NAME = "record.json"
_ALIASES = ("previous", "challenger")
_MAX_BROKEN_RULES = 20

log = logging.getLogger(__name__)


def watch_day(
    snapshot: str | Path,
    validated: str | Path,
    test_set: str | Path,
    out: str | Path,
    history: str | Path | None = None,
) -> WatchRecord:
    """Score a day's rows with the champion that the snapshot names, and conclude whether it is still as good.

    The record is stored with the champion's version, and in ``out`` as ``record.json``. Idempotent: a day that is
    recorded already, of the same files, gives the same record, and nothing is done again. The version is the one that
    was champion when the day was resolved, also if another is by now.

    Args:
        history: file for the page of the model's history, with this day.

    Raises:
        FileNotFoundError: an input is missing.
        ValueError: an input is of another run; no task has labels; or the registry does not answer.
    """
    frozen, config = Snapshot.read(snapshot)
    frozen = check_validated(validated, frozen)
    if frozen.champion is None or frozen.purpose != "watch":
        raise ValueError(f"{snapshot}: not of a watched day; run resolve with the purpose watch")
    client = registry.connect(frozen.tracking_uri)
    name, version = config.registry.model_name, frozen.champion.version
    known = read_watch_records(client, name, version, frozen.champion.run_id)
    day = frozen.last_day
    record = next((one for one in known if (one.day, one.snapshot) == (day, frozen.digest)), None)
    if record is None:
        earlier = [one for one in known if one.day != day]
        record = _watch(client, frozen, config, frozen.champion, test_set, validated, earlier)
        record = record.model_copy(update={"action": act(client, record, config.watch)})
        write_watch_record(client, frozen.champion.run_id, record)
    with atomic_directory(out) as folder:
        (folder / RECORD_NAME).write_text(record.model_dump_json(indent=1))
    log.info("version=%s day=%s outcome=%r reason=%r", version, record.day, record.outcome, record.reason)
    if history is not None:
        write_history(client, name, history)
    progress(1, 1, f"{record.day}: {record.outcome}")
    return record


def _watch(
    client: "MlflowClient",
    snapshot: Snapshot,
    config: RecapConfig,
    champion: Champion,
    test_set: str | Path,
    validated: str | Path,
    earlier: list[WatchRecord],
) -> WatchRecord:
    manifest = DatasetManifest.read(test_set)
    if manifest.snapshot != snapshot.digest:
        raise ValueError(f"{test_set}: prepared from another snapshot; run prepare on this one")
    name, version, day = config.registry.model_name, champion.version, snapshot.last_day
    with tempfile.TemporaryDirectory(prefix="recap-watch-") as folder:
        evaluation, others = _measure(client, config, champion, test_set, Path(folder))
    if not any(measured and measured.positives for measured in map(evaluation.measured, config.tasks)):
        raise ValueError(
            f"date={day}: no task has a positive label in its {evaluation.rows:,} rows, so nothing can be said of "
            f"version {version}; check the log's labels, or raise watch.label_delay_hours"
        )
    result = read_validation_result(validated, snapshot)
    today = WatchedDay(day, evaluation, others)
    days = [WatchedDay(one.day, one.evaluation, one.others) for one in earlier if one.day < day]
    conclusion = conclude([*days, today], _reference(client, name, version), config)
    broken = [rule.line for rule in result.rules if not rule.success]
    reason = conclusion.reason
    if conclusion.outcome != "OK" and broken:
        reason = f"{reason}; the day's log breaks {len(broken)} rules, the first: {broken[0]}"
    return WatchRecord(
        name=name,
        version=version,
        day=day,
        day_number=_day_number(client, name, version, day),
        snapshot=snapshot.digest,
        rows=evaluation.rows,
        evaluation=evaluation,
        others=others,
        drift=result.drift,
        broken_rules=broken[:_MAX_BROKEN_RULES],
        decay=conclusion.decay,
        rollback=conclusion.rollback,
        outcome=conclusion.outcome,
        reason=reason,
    )


def _measure(
    client: "MlflowClient", config: RecapConfig, champion: Champion, test_set: str | Path, folder: Path
) -> tuple[Evaluation, dict[str, OtherVersion]]:
    """The champion's evaluation on the rows, and the differences of the versions that other aliases point to."""
    name = config.registry.model_name
    model = registry.download(client, name, champion.version, folder / "champion")
    held = registry.aliases(client, name)
    others: dict[str, OtherVersion] = {}
    evaluation = None
    for alias in _ALIASES:
        version = held.get(alias)
        if version is None or version == champion.version:
            continue
        try:
            other = registry.download(client, name, version, folder / alias)
            scores = score_test_set(model, test_set, config, other, folder / f"{alias}.parquet")
        except (ChampionError, registry.RegistryError) as error:
            # A registry that does not answer ends the step; a version that was altered does not.
            registry.get_version(client, name, version)
            others[alias] = OtherVersion(version=version, missing=str(error).replace("the champion", "it"))
            continue
        both = measure(scores, config).evaluation
        others[alias] = OtherVersion(version=version, tasks=dict(_compared(both)))
        evaluation = evaluation or _alone(both)
        shutil.rmtree(folder / alias)
    if evaluation is None:
        scores = score_test_set(model, test_set, config, None, folder / "champion.parquet")
        evaluation = measure(scores, config).evaluation
    return evaluation, others


def _compared(both: Evaluation) -> Iterator[tuple[str, Compared]]:
    """The other version, which the table has as its champion, less the champion, which it has as its candidate."""
    for task in (*both.tasks, *both.values):
        measured = both.measured(task)
        assert measured is not None
        change, error = measured.gain_change
        if change is None or measured.gain is None:
            yield task, Compared()
        else:
            yield task, Compared(gain=measured.gain - change, difference=-change, error=error)


def _alone(both: Evaluation) -> Evaluation:
    """The evaluation without the other version."""

    def strip(part: Evaluation | SliceMetrics) -> dict[str, Any]:
        return {
            kind: {
                task: one.model_copy(update={"champion": None, "difference": None})
                for task, one in getattr(part, kind).items()
            }
            for kind in ("tasks", "values")
        }

    slices = {key: inside.model_copy(update=strip(inside)) for key, inside in both.slices.items()}
    lists = both.lists.model_copy(update={"champion": None, "top_k_change": None})
    return both.model_copy(
        update={
            **strip(both),
            "slices": slices,
            "lists": lists,
            "score_psi": None,
            "score_support": None,
        }
    )


def _reference(client: "MlflowClient", name: str, version: str) -> Evaluation | None:
    """The version's evaluation at its registration; None of one that was registered without."""
    content = registry.fetch_file(client, name, version, f"evaluation/{METRICS_NAME}")
    return Evaluation.model_validate_json(content) if content else None


def _day_number(client: "MlflowClient", name: str, version: str, day: date) -> int:
    """Days since the newest one of the version's window."""
    window = registry.get_version(client, name, version).tags.get(registry.WINDOW_TAG, "")
    last = window.rpartition("..")[2]
    return max(1, (day - date.fromisoformat(last)).days) if last else 1
