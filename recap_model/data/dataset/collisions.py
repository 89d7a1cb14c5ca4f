"""What is said of ids that share the places they are hashed into."""

import logging
import math
from collections.abc import Mapping

from recap_model.data.dataset.statistics import Collisions

log = logging.getLogger(__name__)


def tell_collisions(collisions: Mapping[str, Collisions], bound: float) -> None:
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
            log.warning("%s", warning(path, found, bound))


def warning(path: str, found: Collisions, bound: float) -> str:
    """One line on a table whose ids share places beyond ``bound``, and on the places that would be enough."""
    about = "" if found.exact else "about "
    return (
        f"{path}: {found.sharing:.1%} of {about}{found.ids:,} ids share their place with another "
        f"(data.collision_bound is {bound:.1%}); its {found.places:,} places (num_embeddings - 1, "
        f"or buckets) are few: {enough_places(found.ids, bound):,} would do, or raise the bound"
    )


def enough_places(ids: int, bound: float) -> int:
    """The least number of places for which the expected share of ``ids`` that share one is within ``bound``.

    Solves ``1 - (1 - 1/places)^(ids - 1) = bound``.

    >>> enough_places(1001, 0.2)
    4482
    """
    return math.ceil(-1.0 / math.expm1(math.log1p(-bound) / max(ids - 1, 1)))
