"""Statistics of the training rows that the model's input transforms are fitted with."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path

from pydantic import NonNegativeInt, PositiveInt

from recap_model.config.base import StrictModel
from recap_model.json_files import read_model

STATISTICS_NAME = "_statistics.json"

log = logging.getLogger(__name__)


class Collisions(StrictModel):
    """How the ids of the training rows share the places that they are hashed into.

    Attributes:
        places: that there are; of a table, all entries but that of the unknown id.
        ids: distinct ones.
        sharing: share of the ids whose place is another id's too.
        expected: what ``sharing`` would be if every place were as likely for every id: 1 - (1 - 1/places)^(ids - 1).
        impressions: times that an id was read.
        impressions_sharing: share of them that read a place of several ids.
        exact: whether all was counted; otherwise estimated, see `components.prepare.collisions`.
    """

    places: PositiveInt
    ids: NonNegativeInt
    sharing: float
    expected: float
    impressions: NonNegativeInt
    impressions_sharing: float
    exact: bool


class FeatureStatistics(StrictModel):
    """Fitted on training rows only, by the prepare step; the model keeps them in its buffers.

    Attributes:
        log_mean, log_std: (continuous,) moments of sign(x)*log1p(|x|) over finite values.
        knots: for each continuous column values that rise, from its least to its greatest, so that both the rows
            and the rows without the commonest value are cut into even shares; empty without finite values.
        vocabularies: for each discrete column, its ids by falling frequency, with their counts.
        collisions: of each table that hashes ids and each derived cross, by the path of its config.
    """

    log_mean: list[float] = []
    log_std: list[float] = []
    knots: list[list[float]] = []
    vocabularies: dict[str, dict[int, int]] = {}
    collisions: dict[str, Collisions] = {}

    @classmethod
    def read(cls, folder: str | Path) -> "FeatureStatistics":
        """Read the statistics beside a dataset's manifest. Raises FileNotFoundError or ValueError, naming them."""
        return read_model(Path(folder) / STATISTICS_NAME, cls, "prepare")


def report_collisions(collisions: Mapping[str, Collisions], bound: float) -> None:
    """Log a line for each hashed table, and a warning for one whose ids share places beyond ``bound``."""
    for path, found in collisions.items():
        log.info(
            "event=hashed table=%s ids=%d places=%d sharing=%.4f expected=%.4f impressions_sharing=%.4f exact=%s",
            path,
            found.ids,
            found.places,
            found.sharing,
            found.expected,
            found.impressions_sharing,
            str(found.exact).lower(),
        )
        if found.sharing > bound:
            log.warning("%s", collision_warning(path, found, bound))


def collision_warning(path: str, found: Collisions, bound: float) -> str:
    """One line on a table whose ids share places beyond ``bound``, and on the places that would be enough."""
    about = "" if found.exact else "about "
    return (
        f"{path}: {found.sharing:.1%} of {about}{found.ids:,} ids share their place with another "
        f"(data.collision_bound is {bound:.1%}); its {found.places:,} places (num_embeddings - 1, "
        f"or buckets) are few: {buckets_within(found.ids, bound):,} would do, or raise the bound"
    )


def buckets_within(ids: int, bound: float) -> int:
    """The least number of places for which the expected share of ``ids`` that share one is within ``bound``.

    Solves ``1 - (1 - 1/places)^(ids - 1) = bound``.

    >>> enough_places(1001, 0.2)
    4482
    """
    return math.ceil(-1.0 / math.expm1(math.log1p(-bound) / max(ids - 1, 1)))
