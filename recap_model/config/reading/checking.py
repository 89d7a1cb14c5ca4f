"""Collect every error of a config: of fields, of sections, and across sections."""

import contextlib
import functools
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from recap_model.config.base import StrictModel
from recap_model.config.reading.errors import Path, describe_unknown_field, dotted, reasons
from recap_model.config.reading.yaml import ConfigError, unquoted_names

Section = TypeVar("Section", bound=StrictModel)


class _UnreadableError(Exception):
    """A value cannot be read as its field, which was reported."""


def check(model: type[Section], content: object, source: str) -> Section:
    """Read a section, or a whole config; ``source`` names it. Raises ConfigError with a line for each error."""
    errors = list(unquoted_names(content))
    try:
        section = model.model_validate(content)
        if not errors:
            return section
    except ValidationError as error:
        reader = _Reader(model, content)
        if isinstance(content, dict):
            reader.read_section(model, content, ())
        errors += reader.errors or reasons(error, model, content)
    raise ConfigError("\n".join(f"{source}: {line}" for line in dict.fromkeys(errors)))


class _Reader:
    """Reads what can be read of a wrong config, and collects what is wrong with it.

    A section is read without the fields that are wrong; asking it for one of them raises AttributeError. So its own
    checks, and those between sections, still run where all that they compare could be read.
    """

    def __init__(self, model: type[BaseModel], content: object) -> None:
        self.model = model
        self.content = content
        self.errors: list[str] = []

    def read_section(self, model: type[BaseModel], content: dict[Any, Any], path: Path) -> BaseModel:
        section = model.model_construct()
        given = _run_before_validators(model, content)
        for name in given:
            if name not in model.model_fields:
                self._add((*path, name), describe_unknown_field(model, (name,)))
        for name, field in model.model_fields.items():
            if name in given:
                section.__dict__.pop(name, None)
                try:
                    section.__dict__[name] = self._read_field(model, name, given[name], (*path, name))
                except _UnreadableError:
                    continue
            elif field.is_required():
                self._add((*path, name), "is required")
        for line in _section_errors(section):
            is_of_field = line.partition(": ")[0].partition(".")[0] in model.model_fields
            self.errors.append(f"{dotted(path)}{'.' if is_of_field else ': '}{line}" if path else line)
        return section

    def _read_field(self, model: type[BaseModel], name: str, value: Any, path: Path) -> Any:
        """Raises _UnreadableError if nothing of the value can be read."""
        field = model.model_fields[name]
        annotation_type, arguments = typing.get_origin(field.annotation), typing.get_args(field.annotation)
        section = _section_type(field.annotation)
        if section is not None and isinstance(value, dict):
            return self.read_section(section, value, path)
        if annotation_type is dict and value and isinstance(value, dict):
            for key in value:
                self._read_item(arguments[0], key, (*path, key))
            return {key: self._read_item(arguments[1], item, (*path, key)) for key, item in value.items()}
        if annotation_type is list and isinstance(value, list) and _section_type(arguments[0]) is not None:
            return [self._read_item(arguments[0], item, (*path, number)) for number, item in enumerate(value)]
        return self._validate(_adapter(model, name), value, path)

    def _read_item(self, annotation_type: Any, value: Any, path: Path) -> Any:
        """An item of a list or a mapping; one without any attribute if it cannot be read."""
        section = _section_type(annotation_type)
        if section is not None and isinstance(value, dict):
            return self.read_section(section, value, path)
        with contextlib.suppress(_UnreadableError):
            return self._validate(TypeAdapter(annotation_type), value, path)
        return object()

    def _validate(self, annotation_type: TypeAdapter[Any], value: Any, path: Path) -> Any:
        try:
            return annotation_type.validate_python(value)
        except ValidationError as error:
            self.errors += reasons(error, self.model, self.content, path)
            raise _UnreadableError from None

    def _add(self, path: Path, line: str) -> None:
        self.errors.append(f"{dotted(path)}: {line}")


@functools.cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    """What reads one field of a model."""
    field = model.model_fields[name]
    annotation_type: Any = Annotated[
        field.annotation, *field.metadata, Field(discriminator=field.discriminator)
    ]
    return TypeAdapter(annotation_type)


def _section_type(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation is, or is besides null."""
    choices = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        choices = [item for item in typing.get_args(annotation) if item is not type(None)]
    item = choices[0]
    return item if len(choices) == 1 and isinstance(item, type) and issubclass(item, BaseModel) else None


def _run_before_validators(model: type[BaseModel], content: dict[Any, Any]) -> dict[Any, Any]:
    """Content as the model's fields get it."""
    for name, validator in model.__pydantic_decorators__.model_validators.items():
        if validator.info.mode == "before":
            with contextlib.suppress(ValueError):
                content = getattr(model, name)(content)
    return content


def _section_errors(section: BaseModel) -> Iterator[str]:
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
