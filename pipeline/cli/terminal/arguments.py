"""Reject arguments that are empty or not UTF-8."""

import os
from typing import Any


def check_encoding(arguments: list[str]) -> None:
    """Raise ValueError for an argument or working folder that is not UTF-8: configs and manifests cannot store it."""
    for what, text in (*(("argument", one) for one in arguments), ("working folder", _working_folder())):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{what} {text!r} is not UTF-8; rename the file or folder") from None


def empty_argument(command: Any, arguments: list[str]) -> str | None:
    """The option, or "argument", whose value is empty although its default is not; else None."""
    words = list(arguments)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    options = {name: one for one in command.params for name in one.opts if name.startswith("--")}
    before = ""
    for word in words:
        name, separator, value = word.partition("=")
        if before in options and word == "":
            name, separator, value = before, "=", ""
        option = options.get(name)
        if option is not None and separator and not value and option.default != "":
            return name
        if word == "" and before not in options:
            return "argument"
        before = word
    return None


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise FileNotFoundError("the working folder was removed; change to another one") from None
