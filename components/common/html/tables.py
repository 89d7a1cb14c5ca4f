"""Tables of pages."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

_SENTENCE = 30  # letters; a longer text is read as a sentence, and may take several lines
_FIGURE = re.compile(r"|–|[-+]?[\d.,]+(e[-+]?\d+)?[%×]?(( → |…)[-+]?[\d.,]+(e[-+]?\d+)?%?)?")


@dataclass(frozen=True)
class Table:
    """Names of columns, and rows of values shown by ``str``."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    @property
    def classes(self) -> list[str | None]:
        """Each column's class in the style sheet: words align left, figures, which have none, right."""
        return [_class([str(row[place]) for row in self.rows]) for place in range(len(self.columns))]


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


def _class(cells: Sequence[str]) -> str | None:
    if all(_FIGURE.fullmatch(cell) for cell in cells):
        return None
    return "words sentence" if any(" " in cell and len(cell) > _SENTENCE for cell in cells) else "words"
