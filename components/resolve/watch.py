"""Resolve a day to watch: the newest one with complete labels, and the champion with the config it was trained by."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from components.common.artifacts.snapshot import Champion, Snapshot
from components.resolve.files import find_files
from components.resolve.log_source import open_log
from components.resolve.resolve import Inputs, freeze, read_config
from recap_model.config import RecapConfig, parse_config
from recap_model.config.data.dataset import SplitByDays
from recap_model.config.fields.uris import without_secret
from recap_model.config.steps.validation import RuleName

if TYPE_CHECKING:
    from mlflow import MlflowClient


def resolve_watched_day(
    config: str | Path,
    data_root: str,
    out: str | Path,
    *,
    tracking_uri: str,
    run_id: str,
    day: str = "",
    scheduled: str = "",
) -> Snapshot:
    """Write the snapshot of one day, with the champion of now and its own config, by which its rows are read.

    Args:
        config: a YAML file, or its URI; of it the watch's policy, the registry and the engine are taken.
        data_root, out, tracking_uri, run_id: as of `resolve_run`.
        day: YYYY-MM-DD. If empty, the newest whole day that ended ``watch.label_delay_hours`` before ``scheduled``,
            or before the end of the log's newest day.

    Raises:
        FileNotFoundError: the config or the data root does not exist.
        ValueError: there is no champion; it was trained or tested on that day; the day has no file; or as of
            `resolve_run`.
    """
    from components.common import registry

    data_root, tracking_uri = (
        without_secret(data_root, "data_root"),
        without_secret(tracking_uri, "tracking_uri"),
    )
    given = read_config(str(config))
    name = given.registry.model_name
    client = registry.connect(tracking_uri)
    champion = registry.champion(client, name)
    if champion is None:
        raise ValueError(f"model {name}: has no champion to watch; recap run, or recap promote VERSION")
    chosen = _parse_day(day) if day else _newest_complete_day(given, data_root, scheduled)
    _refuse_own_day(client, name, champion, chosen)
    settings = _watch_config(_champion_config(client, name, champion), given)
    listing = find_files(settings, data_root, chosen.isoformat(), 1, "")
    inputs = Inputs(settings, listing, champion, tracking_uri, run_id)
    return freeze(inputs, out, purpose="watch")


def _parse_day(day: str) -> date:
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise ValueError(f"day: {day!r} is not a date; write YYYY-MM-DD") from None


def _newest_complete_day(config: RecapConfig, data_root: str, scheduled: str) -> date:
    """The last whole day before the time that labels are complete up to."""
    if scheduled:
        time = datetime.fromisoformat(scheduled)
        now = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    else:
        newest = max((day for day, files in open_log(data_root).days.items() if files), default=None)
        if newest is None:
            raise ValueError(f"{data_root}: no partition date=YYYY-MM-DD with a file; write the log first")
        now = datetime(newest.year, newest.month, newest.day) + timedelta(days=1)
    complete = now - timedelta(hours=config.watch.label_delay_hours)
    return complete.date() - timedelta(days=1)


def _refuse_own_day(client: "MlflowClient", name: str, champion: Champion, day: date) -> None:
    """Raise ValueError for a day that the champion was trained or tested on."""
    from components.common import registry

    window = registry.get_version(client, name, champion.version).tags.get(registry.WINDOW_TAG, "")
    last = window.rpartition("..")[2]
    if last and day <= date.fromisoformat(last):
        raise ValueError(
            f"date={day}: is no later than the newest day of {name} version {champion.version} (its window is "
            f"{window}), so it says nothing new; watch a later day, once its labels are complete"
        )


def _champion_config(client: "MlflowClient", name: str, champion: Champion) -> RecapConfig:
    from components.common import registry

    path = f"{registry.MODEL_PATH}/config.json"
    content = json.loads(registry.fetch_file(client, name, champion.version, path) or b"{}")
    if "features" not in content:
        raise ValueError(
            f"{name} version {champion.version}: its config names no columns, so no day can be watched; "
            "promote a version that recap run registered"
        )
    return parse_config(content, source=f"{name} version {champion.version}, {path}")


def _watch_config(champion: RecapConfig, given: RecapConfig) -> RecapConfig:
    """The champion's config for a day of test rows. Rules on the log only warn: a bad day is to be measured."""
    data = champion.data.model_copy(
        update={
            "days": 1,
            "hours": None,
            "tolerated_missing_days": 0,
            "split": SplitByDays(),
            "engine": given.data.engine,
        }
    )
    validation = champion.validation.model_copy(
        update={
            "severity": dict.fromkeys(get_args(RuleName), "warning"),
            "drift": champion.validation.drift.model_copy(update={"severity": {}, "serving_log": None}),
            "expectations": [],
            "expectations_file": None,
        }
    )
    sections = {"data": data, "validation": validation, "registry": given.registry, "watch": given.watch}
    return champion.model_copy(update=sections)
