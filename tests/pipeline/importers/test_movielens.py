"""MovieLens' log: cuts of one rating, and no feature that was known only after the rating."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pipeline.importers.movielens import GENRES, MOVIES, RATINGS, TASKS, import_movielens
from recap_model.config import load_config

DATA = Path(os.environ.get("RECAP_DATA_DIR", Path(__file__).parents[4] / "shared" / "data"))
CONFIG = Path(__file__).parents[3] / "pipeline" / "configs" / "movielens.yaml"
START = 964_982_703  # 30 July 2000

Rows = list[tuple[int, int, float, int]]
ROWS: Rows = [(1, 10, 4.0, 0), (1, 20, 2.5, 60), (2, 10, 4.5, 120), (1, 30, 0.5, 180), (2, 20, 3.0, 180)]
FILMS = [
    '10,"Dance, The (1990)",Comedy|Film-Noir',
    "20,Storm (1995) ,Drama",
    "30,A Film without a Year,(no genres listed)",
]


def source(folder: Path, rows: Rows, films: list[str] = FILMS) -> Path:
    """The two files, with ratings of (user, film, stars, seconds after the start)."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["userId,movieId,rating,timestamp"]
    lines += [f"{user},{film},{stars},{START + seconds}" for user, film, stars, seconds in rows]
    (folder / RATINGS).write_text("\n".join(lines) + "\n")
    (folder / MOVIES).write_text("\n".join(["movieId,title,genres", *films]) + "\n")
    return folder


def imported(folder: Path, rows: Rows) -> pa.Table:
    import_movielens(source(folder / "source", rows), folder / "log")
    return ds.dataset(str(folder / "log"), format="parquet").to_table()


def test_tasks_are_cuts_of_the_rating(tmp_path: Path):
    table = imported(tmp_path, ROWS)
    assert table["rating"].to_pylist() == [4.0, 2.5, 4.5, 0.5, 3.0]
    assert table["like"].to_pylist() == [1, 0, 1, 0, 0]
    assert table["love"].to_pylist() == [0, 0, 1, 0, 0]
    assert table["dislike"].to_pylist() == [0, 1, 0, 1, 0]


def test_films_have_the_age_and_genres_of_their_file(tmp_path: Path):
    table = imported(tmp_path, ROWS)
    assert table["movie_age_years"].to_pylist() == pytest.approx(
        [10.58, 5.58, 10.58, None, 5.58], abs=0.01, nan_ok=True
    )
    assert table["genres"].to_pylist()[:2] == ["Comedy|Film-Noir", "Drama"]
    assert table["genre_film_noir"].to_pylist() == [1, 0, 1, 0, 0]
    assert table["genre_drama"].to_pylist() == [0, 1, 0, 0, 1]


def test_counts_and_rates_are_of_strictly_earlier_rows(tmp_path: Path):
    table = imported(tmp_path, ROWS)
    assert table["user_impressions"].to_pylist() == [0, 1, 0, 2, 1]
    assert table["movie_impressions"].to_pylist() == [0, 0, 1, 0, 1]
    assert table["movie_hours_since"].to_pylist() == pytest.approx([None, None, 1 / 30, None, 1 / 30])
    everyone = (1 + 5) / 12  # of the two earlier rows, with the prior of ten rows at one half
    assert table["movie_like_rate"][2].as_py() == pytest.approx((1 + 10 * everyone) / 11)


@pytest.mark.parametrize("changed", range(len(ROWS)))
def test_a_rating_changes_no_feature_of_its_row_and_of_earlier_ones(tmp_path: Path, changed: int):
    other = [(*row[:2], 5.0 - row[2], row[3]) if n >= changed else row for n, row in enumerate(ROWS)]
    before, after = (
        imported(tmp_path / name, rows).drop_columns(["rating", *TASKS])
        for name, rows in (("a", ROWS), ("b", other))
    )
    assert before.slice(0, changed + 1).equals(after.slice(0, changed + 1))


def test_no_outcome_is_a_feature():
    assert not set(load_config(CONFIG).features.columns()) & {"rating", *TASKS}


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (RATINGS, "timestamp", "time", "no column timestamp|timestamp.*not"),
        (RATINGS, ",2.5,", ",2.4,", "row 2: rating is 2.4; allowed are 0.5, 1.0"),
        (RATINGS, f",{START}", ",-1", "row 1: timestamp is -1; allowed are 0 to"),
        (RATINGS, "1,30,", "1,31,", f"movieId 31 is not in .*{MOVIES}"),
        (MOVIES, "\n20,", "\n10,", "movieId 10 has two rows"),
        (MOVIES, "\n20,", "\ntwenty,", "twenty"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(tmp_path: Path, file: str, old: str, new: str, words: str):
    path = source(tmp_path / "source", ROWS) / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=words) as caught:
        import_movielens(path.parent, tmp_path / "log")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "log").exists()


def test_both_files_are_needed(tmp_path: Path):
    (source(tmp_path, ROWS) / MOVIES).unlink()
    with pytest.raises(FileNotFoundError, match=r"movies\.csv: no such file"):
        import_movielens(tmp_path, tmp_path / "log")


@pytest.mark.skipif(
    not (DATA / "movielens_latest_small").is_dir(), reason=f"the data set is not under {DATA}"
)
def test_the_whole_set_has_its_documented_rows_and_the_configs_columns(tmp_path: Path):
    report = import_movielens(DATA / "movielens_latest_small", tmp_path / "log")
    assert report.rows == 100_836
    table = ds.dataset(str(tmp_path / "log"), format="parquet").to_table()
    rates = {task: round(float(np.mean(table[task])), 3) for task in TASKS}
    assert rates == {"like": 0.482, "love": 0.216, "dislike": 0.189}
    assert set(load_config(CONFIG).features.columns()) <= set(table.column_names)
    genres = set("|".join(table["genres"].to_pylist()).split("|"))
    assert genres - {"(no genres listed)"} == set(GENRES)
