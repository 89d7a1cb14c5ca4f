"""The census' log: codes, labels, a fixed split, and no label's column among the features."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.importers import files
from pipeline.importers.census import CATEGORIES, FILE, NUMBERS, import_census
from recap_model.config import load_config

DATA = Path(os.environ.get("RECAP_DATA_DIR", Path(__file__).parents[4] / "shared" / "data")) / "census_income"
CONFIG = Path(__file__).parents[3] / "pipeline" / "configs" / "census.yaml"
PERSON = (
    "38, Private, 6, 36, {education}, 0, Not in universe, {marital}, Manufacturing, Operators, White, Mexican, "
    "Female, Not in universe, Not in universe, Full-time, 0, 0, 250, Joint, Not in universe, Not in universe, "
    "Spouse, Spouse, 1032.38, ?, ?, ?, Under 1 year, ?, 4, Not in universe, Mexico, Mexico, Mexico, Foreign born, "
    "0, Not in universe, 2, 12, 95, {income}"
)
PEOPLE = [
    ("Bachelors degree(BA AB BS)", "Never married", "50000+."),
    ("High school graduate", "Divorced", "- 50000."),
    ("Some college but no degree", "Divorced", "- 50000."),
]


def source(folder: Path) -> Path:
    people = PEOPLE * 40
    lines = [
        PERSON.format(education=school, marital=state, income=income) for school, state, income in people
    ]
    path = folder / "census-income.test"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_labels_are_made_of_columns_that_are_no_features(tmp_path: Path):
    report = import_census(source(tmp_path), tmp_path / "log")
    table = pq.read_table(tmp_path / "log" / "date=1995-12-31")
    assert report.rows == 120
    first = {
        name: table[name].to_pylist()[:3] for name in ("income_over_50k", "never_married", "some_college")
    }
    assert first == {"income_over_50k": [1, 0, 0], "never_married": [1, 0, 0], "some_college": [1, 0, 1]}
    features = set(load_config(CONFIG).features.columns())
    assert features == {*NUMBERS, *CATEGORIES}
    assert not features & {"education", "marital_stat", "income_50k", "instance_weight"}


def test_categories_are_codes_from_1_whose_names_are_kept(tmp_path: Path):
    import_census(source(tmp_path), tmp_path / "log")
    codes = json.loads((tmp_path / "log" / "_codes.json").read_text())
    table = pq.read_table(tmp_path / "log" / "date=1995-12-31")
    assert codes["race"] == {"White": 1}
    assert set(table["race"].to_pylist()) == {1}
    assert table["stock_dividends"].to_pylist()[0] == 250.0


def test_the_split_is_the_published_permutation(tmp_path: Path):
    import_census(source(tmp_path), tmp_path / "log")
    split = np.array(pq.read_table(tmp_path / "log" / "date=1995-12-31")["split"].to_pylist())
    train = np.random.RandomState(2024).permutation(120)[:96]
    assert set(np.flatnonzero(split != "test")) == set(train)
    assert (split == "calibration").sum() == 6


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (", 95, - 50000.", ", 95", "Expected 42 columns, got 41"),
        ("- 50000.", "little", "row 2: income_50k is 'little'"),
        ("38, Private", "old, Private", "old"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(tmp_path: Path, old: str, new: str, words: str):
    path = source(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=words) as caught:
        import_census(path, tmp_path / "log")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_or_unpacks_to_too_much_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / FILE
    path.write_bytes(gzip.compress(bytes(1 << 20))[:-9])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        import_census(tmp_path, tmp_path / "log")
    monkeypatch.setattr(files, "_MAX_BYTES", 1 << 20)
    path.write_bytes(gzip.compress(bytes((1 << 20) + 1)))
    with pytest.raises(ValueError, match="over 1 MiB; give the file as it was published"):
        import_census(tmp_path, tmp_path / "log")


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the data set is not at {DATA}")
def test_the_whole_set_has_the_published_rates_and_fits_the_configs_tables(tmp_path: Path):
    assert import_census(DATA, tmp_path / "log").rows == 99_762
    table = pq.read_table(tmp_path / "log" / "date=1995-12-31")
    for task, rate in (("income_over_50k", 0.062), ("never_married", 0.432), ("some_college", 0.335)):
        assert np.mean(table[task]) == pytest.approx(rate, abs=6e-4)
    codes = json.loads((tmp_path / "log" / "_codes.json").read_text())
    for embedding in load_config(CONFIG).model.small_embeddings.tables:
        assert embedding.num_embeddings == len(codes[embedding.name]) + 1
