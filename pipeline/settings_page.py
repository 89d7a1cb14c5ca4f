"""docs/settings.md, the reference of every setting: ``python -m pipeline.settings_page > docs/settings.md``."""

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping

from recap_model.config import RecapConfig
from recap_model.config.reading.settings import SECTION, Section, Setting, list_sections, list_settings

_WIDTH = 118
_HEAD = """\
# Settings

Every setting of a config, out of the config's own descriptions (`make compile` writes this page).
`recap config show mine.yaml --explain` prints a config with all of them. In a path, `NAME` is any name, and `[]` an
item of a list. A setting whose default is empty need not be given.
"""


def settings_page() -> str:
    """The page, in Markdown: a section for each class of the config, where it first stands."""
    sections = list_sections(RecapConfig)
    anchors = {section.model: _anchor(section.path) for section in sections[1:]}
    paths = {section.model: section.path for section in sections}
    parts = [_HEAD, *_rows(list_settings(RecapConfig), anchors, paths)]
    for section in sections[1:]:
        parts += _section(section, anchors, paths)
    return "\n".join(parts).rstrip() + "\n"


def _section(section: Section, anchors: Mapping[type, str], paths: Mapping[type, str]) -> Iterator[str]:
    depth = "##" if "." not in section.path and "[" not in section.path else "###"
    yield f"\n{depth} {section.path}\n"
    for paragraph in section.text.split("\n\n"):
        yield textwrap.fill(paragraph.replace("``", "`"), _WIDTH, break_long_words=False) + "\n"
    yield from _rows(list_settings(section.model), anchors, paths)


def _rows(settings: list[Setting], anchors: Mapping[type, str], paths: Mapping[type, str]) -> Iterator[str]:
    if not settings:
        return
    yield "| setting | values | default | |"
    yield "|---|---|---|---|"
    for setting in settings:
        links = " or ".join(
            f"[{paths[model]}](#{anchors[model]})" for model in dict.fromkeys(setting.sections)
        )
        values = setting.values.replace(SECTION, links)
        default = "required" if setting.default is None else setting.default and f"`{setting.default}`"
        words = setting.description.replace("``", "`")
        cells = (f"`{setting.name}`", values, default, words)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _anchor(path: str) -> str:
    """The anchor that a heading has on GitHub."""
    return re.sub(r"[^\w-]", "", path.lower().replace(" ", "-"))


if __name__ == "__main__":
    sys.stdout.write(settings_page())
