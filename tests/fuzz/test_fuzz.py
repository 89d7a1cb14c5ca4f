"""A few altered files for each reader; `python -m tests.fuzz` tries as many as there is time for."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults import child
from tests.fuzz.alterations import altered
from tests.fuzz.targets import TARGETS, add_parts, read_altered

_EXAMPLES = {"validate": 8, "calibrate": 8, "evaluate": 8, "parts": 15, "scores": 25}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        child.answer(child.prepared, Path(folder) / "place", None)
        add_parts(Path(folder) / "place")
        yield Path(folder) / "place"


@pytest.fixture(autouse=True)
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loads one runs its author's code."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle is loaded")

    monkeypatch.setattr(pickle, "Unpickler", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(torch, "load", refuse)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_an_altered_file_is_read_or_refused_in_words_of_ours(place: Path, name: str):
    files = sorted(
        {path for pattern in TARGETS[name].files for path in place.glob(pattern) if path.is_file()}
    )
    assert files

    @settings(
        max_examples=_EXAMPLES.get(name, 60),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(files))
        read_altered(place, name, file, data.draw(altered(file.read_bytes())).content)

    tried()
