"""Valid names of tasks, columns and models."""

import posixpath
import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

RECORD_SUFFIX = ".promotions"
"""Ends the name of the registered model that records the promotions of another one."""

SCORE = "score"
"""The column of the weighted score, beside one for each task."""

GRAPH_OUTPUTS = ("logits", "probabilities", "calibrated_probabilities", SCORE)

_LONGEST_TASK, _LONGEST_MODEL, _LONGEST = 200, 200, 500
_CONTROL = ("Cc", "Cs", "Zl", "Zp")  # control characters, half characters, line and paragraph separators
# Tasks name metrics of MLflow, which takes no others.
_NO_METRIC = re.compile(r"[^\w.\-: /]")
_NO_MODEL = re.compile(r"[/:@?]")  # they divide an address models:/NAME/VERSION or models:/NAME@ALIAS


def check_name(name: str) -> str:
    """A name that files, pages and lines can hold.

    Raises ValueError if it is empty or too long, or has control characters.
    """
    if not name:
        raise ValueError("a name must not be empty")
    if len(name) > _LONGEST:
        raise ValueError(f"a name has at most {_LONGEST} characters, not {len(name)}")
    control = next((letter for letter in name if unicodedata.category(letter) in _CONTROL), None)
    if control is not None:
        raise ValueError(f"a name has no control characters, as {control!a}; rename it")
    return name


def check_task(name: str) -> str:
    """A task's name that MLflow, modules and files of scores can hold. Raises ValueError for another."""
    if name.replace(".", "__").replace("__", ".") != name:
        raise ValueError(
            "a task's name has no '__' and no '_' beside a '.', as modules store '.' as '__'; rename it"
        )
    wrong = _NO_METRIC.search(name)
    if wrong:
        raise ValueError(
            f"a task's name has letters, digits, spaces and _ - . : / and no {wrong[0]!r}; rename the task, and give "
            "the column as its label"
        )
    if posixpath.normpath(f"x/{name}") != f"x/{name}":
        raise ValueError("a task's name has no empty part, '.' or '..' between '/'; rename it")
    if name == SCORE:
        raise ValueError(
            "is the column of the weighted score; rename the task and give the column as its label"
        )
    if len(name) > _LONGEST_TASK:
        raise ValueError(f"a task's name has at most {_LONGEST_TASK} characters, not {len(name)}")
    return name


def check_model(name: str) -> str:
    """A name of a registered model. Raises ValueError for one that MLflow's addresses or our record cannot have."""
    check_name(name)
    wrong = _NO_MODEL.search(name)
    if wrong or name in (".", ".."):
        raise ValueError(f"the name of a registered model has no {wrong[0] if wrong else name}; rename it")
    if name.endswith(RECORD_SUFFIX):
        raise ValueError(
            f"{RECORD_SUFFIX} ends the name of the record of another model's promotions; rename it"
        )
    if len(name) > _LONGEST_MODEL:
        raise ValueError(
            f"the name of a registered model has at most {_LONGEST_MODEL} characters, not {len(name)}"
        )
    return name


Name = Annotated[str, AfterValidator(check_name)]
ColumnName = Name
TaskName = Annotated[Name, AfterValidator(check_task)]
ModelName = Annotated[str, AfterValidator(check_model)]
