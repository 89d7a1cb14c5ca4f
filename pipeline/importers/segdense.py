"""The segdense schema of the published ranker: the type and length of each feature of its TFRecords."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from recap_model.config.base import StrictModel
from recap_model.config.reading.errors import reasons
from recap_model.config.reading.yaml import ConfigError

_MAX_BYTES = 1 << 28


class Feature(StrictModel):
    """One feature of a record. A length of -1 is a list of any length."""

    model_config = ConfigDict(extra="ignore")

    feature_name: str
    dtype: Literal["int64_list", "float_list", "bytes_list"]
    length: Annotated[int, Field(ge=-1)]


def read_segdense(path: Path) -> dict[str, Feature]:
    """The features of a schema file, JSON with a list of ``feature_name``, ``dtype`` and ``length``, by name.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: it is not such a schema; a line for each error.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the segdense schema of the records (--segdense)")
    if path.stat().st_size > _MAX_BYTES:
        raise ConfigError(f"{path}: over {_MAX_BYTES >> 20} MiB, so no segdense schema")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    entries = content.get("schema") if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path}: no features; a segdense schema is a list of them under `schema`")
    try:
        features = TypeAdapter(list[Feature]).validate_python(entries)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: schema.{reason}" for reason in reasons(error))) from None
    by_name: dict[str, Feature] = {}
    for feature in features:
        if feature.feature_name in by_name:
            raise ConfigError(f"{path}: feature {feature.feature_name!r} is given twice; keep one")
        by_name[feature.feature_name] = feature
    return by_name
