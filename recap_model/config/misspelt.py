"""What a setting that does not exist may have been meant to be."""

import difflib
import types
import typing
from collections.abc import Iterator, Sequence

from pydantic import BaseModel

_LISTED = 12


def no_such_setting(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """What to say of a field that pydantic found and ``model`` does not have at that path."""
    known = sorted({name for one in _models_at(model, path[:-1]) for name in one.model_fields})
    close = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.7)
    if close:
        return f"there is no such setting; did you mean {close[0]}?"
    if len(known) > _LISTED:
        known = [*known[:_LISTED], "…"]
    return f"there is no such setting; those here are {', '.join(known)}"


def _models_at(model: type[BaseModel], path: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that may stand at a path: steps into fields, items and values, and choices of a union."""
    here = [model]
    for part in path:
        inside = [one.model_fields[str(part)] for one in here if str(part) in one.model_fields]
        if inside:
            here = [found for field in inside for found in _models_of(field.annotation)]
        else:
            # The place of an item, the key of a value, or the choice of a union, by its class or its tag.
            here = [one for one in here if _is_choice(one, part)] or here
    return here


def _models_of(annotation: object) -> Iterator[type[BaseModel]]:
    """The models that an annotation speaks of, in lists, mappings, unions and annotations too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _models_of(part)


def _is_choice(model: type[BaseModel], part: str | int) -> bool:
    return part == model.__name__ or part in [field.default for field in model.model_fields.values()]
