"""Some altered files for each reader; `make test-long` tries five times as many, and then others."""

import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recap_model.config import ConfigError
from recap_model.config.recap import parse_yaml
from tests.fuzz import contract
from tests.fuzz.alterations import YAML_TRICKS, altered
from tests.fuzz.contract import held
from tests.fuzz.corpus import write_corpus
from tests.fuzz.targets import TARGETS, read_altered


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as temporary:
        corpus = Path(temporary) / "corpus"
        write_corpus(corpus)
        yield corpus


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [0.2, pytest.param(1.0, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore")  # of libraries, at values that are then refused or scored
def test_an_altered_file_is_read_or_refused_in_words_of_ours(folder: Path, name: str, fraction: float):
    files = TARGETS[name].found(folder)
    assert files

    @settings(
        max_examples=max(2, round(fraction * TARGETS[name].cases)),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(files))
        read_altered(folder, name, file, data.draw(altered(file.read_bytes(), file.suffix)))

    tried()


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore")
def test_what_was_not_altered_is_read(folder: Path, name: str):
    assert held(name, folder, TARGETS[name].read) == ""


@pytest.mark.parametrize("text", YAML_TRICKS, ids=range(len(YAML_TRICKS)))
def test_a_trick_of_yaml_is_refused_as_a_config(text: bytes):
    with pytest.raises(ConfigError, match=r"^config\.yaml: "):
        parse_yaml(text, "config.yaml")


def _raise_of_a_library(_: Path) -> None:
    raise KeyError("a")


def _raise_two_lines(_: Path) -> None:
    raise ValueError("a\nb")


def _write_beside(folder: Path) -> None:
    (folder / "beside").touch()


def _load_pickle(_: Path) -> None:
    pickle.loads(pickle.dumps([1]))


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (_raise_of_a_library, "KeyError"),
        (_raise_two_lines, "several lines"),
        (_write_beside, "wrote"),
        (_load_pickle, "a pickle is loaded"),
        (lambda _: bytes(1 << 33), "MemoryError"),
        (lambda _: time.sleep(5), "takes longer"),
    ],
)
def test_a_reader_that_breaks_the_contract_is_found(
    read, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(contract, "LONGEST_S", 1)
    with pytest.raises(AssertionError, match=f"^it, .*{words}|^it: .*{words}"):
        held("it", tmp_path, read)
