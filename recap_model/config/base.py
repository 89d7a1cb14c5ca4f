"""Base class of config sections and manifests, and validators that several share."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator

Section = TypeVar("Section", bound=BaseModel)


class StrictModel(BaseModel):
    """A strict, immutable pydantic model: unknown fields are refused, numbers are finite.

    A null is as if the field were not given, but where null is a value of its own, as of a bound that is not checked.
    Published configs are written so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        return {
            name: value
            for name, value in content.items()
            if value is not None
            or name not in cls.model_fields
            or type(None) in get_args(cls.model_fields[name].annotation)
        }


def exactly_one_of(section: Section, *fields: str) -> Section:
    """Return ``section`` if just one of ``fields`` is set; raise ValueError naming those that are."""
    given = [field for field in fields if getattr(section, field) is not None]
    if len(given) != 1:
        raise ValueError(
            f"exactly one of {', '.join(fields)} must be given; got {', '.join(given) or 'none'}"
        )
    return section


def distinct_names(section: Section, field: str) -> Section:
    """Return ``section`` if the items of its list ``field`` have different names; else raise ValueError."""
    names = [item.name for item in getattr(section, field) or ()]
    for name, times in Counter(names).items():
        if times > 1:
            raise ValueError(f"{field}: the name {name!r} is given twice; a name belongs to one item")
    return section
