"""The config that ``recap config draft`` writes for a log, untouched but for the split."""

from pathlib import Path

import yaml

from pipeline.config_draft.config import ColumnRoles, draft_config
from pipeline.config_draft.sample import read_log
from recap_model.config import load_config
from tests.benchmarks.quality import made_up
from tests.benchmarks.quality.sets import import_set

MADE_UP = "made_up"
DRAFTED = ("census", "kuairand", MADE_UP)


def import_drafted(name: str, data: Path, folder: Path) -> Path:
    """Write the log of a data set, real or made up, under ``folder``; returns its root."""
    return made_up.write_made_up(folder / "log") if name == MADE_UP else import_set(name, data, folder)


def draft_for(name: str, log: Path, config_file: Path, out: Path) -> Path:
    """Write the draft for a set's log.

    Args:
        config_file: a packaged config, whose tasks, ids and times are given, and whose sections data and evaluation
            take the place of the draft's, so that both are measured on the same rows; a made-up set has none.
    """
    if name == MADE_UP:
        roles = ColumnRoles(made_up.TASKS, made_up.IDS, {})
        out.write_text(draft_config(read_log(str(log)), roles, name))
        return out
    config = load_config(config_file)
    roles = ColumnRoles(
        {task: str(settings.label_rule(task)) for task, settings in config.tasks.items()},
        config.features.ids.model_dump(exclude_none=True),
        config.features.timestamps.model_dump(exclude_none=True),
    )
    draft = yaml.safe_load(draft_config(read_log(str(log)), roles, name))
    given = yaml.safe_load(config_file.read_text())
    out.write_text(
        yaml.safe_dump(draft | {key: given[key] for key in ("data", "evaluation")}, sort_keys=False)
    )
    return out
