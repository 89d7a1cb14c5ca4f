"""Convert the published ranker's configuration file to a config for the output of `recap import tfrecord`.

Sections ``model`` and ``optimizer`` are copied unchanged; the others are derived from ``train_data`` and the
segdense schema.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline.importers.published import PublishedConfig, read_published
from pipeline.importers.segdense import Feature, read_segdense
from recap_model.config import RecapConfig, parse_config
from recap_model.config.data.features import DENSE_GROUPS, EMBEDDING_GROUPS
from recap_model.config.reading.yaml import ConfigError, read_yaml

_SCORE_WEIGHTS = Path(__file__).parent.parent / "configs" / "heavy_ranker.yaml"
# Lengths in the published segdense schema, the default.
_PUBLISHED_LENGTHS = {
    "continuous": 6000,
    "binary": 512,
    "discrete": 320,
    **dict.fromkeys(EMBEDDING_GROUPS, 200),
}
_META = ("meta__", "meta.")
_IDS = {"user_id": "user", "tweet_id": "candidate", "post_id": "candidate", "request_id": "request"}
_UNDATED_DAYS = 7
_MIN_DAYS = 3  # of a split by days: one to train, one to calibrate, one to test on
_LEFT_OUT = {
    "downcast": "prepare chooses the types that it stores",
    "extract_features": "an entry of a list is not a column of its own; write it as a feature of the records",
    "downsample_negatives": "it names no rate; set data.negative_downsampling to down-sample negatives again",
}


@dataclass(frozen=True)
class ImportedConfig:
    """A config as YAML; ``time`` is the feature that assigns rows to days, if the published file names one."""

    text: str
    config: RecapConfig
    notes: list[str]
    time: str | None


def import_tml_config(path: Path, segdense: Path | None = None) -> ImportedConfig:
    """Read the published file and write a whole config.

    Args:
        segdense: schema of the records; if None, the one that the file names, if it exists, else the published
            lengths.

    Raises:
        FileNotFoundError: a file is not there.
        ConfigError: one line per error, or per setting without a counterpart here.
    """
    published = read_published(path)
    named = published.train_data.seg_dense_schema.schema_path
    if segdense is None and named is not None and (path.parent / named).is_file():
        segdense = path.parent / named
    source = _Source(path, published, read_segdense(segdense) if segdense else None, segdense)
    if problems := list(source.problems()):
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
    content = source.sections()
    config = parse_config(content, source=str(path))
    notes = list(source.notes())
    text = "".join(f"# {note}\n" for note in notes)
    for name, section in content.items():
        text += "\n" + yaml.safe_dump({name: section}, sort_keys=False, width=110, allow_unicode=True)
    return ImportedConfig(text, config, notes, source.time)


class _Source:
    """The published file, and the schema of the records if there is one."""

    def __init__(
        self,
        path: Path,
        published: PublishedConfig,
        schema: dict[str, Feature] | None,
        schema_path: Path | None,
    ) -> None:
        self.path = path
        self.published = published
        self.data = published.train_data
        self.schema = schema
        self.schema_path = schema_path
        self.renamed = self.data.seg_dense_schema.renamed_features
        self.tasks = list(_get_mapping(published.model, "tasks"))
        self.groups = {group: self.renamed[group] for group in DENSE_GROUPS if group in self.renamed}
        if "discrete" in self.groups and not self._reads_discrete():
            del self.groups["discrete"]
        self.times = self._timestamp_columns()
        self.time = self.times.get("impressed")
        self.ids = {
            _IDS[name]: feature
            for new, feature in self.renamed.items()
            if (name := _strip_meta_prefix(new)) in _IDS
        }

    def sections(self) -> dict[str, Any]:
        """The config's sections."""
        training = {
            "batch_size": self.data.global_batch_size,
            "max_steps": self.published.training.num_train_steps,
        }
        return {
            "features": self._features(),
            "tasks": {task: self._task(task) for task in self.tasks},
            "model": self.published.model,
            "optimizer": self.published.optimizer,
            "training": {name: value for name, value in training.items() if value is not None},
            "data": self._data(),
        }

    def problems(self) -> Iterator[str]:
        """Errors in the file, and settings without a counterpart."""
        yield from self._check_tasks()
        yield from self._check_names()
        yield from self._check_schema()
        yield from self._check_preprocess()
        for group, name in self.groups.items():
            yield from self._check_group(group, name)
        for name in self._sparse():
            yield from self._check_type(name, ("int64_list",))
        scalars = dict.fromkeys(self.tasks, ("int64_list", "float_list"))
        scalars |= dict.fromkeys(self.ids.values(), ("int64_list", "bytes_list"))
        yield from self._check_times()
        for name, dtypes in scalars.items():
            yield from self._check_type(name, dtypes, length=1)

    def notes(self) -> Iterator[str]:
        """Notes for the reader of the config."""
        yield f"From {self.path.name}; `model` and `optimizer` are as published."
        if self.schema is None:
            yield "Lengths of lists are those of the published segdense schema; --segdense gives your own."
        left_out = [task for task in self.data.tasks if task not in self.tasks]
        if left_out:
            yield f"Left out, as model.tasks has no tower for them: {', '.join(left_out)}."
        unread = [
            new for new in self.renamed if new not in self.groups and _strip_meta_prefix(new) not in _IDS
        ]
        if unread:
            yield f"Not read, as nothing in the model does: {', '.join(unread)}."
        for field, why in _LEFT_OUT.items():
            if getattr(self.data.preprocess, field):
                yield f"Left out: preprocess.{field}, as {why}."
        if self.times and "engaged" not in self.times:
            yield "Left out: preprocess.rectify_labels, as all tasks share one time of engagement here."
        known = set(_score_weights())
        if unknown := [task for task in self.tasks if task not in known]:
            yield f"Score weights are not in the published file; 1 for {', '.join(unknown)}."
        yield "A label that a record leaves out is null here, and masked; the published loader reads it as 0."
        if self.data.explicit_datetime_inputs is not None:
            yield "A window of hours is one of whole days here, as `recap import tfrecord` writes days."
        if not self.time and not self.ids:
            yield "No id and no time of a row is named, so rows are split by days: the log needs three at least."
        if self._has_no_dates():
            yield f"data.days: up to {_UNDATED_DAYS} days, as the file names its inputs by a pattern."

    def _features(self) -> dict[str, Any]:
        features: dict[str, Any] = {group: self._group(group, name) for group, name in self.groups.items()}
        features |= {"sparse": self._sparse(), "ids": self.ids, "timestamps": self.times}
        return {name: value for name, value in features.items() if value}

    def _group(self, group: str, name: str) -> Any:
        length = self._length(group, name)
        if length == 1 and group not in EMBEDDING_GROUPS:
            return [name]
        slices = self._slices(group, length)
        return {"column": name, "width": length, **({"slices": slices} if slices else {})}

    def _slices(self, group: str, length: int) -> list[list[int]] | None:
        """Ranges [start, end) of the list that are read; None for the whole list."""
        chosen = self.data.preprocess.truncate_and_slice
        kept = getattr(chosen, f"{group}_feature_truncation", None)
        if kept is not None:
            return [[0, kept]] if kept < length else None
        mask_path = getattr(chosen, f"{group}_feature_mask_path", None)
        if mask_path is None:
            return None
        edges = np.flatnonzero(np.diff(np.pad(_read_mask(self.path.parent / mask_path), 1).astype(np.int8)))
        return [[int(start), int(end)] for start, end in edges.reshape(-1, 2)]

    def _task(self, task: str) -> dict[str, float]:
        rates = self.data.tasks[task]
        return {
            "score_weight": _score_weights().get(task, 1.0),
            "pos_downsampling_rate": rates.pos_downsampling_rate,
            "neg_downsampling_rate": rates.neg_downsampling_rate,
        }

    def _data(self) -> dict[str, Any]:
        dates, hours = self.data.explicit_date_inputs, self.data.explicit_datetime_inputs
        rectified = self.data.preprocess.rectify_labels
        days, tolerated = _UNDATED_DAYS, _UNDATED_DAYS - 1
        if dates is not None:
            days, tolerated = dates.days, dates.num_missing_days_tolerated
        elif hours is not None:
            days, tolerated = -(-hours.hours // 24), hours.num_missing_hours_tolerated // 24
        data: dict[str, Any] = {"days": days, "tolerated_missing_days": tolerated}
        if rectified is not None and "engaged" in self.times:
            data["rectify_labels"] = {"window_hours": rectified.label_rectification_window_in_hours}
        column = self.ids.get("user") or self.ids.get("request") or self.ids.get("candidate")
        if days - tolerated < _MIN_DAYS and self.time:
            data["split"] = {"by": "time"}
        elif days - tolerated < _MIN_DAYS and column:
            data["split"] = {"by": "hash", "column": column}
        return data

    def _has_no_dates(self) -> bool:
        return self.data.explicit_date_inputs is None and self.data.explicit_datetime_inputs is None

    def _check_tasks(self) -> Iterator[str]:
        if not self.tasks:
            yield "model.tasks: no task; a model predicts at least one"
        for task in self.tasks:
            if task not in self.data.tasks:
                yield f"train_data.tasks: no {task!r}, which model.tasks has; add it, with its sampling rates"

    def _check_names(self) -> Iterator[str]:
        where = "train_data.seg_dense_schema.renamed_features"
        for new in self.renamed:
            if new in DENSE_GROUPS or new.startswith(_META):
                continue
            close = difflib.get_close_matches(new, DENSE_GROUPS, n=1, cutoff=0.7)
            if close:
                yield f"{where}: unknown group {new!r}; did you mean {close[0]}?"
        if not self.groups:
            yield f"{where}: no group of inputs; groups are {', '.join(DENSE_GROUPS)}"

    def _check_times(self) -> Iterator[str]:
        for name in self.times.values():
            yield from self._check_type(name, ("int64_list",), length=1)

    def _check_preprocess(self) -> Iterator[str]:
        preprocess, where = self.data.preprocess, "train_data.preprocess"
        chosen = preprocess.truncate_and_slice
        for group in ("continuous", "binary"):
            kept, mask = (getattr(chosen, f"{group}_feature_{end}") for end in ("truncation", "mask_path"))
            if kept is not None and mask is not None:
                yield f"{where}.truncate_and_slice: a truncation and a mask of {group}; remove one"

    def _check_group(self, group: str, name: str) -> Iterator[str]:
        where = f"train_data.seg_dense_schema.renamed_features.{group}"
        dtypes = ("int64_list",) if group == "discrete" else ("float_list", "int64_list")
        wrong = list(self._check_type(name, dtypes))
        if wrong or (self.schema is not None and name not in self.schema):
            yield from wrong
            return
        length = self._length(group, name)
        if length < 1:
            yield f"{where}: feature {name!r} has length {length}; a group has a fixed length"
            return
        cut = "train_data.preprocess.truncate_and_slice"
        chosen = self.data.preprocess.truncate_and_slice
        kept = getattr(chosen, f"{group}_feature_truncation", None)
        if kept is not None and kept > length:
            yield f"{cut}.{group}_feature_truncation: {kept}: feature {name!r} has {length} entries"
        mask_path = getattr(chosen, f"{group}_feature_mask_path", None)
        if mask_path is not None:
            try:
                mask = _read_mask(self.path.parent / mask_path)
            except (OSError, ValueError) as error:
                yield f"{cut}.{group}_feature_mask_path: {error}"
                return
            if mask.shape != (length,):
                yield f"{cut}.{group}_feature_mask_path: {mask.shape} values: feature {name!r} has {length} entries"
            elif not mask.any():
                yield f"{cut}.{group}_feature_mask_path: keeps no entry of {name!r}"

    def _check_schema(self) -> Iterator[str]:
        """Report features of the file that the schema does not have."""
        schema = self.data.seg_dense_schema
        used = [*schema.features, *self.renamed.values(), *self.tasks, *self.times.values(), *self._sparse()]
        for name in dict.fromkeys(used):
            if self.schema is not None and name not in self.schema:
                close = difflib.get_close_matches(name, self.schema, n=1, cutoff=0.7)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                yield f"train_data: unknown feature {name!r}; {self.schema_path} has none of that name{hint}"

    def _check_type(self, name: str, dtypes: tuple[str, ...], length: int | None = None) -> Iterator[str]:
        feature = self.schema.get(name) if self.schema is not None else None
        if feature is None:
            return
        if feature.dtype not in dtypes:
            yield f"{self.schema_path}: feature {name!r} is a {feature.dtype}; allowed are {', '.join(dtypes)}"
        elif length is not None and feature.length != length:
            yield f"{self.schema_path}: feature {name!r} has length {feature.length}; allowed is {length}"

    def _length(self, group: str, name: str) -> int:
        return self.schema[name].length if self.schema is not None else _PUBLISHED_LENGTHS[group]

    def _timestamp_columns(self) -> dict[str, str]:
        """Timestamp columns; that of the engagement only if all tasks share it."""
        rectified = self.data.preprocess.rectify_labels
        if rectified is None:
            return {}
        times = {"impressed": rectified.impressed_timestamp_field, "served": rectified.served_timestamp_field}
        engaged = {rectified.label_to_engaged_timestamp_field.get(task, "") for task in self.tasks}
        if len(engaged) == 1 and "" not in engaged:
            times["engaged"] = engaged.pop()
        return {name: self._feature(feature) for name, feature in times.items()}

    def _feature(self, name: str) -> str:
        """The records' feature of this name, which may be renamed."""
        return self.renamed.get(name, name)

    def _sparse(self) -> list[str]:
        tables = _get_mapping(self.published.model, "large_embeddings").get("tables") or []
        return [str(table.get("name")) for table in tables if isinstance(table, dict)]

    def _reads_discrete(self) -> bool:
        joined = (
            _get_mapping(self.published.model, "featurization_config").get("feature_names_to_concat") or ()
        )
        readers = ("small_embeddings", "position_debias_config", "stratifiers")
        return "discrete" in joined or any(self.published.model.get(name) for name in readers)


def _get_mapping(section: dict[str, Any], name: str) -> dict[str, Any]:
    """A nested section; {} if it is not a mapping, which the check of the whole config reports."""
    value = section.get(name)
    return value if isinstance(value, dict) else {}


def _strip_meta_prefix(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in _META if name.startswith(prefix)), "")


def _read_mask(path: Path) -> Any:
    """A mask of entries, bool. Raises ValueError or FileNotFoundError if it is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        mask = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a .npy file ({error})") from None
    if not isinstance(mask, np.ndarray) or mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        raise ValueError(f"{path}: not a mask; write 0 or 1 for each entry")
    return mask.astype(bool)


def _score_weights() -> dict[str, float]:
    """The published score weights by task, which no published configuration file contains."""
    tasks = read_yaml(_SCORE_WEIGHTS.read_bytes(), str(_SCORE_WEIGHTS))["tasks"]
    return {task: settings["score_weight"] for task, settings in tasks.items()}
