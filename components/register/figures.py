"""The figures of a run's pages as SVG files of their own, and a description in Markdown that shows them in MLflow.

MLflow's pages show Markdown, whose images and links may be relative to the server: artifacts of the run.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from components.common.html.charts import Chart
from components.common.html.tables import Table
from components.common.registry import LONGEST_DESCRIPTION
from components.register.run_outputs import RunOutputs

FOLDER = "figures"
_FIGURE = re.compile(
    r'<figure class="chart[^"]*">\s*<figcaption>(.*?)</figcaption>\s*(<svg.*?</svg>)\s*<(?:p|details|/figure)',
    re.S,
)
_TAG = re.compile(r"<[^>]*>")
_MAX_FIGURES = 12  # of a page
_SHOWN = {"evaluation": 2, "training": 1, "data": 1}  # first figures of a page in the description
_MAX_REASONS = 5


@dataclass(frozen=True)
class Figure:
    """A figure: its file's name, its title, and its SVG."""

    file: str
    title: str
    svg: str


def read_figures(pages: Mapping[str, Path]) -> dict[str, list[Figure]]:
    """The first figures of each page, by the page's name, in the page's order."""
    figures = {}
    for name, path in pages.items():
        drawn = _FIGURE.findall(path.read_text(encoding="utf-8"))[:_MAX_FIGURES]
        figures[name] = [
            _build_figure(f"{name}-{number:02d}.svg", caption, svg)
            for number, (caption, svg) in enumerate(drawn, 1)
        ]
    return figures


def describe_run(run: RunOutputs, experiment: str, run_id: str, figures: Mapping[str, list[Figure]]) -> str:
    """The decision, what failed, links to the pages, and the figures that decide; for a version and its run."""
    failed = [rule.words for rule in run.decision.rules if rule.status in ("fail", "error")]
    failed = [words for words in failed if words not in run.decision.reason]
    compared = run.decision.champion
    pages = " · ".join(
        f"[{name}](#/experiments/{experiment}/runs/{run_id}/artifacts/reports/{name}.html)"
        for name in figures
    )
    against = (
        f"compared with version {compared.version}" if compared else "without a champion to compare with"
    )
    parts = [
        f"{run.decision.outcome}: {run.decision.reason}",
        "\n".join(f"- {words}" for words in failed[:_MAX_REASONS]),
        f"Log of {run.snapshot.first_day} to {run.snapshot.last_day}, {against}. Pages: {pages}",
        *(
            f"**{html.escape(figure.title)}**\n\n![]({_locate(figure, run_id)})"
            for page, most in _SHOWN.items()
            for figure in figures.get(page, [])[:most]
        ),
    ]
    text = ""
    for part in filter(None, parts):
        # A part that is cut would be no link or image.
        if len(text) + len(part) + 2 <= LONGEST_DESCRIPTION // 2 or not text:
            text += f"\n\n{part}" if text else part[: LONGEST_DESCRIPTION // 2]
    return text


def _locate(figure: Figure, run_id: str) -> str:
    return f"get-artifact?path={quote(f'{FOLDER}/{figure.file}', safe='')}&run_uuid={run_id}"


def _build_figure(file: str, caption: str, svg: str) -> Figure:
    title = " ".join(html.unescape(_TAG.sub("", caption)).split())
    return Figure(file, title, Chart(title, "", Markup(svg), Table((), ())).standalone_svg())
