"""A chart: its SVG, its text alternative, the table of what it shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from markupsafe import Markup

from components.common.html.charts.vega import SVG_NAMESPACE
from components.common.html.tables import Table

Tone = Literal["good", "bad", "warn", "plain", "faint"]
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
        key: what its colours mean; empty where there is one series alone.
    """

    title: str
    description: str
    svg: Markup
    table: Table
    key: Sequence[KeyEntry] = ()

    def standalone_svg(self) -> str:
        """The SVG with its style in it, as a file of its own."""
        style = files(__package__).joinpath("../templates/chart.css").read_text(encoding="utf-8")
        head, _, rest = str(self.svg).partition(">")
        head += f' xmlns="{SVG_NAMESPACE}" width="600"'
        return f"{head}><style>{style} svg {{ background: var(--paper) }}</style>{rest}\n"
