"""The log, which grows by a partition a day; some are damaged, late or missing."""

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from pipeline.cli.workspace import CONFIGS
from pipeline.simulator import write_log
from recap_model.config import RecapConfig, load_config

FIRST_DAY = date(2026, 3, 1)
ROWS_A_DAY = 5_000
WINDOW_DAYS = 5
_DRIFT = 0.05
_TASKS = (
    "recap.engagement.is_favorited",
    "recap.engagement.is_video_playback_50",
    "recap.engagement.is_good_clicked_convo_desc_v2",
)


class GrowingLog:
    """The log of the month in ``folder``. It begins with day 0, the last before the month, and the days before it."""

    def __init__(self, folder: Path, days: int) -> None:
        self.root = folder / "log"
        self._source = folder / "source"
        total = WINDOW_DAYS + days
        write_log(self._source, rows=ROWS_A_DAY * total, days=total, start=FIRST_DAY, drift=_DRIFT)
        for number in range(1 - WINDOW_DAYS, 1):
            self.publish(number)

    def date_of(self, number: int) -> date:
        """The date of a day of the month."""
        return FIRST_DAY + timedelta(days=number + WINDOW_DAYS - 1)

    def publish(self, number: int) -> None:
        """Write the day's partition, in place of any earlier one."""
        name = f"date={self.date_of(number)}"
        shutil.rmtree(self.root / name, ignore_errors=True)
        shutil.copytree(self._source / name, self.root / name)

    def publish_mixed(self, number: int) -> None:
        """Write the day's partition with features in the order of other rows: valid values, that tell nothing."""
        features = load_config(CONFIGS / "sample.yaml").features.group_columns("continuous")
        self._publish_changed(
            number, lambda rows, order: {name: rows.column(name).take(order) for name in features}
        )

    def publish_without_half_of_positives(self, number: int) -> None:
        """Write the day's partition with every second positive label turned into a negative."""

        def lose(rows: pa.Table, order: pa.Array) -> dict[str, pa.Array]:
            lost = pa.compute.less(order, len(rows) // 2)
            return {
                task: pa.compute.if_else(lost, pa.scalar(0, rows.schema.field(task).type), rows.column(task))
                for task in _TASKS
            }

        self._publish_changed(number, lose)

    def _publish_changed(
        self, number: int, change: Callable[[pa.Table, pa.Array], dict[str, pa.Array]]
    ) -> None:
        """Write the day's partition with changed columns, which are made of its rows and a random order of them."""
        self.publish(number)
        for file in (self.root / f"date={self.date_of(number)}").glob("*.parquet"):
            rows = pq.read_table(file, partitioning=None)
            order = pa.array(np.random.default_rng(number).permutation(len(rows)))
            for name, column in change(rows, order).items():
                rows = rows.set_column(rows.schema.get_field_index(name), name, column)
            pq.write_table(rows, file)

    def publish_truncated(self, number: int) -> None:
        """Write the day's partition with its file cut off in the middle."""
        self.publish(number)
        file = next((self.root / f"date={self.date_of(number)}").glob("*.parquet"))
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])


def write_configs(folder: Path) -> tuple[Path, Path]:
    """The config of the month, and one that makes a poor model: the sample's, with three tasks and less training."""
    regular = _month_config()
    poor = regular.model_copy(update={"training": regular.training.model_copy(update={"max_steps": 5})})
    paths = folder / "month.yaml", folder / "poor.yaml"
    for path, config in zip(paths, (regular, poor), strict=True):
        path.write_text(config.to_yaml())
    return paths


def _month_config() -> RecapConfig:
    content = load_config(CONFIGS / "sample.yaml").model_dump(mode="json", exclude_unset=True)
    content["tasks"] = {name: content["tasks"][name] for name in _TASKS}
    content["training"] |= {"checkpoint": {"every_steps": 10}}
    content["data"] |= {"days": WINDOW_DAYS, "tolerated_missing_days": 1}
    # So few rows prove a gain on few days; here the newest model that is no worse is promoted.
    gate = {"min_rows": ROWS_A_DAY // 2, "min_positives": 100, "promote_if": "no_worse"}
    content["evaluation"]["gate"] |= gate
    content["registry"] = {"model_name": "month", "experiment": "month"}
    return RecapConfig.model_validate(content)
