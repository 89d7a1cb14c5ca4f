"""One-line messages from pydantic's errors: field path, given value, allowed values."""

import datetime
import difflib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from recap_model.config.fields.uris import SecretInAddressError, mask_secrets

Path = tuple[str | int, ...]

_LONGEST_INPUT, _LONGEST_REASON, _LISTED = 200, 800, 12
_TYPE_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text; put it in quotes",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "date": "a date, as 2026-03-01",
    "datetime": "a time, as 2026-03-01T12:00:00",
}
# The first of these that begins a type of pydantic's errors says what is allowed, out of the error's context.
_ALLOWED: dict[str, Callable[[dict[str, Any]], str]] = {
    "missing": lambda context: "is required",
    "greater_than_equal": lambda context: f"must be at least {context['ge']}",
    "greater_than": lambda context: f"must be greater than {context['gt']}",
    "less_than_equal": lambda context: f"must be at most {context['le']}",
    "less_than": lambda context: f"must be less than {context['lt']}",
    "string_too_short": lambda context: "must not be empty",
    "string_too_long": lambda context: f"must have at most {context['max_length']} characters",
    "string_pattern_mismatch": lambda context: f"must match {context['pattern']}",
    "string_unicode": lambda context: "must be text in UTF-8",
    "too_short": lambda context: f"needs at least {context['min_length']}, has {context['actual_length']}",
    "too_long": lambda context: f"takes at most {context['max_length']}, has {context['actual_length']}",
    "literal_error": lambda context: f"must be {context['expected']}",
    "union_tag_invalid": lambda context: (
        f"{context['discriminator']} must be one of {context['expected_tags']}"
    ),
    "union_tag_not_found": lambda context: f"{context['discriminator']} is required",
    "none_required": lambda context: "must be left out",
    "int_parsing_size": lambda context: "must be a number of at most 64 bits",
}


def reasons(
    error: ValidationError, model: type[BaseModel] | None = None, content: object = None, path: Path = ()
) -> Iterator[str]:
    """A line for each thing that is wrong: ``a.b.0: 'given': what is allowed``.

    Args:
        model: an unknown field is reported with the nearest that this model has.
        content: what it was given; paths then leave out pydantic's names for the choices of a union.
        path: of what was validated in it.
    """
    for item in error.errors(include_url=False):
        location = (*path, *item["loc"])
        where = dotted(_without_tags(location, content, item["type"] == "missing"))
        if model is not None and item["type"] == "extra_forbidden":
            given, allowed = "", describe_unknown_field(model, location)
        else:
            is_key = bool(location) and item["input"] == location[-1]  # the path ends with it
            given, allowed = "" if is_key else _describe_input(item), _describe_allowed(item)
        yield f"{where + ': ' if where else ''}{given}{allowed}"[:_LONGEST_REASON]


def dotted(path: Iterable[str | int]) -> str:
    """A path as it is written in errors."""
    return ".".join(printable(str(part)) for part in path)


def _without_tags(location: Path, content: object, is_missing: bool) -> Iterator[str | int]:
    """A location without "[key]" and, where the content is known, without the tags of unions' choices.

    Args:
        is_missing: the location is of a field that the content does not have.
    """
    for number, part in enumerate(location):
        if part == "[key]":
            continue
        if isinstance(content, Mapping):
            if part not in content and not (is_missing and number == len(location) - 1):
                continue
            content = content.get(part)
        elif isinstance(content, list):
            if not isinstance(part, int):
                continue
            content = content[part] if part < len(content) else None
        elif isinstance(content, str | int | float):
            continue
        yield part


def _describe_input(item: Any) -> str:
    """The value in front of what is said of it; not where it holds a secret, or is a whole section."""
    secret = isinstance(item.get("ctx", {}).get("error"), SecretInAddressError)
    hidden = secret or isinstance(item["input"], dict | BaseModel) or item["type"] == "missing"
    return "" if hidden else f"{shown(item['input'])}: "


def _describe_allowed(item: Any) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "value_error":
        return item["msg"].removeprefix("Value error, ")
    for name, write in _ALLOWED.items():
        if kind == name:
            return write(context)
    known = _TYPE_NAMES.get(kind.partition("_")[0])
    return f"must be {known}" if known else item["msg"]


def shown(value: object) -> str:
    """A value as a config has it, cut where it is long."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    try:
        text = mask_secrets(repr(value))
    except ValueError:  # Python writes no integer of over 4300 digits
        return "a number of too many digits"
    return text if len(text) <= _LONGEST_INPUT else f"{text[:_LONGEST_INPUT]}…"


def printable(name: str) -> str:
    """A name from outside that breaks no line, however strange."""
    return name if name.isprintable() else repr(name)


def in_one_line(error: object) -> str:
    """All that an error says, its line breaks as spaces, secrets in addresses hidden."""
    return mask_secrets(" ".join(str(error).split()))


def first_reason(error: Exception) -> str:
    """The first of the `reasons`, or of another error the first line."""
    if isinstance(error, ValidationError):
        return next(reasons(error))
    return mask_secrets((str(error).strip().splitlines() or [type(error).__name__])[0])


def describe_unknown_field(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """What to say of a field that pydantic found and ``model`` does not have at that path."""
    fields = [item for candidate in _models_at(model, path[:-1]) for item in candidate.model_fields.items()]
    known = sorted({field.alias or name for name, field in fields})
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
        inside = [
            candidate.model_fields[str(part)] for candidate in here if str(part) in candidate.model_fields
        ]
        if inside:
            here = [one for field in inside for one in _models_of(field.annotation)]
        else:
            # The number of an item, the key of a value, or the choice of a union, by its class or its tag.
            here = [candidate for candidate in here if _is_choice(candidate, part)] or here
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
