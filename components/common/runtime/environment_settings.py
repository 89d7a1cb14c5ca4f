"""Settings that a compiled pipeline puts into the environment of its tasks."""

import os
from typing import TypeVar

from pydantic import ValidationError

from recap_model.config import StrictModel
from recap_model.config.reading.errors import first_reason

Settings = TypeVar("Settings", bound=StrictModel)


def read_settings(variable: str, model: type[Settings]) -> Settings | None:
    """Read an environment variable's JSON; None where it is not set. Raises ValueError if it cannot be read."""
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(f"{variable}: {first_reason(error)}; compile the pipeline again") from None
