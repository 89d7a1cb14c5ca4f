"""Tables of pages: columns with units and explanations, cells with the value that they sort by."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

_SENTENCE = 30  # letters; a longer text is read as a sentence, and may take several lines
_FIGURE = re.compile(r"([-+−–\d.,%×→…()∞·⁻⁰¹²³⁴⁵⁶⁷⁸⁹ ]|\bto\b|(?<=\d)e(?=[-+\d]))*")
_NUMBER = re.compile(r"[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?")


@dataclass(frozen=True)
class Column:
    """A column's name, unit, and explanation, which is its tooltip."""

    name: str
    unit: str = ""
    help: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell's text, the value that it sorts by if the text has none, and its tone: good, bad or warn."""

    text: str
    sort: float | str | None = None
    tone: str = ""
    help: str = ""


@dataclass(frozen=True)
class Table:
    """Names of columns, and rows of values, which are cells or shown by ``str``."""

    columns: Sequence[str | Column]
    rows: Sequence[Sequence[object]]

    @property
    def heads(self) -> list[Column]:
        """The columns."""
        return [column if isinstance(column, Column) else Column(column) for column in self.columns]

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows."""
        return [[_as_cell(value) for value in row] for row in self.rows]

    @property
    def classes(self) -> list[str | None]:
        """Each column's class in the style sheet: words align left, figures, which have none, right."""
        return [
            _class([_as_cell(row[place]).text for row in self.rows]) for place in range(len(self.columns))
        ]


@dataclass(frozen=True)
class Section:
    """A heading, sentences and a table under it."""

    title: str
    sentences: Sequence[str] = ()
    table: Table | None = None


def figure(value: float | None, style: str) -> str:
    """A formatted number; a dash for None and not-a-number.

    >>> figure(0.25, ".1%"), figure(None, ".1%")
    ('25.0%', '–')
    """
    return "–" if value is None or math.isnan(value) else format(value, style)


def _as_cell(value: object) -> Cell:
    """A value as a cell; a text that begins with a number sorts by it.

    >>> _as_cell("1,024"), _as_cell("like")
    (Cell(text='1,024', sort=1024.0, tone='', help=''), Cell(text='like', sort=None, tone='', help=''))
    """
    if isinstance(value, Cell):
        return value
    text = str(value)
    number = _NUMBER.match(text) if _FIGURE.fullmatch(text) else None
    return Cell(text, float(number[0].replace(",", "").replace("−", "-")) if number else None)


def _class(cells: Sequence[str]) -> str | None:
    if all(_FIGURE.fullmatch(cell) for cell in cells):
        return None
    return "words sentence" if any(" " in cell and len(cell) > _SENTENCE for cell in cells) else "words"
