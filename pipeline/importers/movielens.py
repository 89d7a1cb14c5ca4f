"""MovieLens: ratings of films by users, cut into three tasks (Harper and Konstan, TiiS 2015).

A rating is an impression: like is a rating of at least 4, love of at least 4.5, dislike of at most 2.5. Features are
known before the rating: the hour and weekday (UTC), the film's age and genres, and counts and rates of the user's
and the film's strictly earlier ratings.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.importers.earlier_rows import DAY_MS, HOUR_MS, LAST_MS, earlier_counts_and_rates
from pipeline.importers.files import (
    ImportReport,
    find_file,
    parse_delimited,
    read_unpacked,
    require_range,
    require_values,
    write_log,
)

RATINGS, MOVIES = "ratings.csv", "movies.csv"
TASKS = ("like", "love", "dislike")
GENRES = (
    "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir",
    "Horror", "IMAX", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_RATINGS = {"userId": pa.int64(), "movieId": pa.int64(), "rating": pa.float64(), "timestamp": pa.int64()}
_MOVIES = {"movieId": pa.int64(), "title": pa.string(), "genres": pa.string()}
_STARS = tuple(half / 2 for half in range(1, 11))
_EPOCH_ORDINAL = 719_163
_DAYS_A_YEAR = 365.2425


def import_movielens(source: Path, out: Path) -> ImportReport:
    """Write all ratings as one partition, that of the last rating's day: histories go back for years.

    Args:
        source: the folder with `RATINGS` and `MOVIES`.

    Raises:
        FileNotFoundError: a file does not exist.
        FileExistsError: ``out`` holds something else.
        ValueError: a column is missing, a value does not parse, a rating is not one of half stars from 0.5 to 5, a
            film has no or two rows in `MOVIES`.
    """
    path, movies_path = (find_file(source, name) for name in (RATINGS, MOVIES))
    ratings = parse_delimited(path, read_unpacked(path), _RATINGS, ",", header=True)
    require_values(path, ratings, "rating", _STARS)
    require_range(path, ratings, "timestamp", 0, LAST_MS // 1_000)
    ratings = ratings.sort_by([(name, "ascending") for name in ("timestamp", "userId", "movieId")])
    films = _films(path, movies_path, ratings["movieId"])
    rows = _columns(ratings, films)
    last_day = int(rows["rated_ms"][-1].as_py()) // DAY_MS
    return write_log(out, {date.fromordinal(_EPOCH_ORDINAL + last_day): rows})


def _films(path: Path, movies_path: Path, rated: pa.ChunkedArray) -> pa.Table:
    """The film of each rating."""
    movies = parse_delimited(movies_path, read_unpacked(movies_path), _MOVIES, ",", header=True)
    counts = pc.value_counts(movies["movieId"])
    twice = pc.filter(counts.field("values"), pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise ValueError(f"{movies_path}: movieId {twice[0]} has two rows; give the file as it was published")
    index = pc.index_in(rated, movies["movieId"])
    if index.null_count:
        unknown = pc.filter(rated, pc.is_null(index))[0]
        raise ValueError(f"{path}: movieId {unknown} is not in {movies_path}; give both files of one release")
    return movies.take(index)


def _columns(ratings: pa.Table, films: pa.Table) -> pa.Table:
    time_ms = ratings["timestamp"].to_numpy() * 1_000
    stars = ratings["rating"].to_numpy()
    labels = {"like": stars >= 4.0, "love": stars >= 4.5, "dislike": stars <= 2.5}
    user, movie = ratings["userId"].to_numpy(), ratings["movieId"].to_numpy()
    # A title ends with its year; a few have none.
    year = pc.struct_field(pc.extract_regex(films["title"], r"\((?P<year>\d{4})\)\s*$"), "year")
    age = pc.subtract(1970.0 + time_ms / (DAY_MS * _DAYS_A_YEAR), year.cast(pa.float64()))
    columns = {
        "user_id": user,
        "movie_id": movie,
        "rated_ms": time_ms,
        "genres": films["genres"],
        "hour": time_ms // HOUR_MS % 24,
        "weekday": (time_ms // DAY_MS + 3) % 7,
        "movie_age_years": age.cast(pa.float32()),
    }
    names = pc.split_pattern(films["genres"], "|").combine_chunks()
    row, name = pc.list_parent_indices(names).to_numpy(), names.flatten()
    for genre in GENRES:
        has = np.zeros(len(films), np.int8)
        has[row[pc.equal(name, genre).to_numpy(zero_copy_only=False)]] = 1
        columns[f"genre_{genre.lower().replace('-', '_')}"] = has
    floats = {task: label.astype(np.float64) for task, label in labels.items()}
    columns |= earlier_counts_and_rates({"user": user, "movie": movie}, time_ms, floats)
    columns["rating"] = stars.astype(np.float32)
    columns |= {task: label.astype(np.int8) for task, label in labels.items()}
    return pa.table(columns)
