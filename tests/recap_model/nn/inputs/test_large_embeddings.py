"""Large embeddings: sums over lists of ids, and the files they start from."""

import io

import numpy as np
import pyarrow as pa
import pytest
import torch

from recap_model import create_ranking_model, load_model, save_model
from recap_model.config.model.inputs import LargeEmbeddingsConfig
from recap_model.data.log.id_hashing import feature_ids
from recap_model.nn import LargeEmbeddings
from tests.recap_model.models import WIDTHS, batch, section
from tests.tiny import tiny_config

IDS = torch.tensor([[1, 2, -1], [3, 3, 3], [-1, -1, -1], [99, 0, -1]])


def config(**table) -> LargeEmbeddingsConfig:
    defaults = {"name": "followed", "num_embeddings": 4, "embedding_dim": 2}
    return LargeEmbeddingsConfig(tables=[defaults | table])


def test_entries_of_a_rows_ids_are_summed():
    module = LargeEmbeddings(config())
    weight = module.tables[0].table.weight
    (out,) = module({"followed": IDS})
    expected = torch.stack([weight[1] + weight[2], 3 * weight[3], 0 * weight[0], 2 * weight[0]])
    torch.testing.assert_close(out, expected)


def npy(value: float) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([[7, 0], [value, 0], [6, 0]]))
    return stream.getvalue()


@pytest.fixture
def files(tmp_path):
    (tmp_path / "ids.txt").write_text("70\n-5\n60\n")
    np.save(tmp_path / "values.npy", np.array([[7, 0], [5, 0], [6, 0]], dtype=np.float32))
    return tmp_path


@pytest.mark.parametrize(
    ("lines", "column"),
    [
        (
            ["b", "550e8400-e29b-41d4-a716-446655440000"],
            pa.array(["b", "550e8400-e29b-41d4-a716-446655440000"]),
        ),
        (["18446744073709551611", "-77"], pa.array([2**64 - 5, 2**64 - 77], pa.uint64())),
    ],
)
def test_a_vocabulary_is_of_text_or_of_integers_of_any_sign(lines, column, files):
    (files / "ids.txt").write_text("\n".join(lines))
    module = LargeEmbeddings(config(vocab=str(files / "ids.txt")))
    module.read_files(config(vocab=str(files / "ids.txt")))
    ids = feature_ids(column)
    entries = module.tables[0].entries(torch.tensor(ids.to_pylist()))
    assert sorted(entries.tolist()) == [1, 2]


def test_values_belong_to_the_ids_of_their_lines(files):
    settings = config(vocab=str(files / "ids.txt"), pretrained=str(files / "values.npy"))
    module = LargeEmbeddings(settings)
    module.read_files(settings)
    (out,) = module({"followed": torch.tensor([[70], [60], [-5]])})
    assert out[:, 0].tolist() == [7, 6, 5]


def test_a_saved_model_needs_the_files_no_more(files):
    fields = config(vocab=str(files / "ids.txt"), pretrained=str(files / "values.npy"))
    settings = section(large_embeddings=fields)
    model = create_ranking_model(WIDTHS, settings, "cpu").eval()
    save_model(model, files / "model", settings)
    (files / "ids.txt").unlink()
    (files / "values.npy").unlink()
    rows = batch(rows=4, sparse={"followed": torch.tensor([[70], [60], [1], [-1]])})
    loaded = load_model(files / "model")
    torch.testing.assert_close(loaded(rows)["logits"], model(rows)["logits"])
    assert loaded.inputs(rows).embeddings[0][:, 0].tolist()[:2] == [7, 6]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("ids.txt", "1\nx\n", r"ids\.txt: line 2: 'x' is no id"),
        (
            "ids.txt",
            "x\n\n",
            r"ids\.txt: line 2: '' is no id; .* integer of 64 bits on each line, or text on",
        ),
        ("ids.txt", b"1\n\xff\n", r"ids\.txt: line 2: '\ufffd' is no id"),
        ("ids.txt", f"{2**63 - 2}\n{2**63 - 1}\n", r"ids\.txt: line 2: '9223372036854775807' is no id"),
        ("ids.txt", "1\n1\n", "line 2: id 1 is on line 1 too"),
        ("ids.txt", "1\n2\n3\n4\n", "4 ids; the table has room for 3"),
        ("ids.txt", "1\n2\n", r"values\.npy: expected shape \(2, 2\), got \(3, 2\)"),
        ("ids.txt", "x\n5\n", r"ids\.txt: line 2: '5' is no id"),
        ("values.npy", npy(np.nan), r"values\.npy: row 1 has a value that is NaN or infinite"),
        ("values.npy", npy(1e39), r"values\.npy: row 1 has a value that is NaN or infinite"),
        ("values.npy", "no", r"values\.npy: not a \.npy file"),
        ("ids.txt", None, r"ids\.txt: no such file"),
        ("values.npy", None, r"values\.npy: no such file"),
    ],
)
def test_a_file_that_does_not_fit_is_named(files, file, content, message):
    if content is None:
        (files / file).unlink()
    else:
        (files / file).write_bytes(content.encode() if isinstance(content, str) else content)
    settings = config(vocab=str(files / "ids.txt"), pretrained=str(files / "values.npy"))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        LargeEmbeddings(settings).read_files(settings)


@pytest.mark.parametrize(
    ("sparse", "message"),
    [
        (None, r"sparse\.followed: missing in the batch; expected shape \(rows, longest list\)"),
        ({"followed": torch.zeros(7, 2)}, r"sparse\.followed: expected .* of int64, got float32"),
        ({"followed": torch.zeros(3, 2, dtype=torch.int64)}, r"expected shape \(7, longest list\)"),
    ],
)
def test_lists_that_do_not_fit_are_named(sparse, message):
    model = create_ranking_model(WIDTHS, section(large_embeddings=config()), "cpu")
    with pytest.raises(ValueError, match=message):
        model(batch(sparse=sparse))


def test_a_batch_slices_and_moves_its_lists_too():
    rows = batch(rows=4, sparse={"followed": IDS})
    assert torch.equal(rows[1:3].sparse["followed"], IDS[1:3])
    assert torch.equal(rows.to("cpu").sparse["followed"], IDS)


def test_a_table_reads_a_column_of_the_features():
    section_fields = tiny_config().model.model_dump() | {"large_embeddings": config()}
    with pytest.raises(ValueError, match=r"tables\.0\.name: 'followed' is no column of features\.sparse"):
        tiny_config(model=section_fields)
