"""An embedding that another one of the same norm takes the place of is told; and what its directions are."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from components.validate.profile.columns import Block
from components.validate.profile.values import values_of
from recap_model.config import RecapConfig
from recap_model.data.log.schema import LogColumn
from tests.components.validate.broken import profile_of, validate
from tests.components.validate.shop import FIRST, shop_config, shop_rows

WIDTH, ROWS, DAYS = 16, 1500, 4
BLOCK = Block("direction", (LogColumn("taste", "embedding", "features.user_embedding", WIDTH),))
Vectors = NDArray[np.float64]


def taste_config() -> RecapConfig:
    content = shop_config().model_dump(mode="json", exclude_none=True)
    content["features"]["user_embedding"] = {"column": "taste", "width": WIDTH}
    return RecapConfig.model_validate(content)


def write_tastes(
    root: Path, first: int, change: Callable[[Vectors], Vectors] = lambda vectors: vectors
) -> Path:
    """Days of a shop whose customers each have a taste; the last day's tastes changed."""
    world = np.random.default_rng(3)
    tastes = world.normal(world.normal(0.0, 0.3, WIDTH), world.uniform(0.3, 1.5, WIDTH), (3000, WIDTH))
    for number in range(first, first + DAYS):
        rows = shop_rows(FIRST + timedelta(days=number), ROWS)
        vectors = tastes[rows["customer"].to_numpy()]
        if number == first + DAYS - 1:
            vectors = change(vectors)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), WIDTH)
        folder = root / f"date={(FIRST + timedelta(days=number)).isoformat()}"
        folder.mkdir(parents=True)
        pq.write_table(rows.append_column("taste", column), folder / "part-00000.parquet")
    return root


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("champion")
    return profile_of(folder, write_tastes(folder / "log", 0), taste_config())


def test_the_same_embedding_is_within_the_bounds(tmp_path: Path, champion: Path):
    verdict = validate(tmp_path, write_tastes(tmp_path / "log", DAYS), taste_config(), champion)
    assert not [line for line in verdict.lines("warning") if "taste" in line]


@pytest.mark.parametrize(
    "change", [lambda vectors: vectors[:, ::-1], lambda vectors: -vectors], ids=["reversed", "negated"]
)
def test_another_embedding_of_the_same_norm_is_told_in_one_line(
    tmp_path: Path, champion: Path, change: Callable[[Vectors], Vectors]
):
    log = write_tastes(tmp_path / "log", DAYS, change)
    lines = validate(tmp_path, log, taste_config(), champion).lines("warning")
    [line] = [line for line in lines if "taste" in line]
    assert line.startswith("column_drift: column taste, direction ")
    assert "date=2026-04-08" in line


def test_a_profile_without_directions_is_a_baseline_still(tmp_path: Path, champion: Path):
    table = pq.read_table(champion)
    kept = [not block.startswith("direction") for block in table["block"].to_pylist()]
    older = tmp_path / "older.parquet"
    pq.write_table(table.filter(pa.array(kept)), older)
    found = (
        validate(tmp_path, write_tastes(tmp_path / "log", DAYS), taste_config(), older).drifts["drift"].found
    )
    assert found is not None
    assert found.new == []
    assert {change.column for change in found.changes if "taste" in change.column} == {"taste"}


def cosines(vectors: Vectors) -> Vectors:
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float64()), WIDTH)
    return values_of(pa.record_batch({"taste": column}), BLOCK).array


def test_directions_are_cosines_with_vectors_of_ones():
    vectors = np.random.default_rng(0).normal(size=(50, WIDTH))
    found = cosines(vectors)
    assert np.abs(found).max() <= 1.0
    np.testing.assert_allclose(found, cosines(1000.0 * vectors), rtol=1e-12)
    np.testing.assert_allclose(found, -cosines(-vectors))
    # Of unit vectors the cosines with a vector of -1 and 1 are its entries over the root of how many there are.
    np.testing.assert_allclose(np.abs(cosines(np.eye(WIDTH))), 1.0 / np.sqrt(WIDTH))


def test_a_row_has_the_same_bits_among_any_others():
    vectors = np.random.default_rng(0).normal(size=(1000, WIDTH))
    parts = [cosines(part) for part in np.array_split(vectors, 7)]
    np.testing.assert_array_equal(cosines(vectors), np.concatenate(parts))


def test_a_vector_without_a_direction_has_none():
    vectors = np.ones((3, WIDTH))
    vectors[0], vectors[1, 2], vectors[2, 5] = 0.0, np.nan, np.inf
    assert np.isnan(cosines(vectors)).all()
