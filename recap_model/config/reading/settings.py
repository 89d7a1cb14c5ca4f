"""Settings of the config with their types, defaults and descriptions, out of its classes."""

import inspect
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import annotated_types
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

Path = tuple[str | int, ...]

SECTION = "a section"
"""Stands for sections in the words of a setting's values."""

_LARGE = 1e9  # bounds from here on keep numbers in range, and say nothing to a reader


@dataclass(frozen=True)
class Section:
    """A class of the config at the first path where it stands.

    Attributes:
        path: as ``features.ids``, or ``data.split (by: time)`` where a word chooses the class; ``NAME`` is any name,
            ``[]`` an item of a list.
        text: its docstring.
    """

    path: str
    model: type[BaseModel]
    text: str


@dataclass(frozen=True)
class Setting:
    """A field of a section.

    Attributes:
        values: what it may be, in words.
        sections: classes of its values, if they are sections.
        default: as YAML; empty where it is not given, None where it is required.
    """

    name: str
    values: str
    sections: list[type[BaseModel]]
    default: str | None
    description: str


def list_sections(root: type[BaseModel]) -> list[Section]:
    """Every class of a config, in the order in which its fields name them, each once."""
    sections: dict[type[BaseModel], Section] = {}

    def visit(model: type[BaseModel], path: str) -> None:
        if model in sections:
            return
        sections[model] = Section(path + _choice(model), model, section_text(model))
        for name, field in model.model_fields.items():
            for inner, suffix in _inner_models(field.annotation):
                visit(inner, f"{path}.{field.alias or name}{suffix}".removeprefix("."))

    visit(root, "")
    return list(sections.values())


def _choice(model: type[BaseModel]) -> str:
    """The field and word by which a class is chosen among others, as `` (by: days)``; empty for one without."""
    for name, field in model.model_fields.items():
        words = typing.get_args(field.annotation)
        if (
            typing.get_origin(field.annotation) is typing.Literal
            and len(words) == 1
            and isinstance(words[0], str)
        ):
            return f" ({name}: {words[0]})"
    return ""


def list_settings(model: type[BaseModel]) -> list[Setting]:
    """The fields of one class."""
    return [
        Setting(
            field.alias or name,
            _describe_values(field.annotation, field.metadata),
            [inner for inner, _ in _inner_models(field.annotation)],
            _default(field),
            field_text(field),
        )
        for name, field in model.model_fields.items()
    ]


def section_text(model: type[BaseModel]) -> str:
    """The class's docstring, a line for each paragraph."""
    paragraphs = inspect.cleandoc(model.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def field_text(field: FieldInfo) -> str:
    """A field's description; of a section without one, the first sentence of the section's."""
    if field.description:
        return field.description
    texts = [section_text(inner).partition("\n")[0] for inner, _ in _inner_models(field.annotation)]
    return texts[0] if len(texts) == 1 else ""


def describe_fields(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The description of each field that a config has, by its path."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            inner = (*path, field.alias or name)
            if text := field_text(field):
                yield inner, text
            yield from describe_fields(getattr(value, name), inner)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from describe_fields(item, (*path, name))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from describe_fields(item, (*path, number))


def _default(field: FieldInfo) -> str | None:
    if field.is_required():
        return None
    default = field.get_default(call_default_factory=True)
    if default is None or default is PydanticUndefined or isinstance(default, BaseModel):
        return ""
    return yaml.safe_dump(default, default_flow_style=True).removesuffix("...\n").strip()


def _inner_models(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """Classes of sections in an annotation, each with what stands between its field and it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
        return
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        arguments = arguments[:1]
    suffix = ".NAME" if origin is dict else "[]" if origin is list else ""
    for argument in arguments:
        for model, inner in _inner_models(argument):
            yield model, suffix + inner


def _describe_values(annotation: Any, metadata: list[Any]) -> str:
    """What values a type has, in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _describe_values(arguments[0], [*arguments[1:], *metadata])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        options = [_describe_values(one, metadata) for one in arguments if one is not type(None)]
        return " or ".join(dict.fromkeys(options))
    if origin is dict:
        inner = _describe_values(arguments[1], [])
        return f"a mapping to {inner}" if inner else "a mapping"
    if origin is list:
        inner = _describe_values(arguments[0], [])
        return f"a list of {inner}" if inner else "a list"
    if origin is tuple:
        return " and ".join(_describe_values(one, []) for one in arguments)
    if isinstance(annotation, typing.ForwardRef | str):
        return "a rule"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return SECTION
    words = {int: "whole number", float: "number", bool: "true or false", str: "text"}.get(annotation, "")
    return f"{words}{_bounds(metadata)}" if words in ("whole number", "number") else words


def _bounds(metadata: list[Any]) -> str:
    """Bounds of a number, as ``, over 0``."""
    bounds: dict[str, float] = {}
    for item in metadata:
        for part in [item, *getattr(item, "metadata", [])]:
            for name in ("gt", "ge", "lt", "le"):
                bound = getattr(part, name, None)
                if isinstance(part, annotated_types.BaseMetadata) and isinstance(bound, int | float):
                    bounds[name] = bound
    words = {"gt": "over", "ge": "from", "lt": "under", "le": "to"}
    shown = [
        f"{words[name]} {bounds[name]:,.10g}" for name in words if abs(bounds.get(name, _LARGE)) < _LARGE
    ]
    return f", {' '.join(shown)}" if shown else ""
