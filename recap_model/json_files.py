"""Read JSON files as pydantic models."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from recap_model.config.reading.errors import first_reason

Model = TypeVar("Model", bound=BaseModel)


def read_model(path: Path, cls: type[Model], step: str) -> Model:
    """Read a file that ``step`` wrote as JSON.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it does not hold what ``cls`` is.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not there; run {step} again")
    try:
        return cls.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path}: not what {step} writes: {first_reason(error)}; run {step} again") from None
