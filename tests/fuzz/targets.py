"""What is read from outside, and by whom."""

import contextlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from components.artifacts.decision import Decision
from components.artifacts.model import ModelManifest
from components.artifacts.snapshot import Snapshot
from components.artifacts.validated import read_verdict
from components.artifacts.version import RegisteredVersion
from components.build.pods import build_group, join_groups
from components.calibrate.calibrate import calibrate_model
from components.evaluate.evaluate import evaluate_model
from components.validate.profile import Profile
from components.validate.validate import validate_snapshot
from components.validate.verdict import ValidationFailed
from recap_model import load_model
from recap_model.config import ConfigError, load_config
from recap_model.data.manifest import DatasetManifest
from recap_model.data.reader import DatasetReader
from recap_model.data.statistics import FeatureStatistics

_LONGEST_LINE = 1000
_IN_LINES = (ConfigError, ValidationFailed)  # of which each of several faults has a line


@dataclass(frozen=True)
class Target:
    """A reader of some files.

    Attributes:
        files: patterns under a place's folder, of which one file is altered.
        read: reads them, given the place's folder; may write to its folder ``out``.
    """

    files: tuple[str, ...]
    read: Callable[[Path], object]


def _rows(place: Path) -> object:
    _, config = Snapshot.read(place / "given" / "snapshot")
    reader = DatasetReader(place / "given" / "train", list(config.tasks), 64, config=config, seed=0)
    return sum(len(batch) for batch in reader.batches())


def _scores(place: Path) -> object:
    model = load_model(place / "given" / "calibrated")
    _, config = Snapshot.read(place / "given" / "snapshot")
    reader = DatasetReader(place / "given" / "test", model.tasks, 64, config=config)
    with torch.no_grad():
        return model(next(reader.batches()))


def _joined(place: Path) -> object:
    given, out = place / "given", place / "out"
    return join_groups(
        given / "snapshot",
        [place / "parts" / "0", place / "parts" / "1"],
        *(out / name for name in ("train", "calibration", "test")),
    )


def _validated(place: Path) -> object:
    return validate_snapshot(
        place / "given" / "snapshot", place / "out" / "validated", place / "out" / "data.html"
    )


def _calibrated(place: Path) -> object:
    given = place / "given"
    return calibrate_model(
        given / "snapshot", given / "model", given / "calibration", place / "out" / "calibrated"
    )


def _verdict(place: Path) -> object:
    given = place / "given"
    return read_verdict(given / "validated", Snapshot.read(given / "snapshot")[0])


def _evaluated(place: Path) -> object:
    given = place / "given"
    return evaluate_model(
        given / "snapshot",
        given / "calibrated",
        given / "test",
        given / "validated",
        place / "out" / "evaluation",
    )


TARGETS = {
    "config": Target(("config.yaml",), lambda place: load_config(place / "config.yaml")),
    "snapshot": Target(("given/snapshot/*",), lambda place: Snapshot.read(place / "given" / "snapshot")),
    "validate": Target(("log/**/*.parquet", "given/snapshot/*"), _validated),
    "profile": Target(
        ("given/validated/profile.parquet",),
        lambda place: Profile.read(place / "given" / "validated" / "profile.parquet"),
    ),
    "dataset": Target(
        ("given/train/_manifest.json",), lambda place: DatasetManifest.read(place / "given" / "train")
    ),
    "statistics": Target(
        ("given/train/_statistics.json",), lambda place: FeatureStatistics.read(place / "given" / "train")
    ),
    "rows": Target(("given/train/_manifest.json", "given/train.rows/*"), _rows),
    "parts": Target(("parts/*/*", "parts/*.rows/*/*"), _joined),
    "model": Target(
        ("given/model/_manifest.json",), lambda place: ModelManifest.read(place / "given" / "model")
    ),
    "scores": Target(("given/calibrated/*",), _scores),
    "calibrate": Target(("given/model/*", "given/calibration/*"), _calibrated),
    "evaluate": Target(("given/calibrated/*", "given/test/*"), _evaluated),
    "verdict": Target(("given/validated/*.json",), _verdict),
    "decision": Target(
        ("given/evaluation/decision.json",), lambda place: Decision.read(place / "given" / "evaluation")
    ),
    "version": Target(
        ("given/version/version.json",), lambda place: RegisteredVersion.read(place / "given" / "version")
    ),
}
"""By name."""


def add_parts(place: Path) -> None:
    """Leave what two pods of build read, beside a run's other artifacts."""
    with contextlib.redirect_stdout(io.StringIO()):
        for group in range(2):
            given = place / "given"
            build_group(given / "snapshot", given / "validated", place / "parts" / str(group), group, 2)


def read_altered(place: Path, name: str, file: Path, content: bytes) -> str:
    """Read a target one of whose files has another content. Returns what was said about it, or "".

    Raises AssertionError if that was not one line of ours, or something was written outside the place's ``out``.
    """
    whole, before = file.read_bytes(), _listing(place)
    file.write_bytes(content)
    raised: Exception | None = None
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            TARGETS[name].read(place)
    except Exception as error:  # noqa: BLE001 - what kind it is, is the question
        raised = error
    finally:
        file.write_bytes(whole)
        shutil.rmtree(place / "out", ignore_errors=True)
        (place / "out").mkdir()
    what = f"{name}, {file.name}"
    assert _listing(place) == before, f"{what}: wrote {_listing(place) ^ before}"
    return "" if raised is None else _in_words_of_ours(what, raised)


def _in_words_of_ours(what: str, error: Exception) -> str:
    kind, words = f"{type(error).__module__}.{type(error).__name__}", str(error)
    ours = kind.partition(".")[0] in ("builtins", "recap_model", "components")
    if not isinstance(error, ValueError | OSError) or not ours:
        raise AssertionError(f"{what}: {kind}: {words}") from error
    assert words, f"{what}: {kind} without a word"
    assert all(len(line) < _LONGEST_LINE for line in words.splitlines()), f"{what}: a long line: {words}"
    assert isinstance(error, _IN_LINES) or len(words.splitlines()) == 1, f"{what}: several lines: {words}"
    return words


def _listing(place: Path) -> set[Path]:
    return {
        path for path in (*place.rglob("*"), *place.parent.iterdir()) if place / "out" not in path.parents
    }
