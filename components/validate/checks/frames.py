"""A profile as small tables: a row for each thing that a rule speaks of, its values beside their bounds."""

import math
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from components.common.artifacts.snapshot import Snapshot
from components.validate.profile.columns import FEATURE_ROLES, Block, Role, blocks_of
from components.validate.profile.exact_sum import from_units
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.statistics import Stats
from components.validate.profile.timestamps import ORDER_BLOCK, UNIT_BLOCK
from recap_model.config import RecapConfig
from recap_model.config.validation import ColumnBounds

# Chance alone moves a rate by its standard error; four of them happen once in 16,000 partitions.
_NOISE_DEVIATIONS = 4.0
_IMPOSSIBLE = 1e-6
_SMALLEST = 5e-324
KEY_ROLES: tuple[Role, ...] = ("id", "split", "timestamp", "weight")

Rows = Iterator[dict[str, Any]]


def frames_of(
    profile: Profile, snapshot: Snapshot, config: RecapConfig, unread: set[str]
) -> dict[str, pd.DataFrame]:
    """The tables that the rules are held to, by name; ``unread`` are partitions with a file that is not readable."""
    window = profile.window()
    blocks = blocks_of(config)
    features = [block for block in blocks if block.role in FEATURE_ROLES and block.key in window.blocks]
    rows: dict[str, Rows] = {
        "partitions": _partitions(profile, config, unread),
        "files": _files(snapshot),
        "days": _days(snapshot),
        "tasks": _tasks(window, config),
        "task_partitions": _task_partitions(profile, window, config),
        "features": _features(window, features, config),
        "feature_partitions": _feature_partitions(profile, window, features, config),
        "embeddings": _embeddings(profile, window, features, config),
        **{f"keys:{role}": _keys(window, blocks, role, config) for role in KEY_ROLES},
        "times": _times(profile, config),
        "no_times": _no_times(window, config),
        "order": _order(profile, config),
    }
    return {name: pd.DataFrame(list(items)) for name, items in rows.items()}


def share(part: float, whole: float) -> float:
    """``part / whole``, and 0 of nothing."""
    return part / whole if whole else 0.0


def mean_of(stats: Stats, place: int) -> float:
    """Mean of the finite values; NaN if there is none, or their sum overflowed."""
    total, count = stats.total[place], int(stats.finite[place])
    return from_units(total) / count if count and total is not None else math.nan


def _partitions(profile: Profile, config: RecapConfig, unread: set[str]) -> Rows:
    for name, part in profile.partitions.items():
        if name not in unread:
            yield {"partition": name, "rows": part.rows, "min_rows": config.validation.min_rows_per_partition}


def _files(snapshot: Snapshot) -> Rows:
    files = [file for part in snapshot.partitions for file in part.files if file.rows]
    copies = Counter(file.sha256 for file in files)
    first: dict[str, str] = {}
    for file in files:
        twin = first.setdefault(file.sha256, file.path)
        more = copies[file.sha256] - 1 if twin != file.path else 0
        yield {"file": file.path, "twin": twin, "rows": file.rows, "copies": more, "max_copies": 0}


def _days(snapshot: Snapshot) -> Rows:
    there = Counter(part.name.partition("/")[0].removeprefix("date=") for part in snapshot.partitions)
    for offset in range((snapshot.last_day - snapshot.first_day).days + 1):
        day: date = snapshot.first_day + timedelta(days=offset)
        yield {"day": day.isoformat(), "partitions": there[day.isoformat()], "min_partitions": 1}


def _tasks(window: PartitionProfile, config: RecapConfig) -> Rows:
    block = window.blocks.get("label")
    if block is None:
        return
    stats = block.stats
    for task, column in config.label_columns().items():
        place = block.labels.index(column)
        labelled = int(stats.rows[place] - stats.missing[place])
        yield {
            "task": task,
            "labelled": labelled,
            "null_rate": share(int(stats.missing[place]), int(stats.rows[place])),
            "positives": int(stats.ones[place]),
            "negatives": int(stats.zeros[place]),
            "min_positives": config.validation.min_positives,
            "min_negatives": 1,
        }


def _task_partitions(profile: Profile, window: PartitionProfile, config: RecapConfig) -> Rows:
    """Rates that chance alone explains are inside the bounds."""
    whole = {row["task"]: row for row in _tasks(window, config)}
    for name, part in profile.partitions.items():
        for row in _tasks(part, config):
            usual = share(whole[row["task"]]["positives"], whole[row["task"]]["labelled"])
            allowed = config.validation.max_positive_rate_change * usual
            slack = allowed + _noise(usual, row["labelled"])
            rate = share(row["positives"], row["labelled"]) if row["labelled"] else usual
            bounds = {"lowest": usual - slack, "highest": usual + slack}
            nulls = whole[row["task"]]["null_rate"]
            null_slack = config.validation.max_null_rate_change + _noise(nulls, part.rows)
            yield {
                "task": row["task"],
                "partition": name,
                "rate": rate,
                "usual": usual,
                **bounds,
                "null_rate": row["null_rate"],
                "usual_null_rate": nulls,
                "lowest_null_rate": nulls - null_slack,
                "highest_null_rate": nulls + null_slack,
            }


def _noise(rate: float, rows: int) -> float:
    return _NOISE_DEVIATIONS * math.sqrt(rate * (1.0 - rate) / rows) if rows else math.inf


def _features(window: PartitionProfile, blocks: list[Block], config: RecapConfig) -> Rows:
    section = config.validation
    for block in blocks:
        stats = window.blocks[block.key].stats
        for place, (label, source) in enumerate(_named(block)):
            bounds = section.columns.get(source, ColumnBounds())
            rows = int(stats.rows[place])
            non_finite = int(stats.nans[place] + stats.infinities[place])
            lowest, highest = float(stats.minimum[place]), float(stats.maximum[place])
            present = int(stats.finite[place] - stats.unknown[place])
            varies = present < rows or rows < 2 or highest > lowest
            yield {
                "column": label,
                "source": source,
                "role": block.role,
                "any_id": block.any_id(place),
                "rows": rows,
                "present": present,
                "min_present": 1,
                "null_rate": share(int(stats.missing[place]), rows),
                "max_null_rate": _first(bounds.max_null_rate, section.max_null_rate),
                "non_finite_rate": share(non_finite, rows),
                "max_non_finite_rate": _first(bounds.max_non_finite_rate, section.max_non_finite_rate),
                "minimum": lowest,
                "lowest": _first(bounds.min, -math.inf),
                "maximum": highest,
                "highest": _first(bounds.max, math.inf),
                "spread": (highest - lowest) if not varies else max(highest - lowest, 1.0),
                "min_spread": _SMALLEST,
                "neither": int(stats.outside[place]) if block.role == "binary" else 0,
                "max_neither": 0,
            }


def _first(given: float | None, default: float) -> float:
    return default if given is None else given


def _named(block: Block) -> Iterator[tuple[str, str]]:
    """Each position's name, and the log's column that it is of."""
    for place, label in enumerate(block.labels):
        yield label, block.columns[0] if block.list_width is not None else block.columns[place]


def _feature_partitions(
    profile: Profile, window: PartitionProfile, blocks: list[Block], config: RecapConfig
) -> Rows:
    """A column may be empty in a partition only if it is so rare that chance explains it."""
    change = config.validation.max_null_rate_change
    for name, part in profile.partitions.items():
        for block in blocks:
            if block.key not in part.blocks:
                continue
            stats, whole = part.blocks[block.key].stats, window.blocks[block.key].stats
            present = stats.finite - stats.unknown
            usual = whole.missing / np.maximum(whole.rows, 1)
            absent = 1.0 - (whole.finite - whole.unknown) / np.maximum(whole.rows, 1)
            noise = _NOISE_DEVIATIONS * np.sqrt(usual * (1.0 - usual) / np.maximum(stats.rows, 1))
            rate = stats.missing / np.maximum(stats.rows, 1)
            must = (stats.rows > 0) & (absent**stats.rows < _IMPOSSIBLE)
            for place, (label, source) in enumerate(_named(block)):
                yield {
                    "column": label,
                    "source": source,
                    "partition": name,
                    "rows": int(stats.rows[place]),
                    "present": int(present[place]),
                    "min_present": int(must[place]),
                    "null_rate": float(rate[place]),
                    "usual": float(usual[place]),
                    "lowest": float(usual[place] - change - noise[place]),
                    "highest": float(usual[place] + change + noise[place]),
                }


def _embeddings(profile: Profile, window: PartitionProfile, blocks: list[Block], config: RecapConfig) -> Rows:
    change = config.validation.max_norm_change
    for block in (block for block in blocks if block.role == "embedding"):
        usual = mean_of(window.blocks[block.key].stats, 0)
        for name, part in profile.partitions.items():
            norm = mean_of(part.blocks[block.key].stats, 0) if block.key in part.blocks else math.nan
            if math.isfinite(norm) and math.isfinite(usual):
                bounds = {"lowest": usual * (1.0 - change), "highest": usual * (1.0 + change)}
                source = block.columns[0]
                yield {"column": source, "partition": name, "norm": norm, "usual": usual, **bounds}


def _keys(window: PartitionProfile, blocks: list[Block], role: Role, config: RecapConfig) -> Rows:
    """Columns without which a row is of no use: ids, the times of serving and impression, the weight."""
    optional = config.features.timestamps.engaged
    for block in blocks:
        if block.role != role or block.key not in window.blocks:
            continue
        stats = window.blocks[block.key].stats
        for place, column in enumerate(block.labels):
            wrong = stats.outside[place] if block.role == "weight" else stats.nulls[place] + stats.nans[place]
            yield {
                "column": column,
                "rows": int(stats.rows[place]),
                "wrong": 0 if column == optional else int(wrong),
                "sentinels": int(stats.nans[place]),
                "max_wrong": 0,
            }


def _times(profile: Profile, config: RecapConfig) -> Rows:
    allowed = config.validation.max_outside_window_rate
    for name, part in profile.partitions.items():
        unit, block = part.blocks.get(UNIT_BLOCK), part.blocks.get("timestamp")
        for place, column in enumerate(block.labels if block else ()):
            assert block is not None
            assert unit is not None
            there = int(block.stats.finite[place])
            yield {
                "column": column,
                "partition": name,
                "lowest": float(unit.stats.minimum[place]),
                "highest": float(unit.stats.maximum[place]),
                "strange_rate": share(int(unit.stats.outside[place]), there),
                "outside_rate": share(int(block.stats.outside[place]), there),
                "outside": int(block.stats.outside[place]),
                "strange": int(unit.stats.outside[place]),
                "max_rate": allowed,
            }
        moments = part.blocks.get("moment")
        for place, column in enumerate(moments.labels if moments else ()):
            assert moments is not None
            strange = int(moments.stats.outside[place])
            yield {
                "column": column,
                "partition": name,
                "lowest": float(moments.stats.minimum[place]),
                "highest": float(moments.stats.maximum[place]),
                "strange_rate": share(strange, int(moments.stats.finite[place])),
                "outside_rate": 0.0,
                "outside": 0,
                "strange": strange,
                "max_rate": allowed,
            }


def _no_times(window: PartitionProfile, config: RecapConfig) -> Rows:
    """How many values stand for no time, in columns of times that a row may lack."""
    for role in ("timestamp", "moment"):
        block = window.blocks.get(role)
        for place, column in enumerate(block.labels if block else ()):
            assert block is not None
            counts = {"rows": int(block.stats.rows[place]), "sentinels": int(block.stats.nans[place])}
            if role == "moment" or column == config.features.timestamps.engaged:
                yield {"column": column, **counts, "max_sentinels": 0}


def _order(profile: Profile, config: RecapConfig) -> Rows:
    for name, part in profile.partitions.items():
        for key, block in part.blocks.items():
            if key.startswith(f"{ORDER_BLOCK}:"):
                wrong, pairs = int(block.stats.outside[0]), int(block.stats.finite[0])
                yield {
                    "pair": block.labels[0],
                    "partition": name,
                    "disordered": wrong,
                    "disordered_rate": share(wrong, pairs),
                    "max_rate": config.validation.max_disordered_rate,
                }
