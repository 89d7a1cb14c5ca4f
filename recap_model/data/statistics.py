"""Statistics of the training rows that the model's input transforms are fitted with."""

from pathlib import Path

from pydantic import ValidationError

from recap_model.config.base import Config
from recap_model.config.reasons import first_reason

STATISTICS_NAME = "_statistics.json"


class FeatureStatistics(Config):
    """Fitted on training rows only, by the build step; the model keeps them in its buffers.

    Attributes:
        log_mean, log_std: (continuous,) moments of sign(x)*log1p(|x|) over finite values.
        knots: for each continuous column values that rise, from its least to its greatest, so that both the rows
            and the rows without the commonest value are cut into even shares; empty without finite values.
        vocabularies: for each discrete column, its ids by falling frequency, with their counts.
    """

    log_mean: list[float] = []
    log_std: list[float] = []
    knots: list[list[float]] = []
    vocabularies: dict[str, dict[int, int]] = {}

    @classmethod
    def read(cls, folder: str | Path) -> "FeatureStatistics":
        """Read the statistics beside a dataset's manifest. Raises FileNotFoundError or ValueError, naming them."""
        path = Path(folder) / STATISTICS_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no statistics; they are written by build beside the training set"
            )
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ValueError(
                f"{path}: not what build writes: {first_reason(error)}; run build again"
            ) from None
