"""What pydantic finds wrong, in lines for a reader: the path of the field, what was given, what is allowed."""

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError

from recap_model.config.misspelt import no_such_setting
from recap_model.config.uris import SecretInAddressError

_LONGEST_INPUT, _LONGEST_REASON = 200, 800


def reasons(error: ValidationError, model: type[BaseModel] | None = None) -> Iterator[str]:
    """A line for each thing that is wrong: ``a.b.0: 'given': what is allowed``.

    Args:
        model: what was validated; a field that it does not have is told with the nearest that it has.
    """
    for item in error.errors(include_url=False):
        path = ".".join(printable(str(part)) for part in item["loc"] if part != "[key]")
        message = item["msg"].removeprefix("Value error, ")
        secret = isinstance(item.get("ctx", {}).get("error"), SecretInAddressError)
        hidden = secret or isinstance(item["input"], dict | BaseModel) or item["type"] == "missing"
        shown = "" if hidden else f"{_given(item['input'])[:_LONGEST_INPUT]}: "
        if model is not None and item["type"] == "extra_forbidden":
            shown, message = "", no_such_setting(model, item["loc"])
        yield f"{path + ': ' if path else ''}{shown}{message}"[:_LONGEST_REASON]


def _given(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # Python writes no integer of over 4300 digits
        return "a number of too many digits"


def printable(name: str) -> str:
    """A name from outside that breaks no line, however strange."""
    return name if name.isprintable() else repr(name)


def in_one_line(error: object) -> str:
    """All that an error says, its line breaks as spaces."""
    return " ".join(str(error).split())


def first_reason(error: Exception) -> str:
    """The first of the `reasons`, or of another error the first line."""
    if isinstance(error, ValidationError):
        return next(reasons(error))
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
