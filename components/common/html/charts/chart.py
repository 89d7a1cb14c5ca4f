"""A chart: its SVG, its text alternative, the table of what it shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from markupsafe import Markup

from components.common.html.tables import Table

Tone = Literal["good", "bad", "warn", "plain"]
SERIES_COLOURS = 6


@dataclass(frozen=True)
class KeyEntry:
    """What a colour of the chart means; ``css`` is a class of the style sheet."""

    name: str
    css: str


@dataclass(frozen=True)
class Chart:
    """A chart that needs no script and no network. ``templates/charts.html`` places it in a page.

    Attributes:
        description: the text alternative, a sentence or two.
        svg: uses the style sheet's variables, so that it follows the page's theme.
        table: the values that are drawn.
        is_wide: fills its row, and keeps its letters' size at every width.
    """

    title: str
    description: str
    svg: Markup
    table: Table
    key: Sequence[KeyEntry] = ()
    is_wide: bool = False

    def standalone_svg(self) -> str:
        """The SVG with its style in it, as a file of its own."""
        style = files(__package__).joinpath("../templates/chart.css").read_text(encoding="utf-8")
        head, _, rest = str(self.svg).strip().partition(">")
        namespace = "" if "xmlns=" in head else ' xmlns="http://www.w3.org/2000/svg"'
        size = ' width="640"' if self.is_wide else ' width="600" height="375"'
        if self.is_wide:
            head = head.replace(' width="100%"', "")
        return f"{head}{namespace}{size}><style>{style} svg {{ background: var(--paper) }}</style>{rest}\n"
