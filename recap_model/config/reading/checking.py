"""Every error of a config at once: of its fields, of its sections, and between them."""

import contextlib
import functools
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from recap_model.config.base import StrictModel
from recap_model.config.reading.errors import Path, dotted, no_such_setting, reasons
from recap_model.config.reading.yaml import ConfigError, unquoted_names

Section = TypeVar("Section", bound=StrictModel)


class _UnreadableError(Exception):
    """A value cannot be read as its field, which was reported."""


def check(model: type[Section], content: object, source: str) -> Section:
    """Read a section, or a whole config; ``source`` names it. Raises ConfigError with a line for each error."""
    found = list(unquoted_names(content))
    try:
        section = model.model_validate(content)
        if not found:
            return section
    except ValidationError as error:
        reader = _Reader(model, content)
        if isinstance(content, dict):
            reader.read_section(model, content, ())
        found += reader.found or reasons(error, model, content)
    raise ConfigError("\n".join(f"{source}: {line}" for line in dict.fromkeys(found)))


class _Reader:
    """Reads what can be read of a wrong config, and collects what is wrong with it.

    A section is read without the fields that are wrong; asking it for one of them raises AttributeError. So its own
    checks, and those between sections, still run where all that they compare could be read.
    """

    def __init__(self, model: type[BaseModel], content: object) -> None:
        self.model = model
        self.content = content
        self.found: list[str] = []

    def read_section(self, model: type[BaseModel], content: dict[Any, Any], path: Path) -> BaseModel:
        section = model.model_construct()
        given = _prepared(model, content)
        for name in given:
            if name not in model.model_fields:
                self._add((*path, name), no_such_setting(model, (name,)))
        for name, field in model.model_fields.items():
            if name in given:
                section.__dict__.pop(name, None)
                try:
                    section.__dict__[name] = self._read_field(model, name, given[name], (*path, name))
                except _UnreadableError:
                    continue
            elif field.is_required():
                self._add((*path, name), "is required")
        for line in _own_errors(section):
            is_of_field = line.partition(": ")[0].partition(".")[0] in model.model_fields
            self.found.append(f"{dotted(path)}{'.' if is_of_field else ': '}{line}" if path else line)
        return section

    def _read_field(self, model: type[BaseModel], name: str, value: Any, path: Path) -> Any:
        """Raises _UnreadableError if nothing of the value can be read."""
        field = model.model_fields[name]
        kind, arguments = typing.get_origin(field.annotation), typing.get_args(field.annotation)
        section = _section_in(field.annotation)
        if section is not None and isinstance(value, dict):
            return self.read_section(section, value, path)
        if kind is dict and value and isinstance(value, dict):
            for key in value:
                self._read_item(arguments[0], key, (*path, key))
            return {key: self._read_item(arguments[1], one, (*path, key)) for key, one in value.items()}
        if kind is list and isinstance(value, list) and _section_in(arguments[0]) is not None:
            return [self._read_item(arguments[0], one, (*path, number)) for number, one in enumerate(value)]
        return self._validate(_adapter(model, name), value, path)

    def _read_item(self, kind: Any, value: Any, path: Path) -> Any:
        """An item of a list or a mapping; one without any attribute if it cannot be read."""
        section = _section_in(kind)
        if section is not None and isinstance(value, dict):
            return self.read_section(section, value, path)
        with contextlib.suppress(_UnreadableError):
            return self._validate(TypeAdapter(kind), value, path)
        return object()

    def _validate(self, kind: TypeAdapter[Any], value: Any, path: Path) -> Any:
        try:
            return kind.validate_python(value)
        except ValidationError as error:
            self.found += reasons(error, self.model, self.content, path)
            raise _UnreadableError from None

    def _add(self, path: Path, line: str) -> None:
        self.found.append(f"{dotted(path)}: {line}")


@functools.cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    """What reads one field of a model."""
    field = model.model_fields[name]
    kind: Any = Annotated[field.annotation, *field.metadata, Field(discriminator=field.discriminator)]
    return TypeAdapter(kind)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation is, or is besides null."""
    choices = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        choices = [one for one in typing.get_args(annotation) if one is not type(None)]
    one = choices[0]
    return one if len(choices) == 1 and isinstance(one, type) and issubclass(one, BaseModel) else None


def _prepared(model: type[BaseModel], content: dict[Any, Any]) -> dict[Any, Any]:
    """Content as the model's fields get it."""
    for name, validator in model.__pydantic_decorators__.model_validators.items():
        if validator.info.mode == "before":
            with contextlib.suppress(ValueError):
                content = getattr(model, name)(content)
    return content


def _own_errors(section: BaseModel) -> Iterator[str]:
    """What a section's own checks say, those left out that need a field which could not be read."""
    for validator in type(section).__pydantic_decorators__.model_validators.values():
        if validator.info.mode != "after":
            continue
        try:
            validator.func(section)
        except (AttributeError, TypeError):
            continue
        except ValueError as error:
            yield from str(error).splitlines()
