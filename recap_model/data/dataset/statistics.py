"""Statistics of the training rows: moments, quantiles, vocabularies, hash collisions."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from recap_model.config.base import StrictModel
from recap_model.json_files import read_model

STATISTICS_NAME = "_statistics.json"

log = logging.getLogger(__name__)


class Collisions(StrictModel):
    """Hash collisions among the ids of the training rows, in one table or cross.

    The file's names for `buckets` and the two rates are those of datasets that were prepared before.

    Attributes:
        buckets: of the hash; of a table, all entries but that of the unknown id.
        ids: distinct ids.
        collision_rate: fraction of the ids that share their bucket with another id.
        expected: the collision rate of a uniform hash: 1 - (1 - 1/buckets)^(ids - 1).
        impressions: how often an id was read.
        impression_collision_rate: fraction of the impressions that read a bucket of several ids.
        exact: counted exactly; otherwise estimated, see `components.prepare.statistics.collisions`.
    """

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    buckets: PositiveInt = Field(alias="places")
    ids: NonNegativeInt
    collision_rate: float = Field(alias="sharing")
    expected: float
    impressions: NonNegativeInt
    impression_collision_rate: float = Field(alias="impressions_sharing")
    exact: bool


class FeatureStatistics(StrictModel):
    """Fitted on training rows only, by the prepare step; the model keeps them in its buffers.

    Attributes:
        log_mean, log_std: (continuous,) moments of sign(x)*log1p(|x|) over finite values.
        knots: for each continuous column values that rise, from its least to its greatest, so that both the rows
            and the rows without the commonest value are cut into even shares; empty without finite values.
        vocabularies: for each discrete column, its ids by falling frequency, with their counts.
        collisions: of each table that hashes ids and each derived cross, by the path of its config.
        slice_quantiles: of each column that slices are made by, values of quantiles; left out without one.
    """

    log_mean: list[float] = []
    log_std: list[float] = []
    knots: list[list[float]] = []
    vocabularies: dict[str, dict[int, int]] = {}
    collisions: dict[str, Collisions] = {}
    slice_quantiles: dict[str, dict[float, float]] = Field({}, exclude_if=lambda value: not value)

    @classmethod
    def read(cls, folder: str | Path) -> "FeatureStatistics":
        """Read the statistics beside a dataset's manifest. Raises FileNotFoundError or ValueError, naming them."""
        return read_model(Path(folder) / STATISTICS_NAME, cls, "prepare")


def report_collisions(collisions: Mapping[str, Collisions], bound: float) -> None:
    """Log a line for each hashed table, and a warning for one whose collision rate exceeds ``bound``."""
    for path, table in collisions.items():
        log.info(
            "event=hashed table=%s ids=%d places=%d sharing=%.4f expected=%.4f impressions_sharing=%.4f exact=%s",
            path,
            table.ids,
            table.buckets,
            table.collision_rate,
            table.expected,
            table.impression_collision_rate,
            str(table.exact).lower(),
        )
        if table.collision_rate > bound:
            log.warning("%s", collision_warning(path, table, bound))


def collision_warning(path: str, table: Collisions, bound: float) -> str:
    """One line on a table whose collision rate exceeds ``bound``, and how many buckets would suffice."""
    about = "" if table.exact else "about "
    return (
        f"{path}: {table.collision_rate:.1%} of {about}{table.ids:,} ids collide with another in "
        f"{table.buckets:,} buckets (data.collision_bound is {bound:.1%}); give {buckets_within(table.ids, bound):,} "
        "buckets (num_embeddings - 1, or buckets), or raise the bound"
    )


def buckets_within(ids: int, bound: float) -> int:
    """The least number of buckets for which the expected collision rate of ``ids`` is within ``bound``.

    Solves ``1 - (1 - 1/buckets)^(ids - 1) = bound``.

    >>> buckets_within(1001, 0.2)
    4482
    """
    return math.ceil(-1.0 / math.expm1(math.log1p(-bound) / max(ids - 1, 1)))
