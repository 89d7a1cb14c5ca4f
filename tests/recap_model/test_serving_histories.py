"""One history for the candidates of a request: given once, or repeated on each row, the scores are the same."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from components.register.load_test_rows import to_columns
from components.register.package import package
from recap_model import save_model
from recap_model.data.dataset.sequences import RaggedColumns, repeats_previous
from recap_model.data.log.sequences import read_sequences
from recap_model.scoring import history_columns, score_rows
from recap_model.serving import RecapPyfunc
from tests.recap_model.sequences import sequence_config, sequence_model
from tests.tiny import FIRST_DAY, tiny_rows

CONFIG = sequence_config("transformer")
FEATURES = CONFIG.features
SEQUENCES = FEATURES.sequences
NOW = 1_772_323_200_000
EMPTY = {name: [] for name in history_columns(FEATURES)[:-1]} | {"impressed_ms": NOW}
HISTORY = {
    "hist_items": [901, None, -7],
    "hist_authors": ["ann", "bob", None],
    "hist_surface": [1, 4, 2],
    "hist_actions": [["like", "click"], [], None],
    "hist_dwell_s": [3.5, None, 120.0],
    "hist_ms": [NOW - 30_000, NOW - 7_200_000, None],
    "impressed_ms": NOW,
}


def candidates(count: int) -> pa.Table:
    return tiny_rows(FIRST_DAY, count).select(FEATURES.columns())


def with_histories(rows: pa.Table, each: list[dict]) -> pa.Table:
    """A history for each row, in columns."""
    for name in history_columns(FEATURES):
        rows = rows.append_column(name, pa.array([history[name] for history in each]))
    return rows


def ragged(rows: pa.Table) -> RaggedColumns:
    lists = pa.record_batch(read_sequences(rows, SEQUENCES, "impressed_ms", "rows"))
    return RaggedColumns.of(lists, "history", SEQUENCES["history"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model")
    save_model(sequence_model("transformer"), out, CONFIG)
    return out


def test_a_history_given_once_and_one_repeated_on_each_row_give_the_same_scores(folder: Path):
    served, rows = RecapPyfunc(str(folder)), candidates(40)
    once = served.predict(rows, {"history": HISTORY})
    repeated = served.predict(with_histories(rows, [HISTORY] * 40))
    alone = pd.concat([served.predict(with_histories(rows.slice(row, 1), [HISTORY])) for row in range(40)])
    np.testing.assert_allclose(once, repeated, rtol=0, atol=1e-6)
    np.testing.assert_allclose(once, alone.to_numpy(), rtol=1e-5, atol=1e-5)
    assert np.abs(once.to_numpy() - served.predict(rows, {"history": EMPTY}).to_numpy()).max() > 1e-3


def test_neighbouring_rows_with_one_history_encode_it_once(monkeypatch: pytest.MonkeyPatch):
    model, each = sequence_model("din"), [HISTORY] * 5 + [EMPTY] * 3 + [HISTORY] * 2
    rows, encoded = with_histories(candidates(10), each), []
    encoder = model.inputs.sequences["history"].encoder
    encoder.register_forward_hook(lambda module, given, found: encoded.append(len(found)))
    scores = score_rows(model, rows)
    assert encoded == [3]
    parts = [score_rows(model, rows.slice(row, 1)) for row in range(10)]
    np.testing.assert_allclose(scores, np.concatenate(parts), rtol=1e-5, atol=1e-5)


def test_a_row_repeats_the_previous_one_if_every_event_is_the_same_bit_for_bit():
    changed = HISTORY | {"hist_dwell_s": [3.5, 0.0, 120.0]}
    shorter = {name: value[:2] if isinstance(value, list) else value for name, value in HISTORY.items()}
    each = [HISTORY, HISTORY, changed, shorter, EMPTY, EMPTY, HISTORY | {"impressed_ms": NOW + 60_000}]
    found = repeats_previous(ragged(with_histories(candidates(7), each)))
    assert found.tolist() == [False, True, False, False, False, True, False]


def test_rows_of_a_dataset_become_columns_that_read_as_they_were():
    rows = with_histories(
        candidates(4), [HISTORY, EMPTY, HISTORY | {"impressed_ms": NOW + 86_400_000}, HISTORY]
    )
    read = read_sequences(rows, SEQUENCES, "impressed_ms", "rows")
    groups = {"continuous": 3, "binary": 1, "user_embedding": 4}
    dense = {
        name: pa.array([[0.0] * width] * 4, pa.list_(pa.float32(), width)) for name, width in groups.items()
    }
    dense["discrete"] = pa.array([[1, 2]] * 4, pa.list_(pa.int64(), 2))
    again = read_sequences(
        to_columns(pa.record_batch({**dense, **read}), FEATURES), SEQUENCES, "impressed_ms", "rows"
    )
    for name, lists in read.items():
        assert again[name].to_pylist().__repr__() == lists.to_pylist().__repr__()


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (HISTORY | {"hist": []}, "history: unknown column 'hist'; columns: hist_items, "),
        ({"hist_items": [1]}, "history: no column hist_authors"),
        (
            HISTORY | {"hist_items": [1]},
            "history: row 0: column hist_authors has a list of 3, and hist_items one of 1",
        ),
        (HISTORY | {"hist_items": 7}, "history: column hist_items"),
        ([1], "history: is a list; give a mapping of columns to lists"),
    ],
)
def test_a_history_that_cannot_be_read_is_one_line(history: object, message: str, folder: Path):
    with pytest.raises(ValueError, match=message) as error:
        RecapPyfunc(str(folder)).predict(candidates(3), {"history": history})
    assert "\n" not in str(error.value)


def test_a_history_in_rows_and_parameter_is_refused_and_in_neither_too(folder: Path):
    served = RecapPyfunc(str(folder))
    with pytest.raises(ValueError, match="history: column hist_items is in the rows too"):
        served.predict(with_histories(candidates(2), [HISTORY] * 2), {"history": HISTORY})
    with pytest.raises(ValueError, match="no column hist_items"):
        served.predict(candidates(2))


def test_mlflow_takes_a_history_for_all_rows_of_a_call(folder: Path, tmp_path: Path):
    import mlflow.pyfunc

    rows = candidates(5)
    package(folder, with_histories(rows, [HISTORY] * 5), CONFIG, tmp_path / "version", lambda inside: None)
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "version"))
    frame = rows.to_pandas()
    expected = RecapPyfunc(str(folder)).predict(rows, {"history": HISTORY})
    once = loaded.predict(frame, params={"history": json.loads(json.dumps(HISTORY))})
    np.testing.assert_allclose(once, expected, rtol=0, atol=1e-6)
    repeated = pd.concat([frame, pd.DataFrame([HISTORY] * 5)], axis=1)
    np.testing.assert_allclose(loaded.predict(repeated), expected, rtol=0, atol=1e-6)
