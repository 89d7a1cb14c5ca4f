"""The data that all configs of an experiment share: one snapshot and one prepared set."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.artifacts.snapshot import CONFIG_NAME, MANIFEST_NAME, Snapshot, config_digest
from components.common.runtime.atomic_output import atomic_directory
from components.prepare.statistics.vocabularies import vocabularies_of
from recap_model.config import RecapConfig

_SECTIONS = "features, data (without engine), and all of tasks but score_weight"


@dataclass(frozen=True)
class FrozenData:
    """Folders of a snapshot and of the sets prepared from it; configs are judged on the rows of ``held_out``."""

    snapshot: Path
    train: Path
    calibration: Path
    held_out: Path

    def snapshot_with(self, config: RecapConfig, out: Path) -> Path:
        """Write the snapshot with another config, for steps that read both from one folder."""
        frozen, _ = Snapshot.read(self.snapshot)
        with atomic_directory(out) as folder:
            changed = frozen.model_copy(update={"config_digest": config_digest(config)})
            (folder / CONFIG_NAME).write_text(config.model_dump_json(indent=1))
            (folder / MANIFEST_NAME).write_text(changed.model_dump_json(indent=1))
        return out


def check_same_data(name: str, config: RecapConfig, first_name: str, first: RecapConfig) -> None:
    """Raise ValueError, with the path of the first field that differs, unless both configs prepare the same sets."""
    for path, value, expected in _differences(_data_settings(config), _data_settings(first), ()):
        raise ValueError(
            f"{name}: {'.'.join(path)}: {value} differs from {expected} in {first_name}; configs are compared on one "
            f"prepared set, which follows from {_SECTIONS}, and from tables with min_count: make these equal"
        )


def _data_settings(config: RecapConfig) -> dict[str, Any]:
    """The settings that decide on the prepared sets."""
    tasks = {
        name: task.model_dump(mode="json", exclude={"score_weight"}) for name, task in config.tasks.items()
    }
    vocabularies = {
        vocabulary.name: {"num_embeddings": vocabulary.entries, "min_count": vocabulary.min_count}
        for vocabulary in vocabularies_of(config)
    }
    return {
        "features": config.features.model_dump(mode="json"),
        "tasks": tasks,
        "data": config.data.model_dump(mode="json", exclude={"engine"}),
        "tables with min_count": vocabularies,
    }


def _differences(
    value: Any, expected: Any, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """The path of each difference, with both values as short text."""
    if isinstance(value, dict) and isinstance(expected, dict):
        for key in dict.fromkeys((*value, *expected)):
            yield from _differences(value.get(key), expected.get(key), (*path, str(key)))
    elif isinstance(value, list) and isinstance(expected, list) and len(value) == len(expected):
        for number, pair in enumerate(zip(value, expected, strict=True)):
            yield from _differences(*pair, (*path, str(number)))
    elif value != expected:
        yield path, _shorten(value), _shorten(expected)


def _shorten(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
