"""Statistics of the training rows that the model's input transforms are fitted with."""

from pathlib import Path

from pydantic import NonNegativeInt, PositiveInt

from recap_model.config.base import StrictModel
from recap_model.json_files import read_model

STATISTICS_NAME = "_statistics.json"


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
