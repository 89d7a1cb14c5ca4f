"""Draw a Vega-Lite specification as SVG that needs no script, follows the page's theme, and has tooltips."""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

Spec = dict[str, Any]

SVG_NAMESPACE = "http://www.w3.org/2000/svg"
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_FONT = "system-ui, sans-serif"
_AXIS = {
    "labelColor": "var(--faint)",
    "titleColor": "var(--faint)",
    "titleFontWeight": "normal",
    "gridColor": "var(--rule)",
    "domain": False,
    "ticks": False,
    "labelPadding": 6,
    "titlePadding": 10,
}
# The browser resolves the variables, so that one drawing is right in both themes.
_CONFIG: Spec = {
    "background": None,
    "font": _FONT,
    "axis": _AXIS | {"labelFontSize": 11, "titleFontSize": 11},
    "text": {"fontSize": 12, "fill": "var(--ink)"},
    "view": {"stroke": None},
}

ElementTree.register_namespace("", SVG_NAMESPACE)


def start() -> None:
    """Start the renderer, which takes half a second, ahead of the first chart."""
    draw({"data": {"values": [{}]}, "mark": "point"}, "")


def draw(spec: Mapping[str, Any], description: str) -> Markup:
    """Draw a specification.

    A mark with an encoding channel ``description`` has that text as its tooltip. Give colours as CSS colours or as
    variables of the style sheet, ``var(--ink)``.

    Args:
        spec: Vega-Lite, version 5, without schema and config.
        description: the text alternative of the whole chart.
    """
    # Here, as a step that draws nothing need not load it.
    import vl_convert

    drawn = vl_convert.vegalite_to_svg({"$schema": _SCHEMA, "config": _CONFIG, "padding": 4, **spec})
    root = ElementTree.fromstring(drawn)
    # Its own size would be fixed: the style sheet gives one that follows the window.
    del root.attrib["width"], root.attrib["height"]
    root.attrib.update({"class": "plot", "role": "img", "aria-label": description})
    for element in list(root.iter()):
        label = element.attrib.pop("aria-label", None) if element is not root else None
        if label and element.attrib.get("aria-roledescription", "") != "axis":
            title = ElementTree.Element(f"{{{SVG_NAMESPACE}}}title")
            title.text = label
            element.insert(0, title)
            element.set("class", "hover")
        for name in ("aria-roledescription", "aria-hidden", *(["role"] if element is not root else [])):
            element.attrib.pop(name, None)
    # Inside HTML the namespace is known.
    return Markup(ElementTree.tostring(root, encoding="unicode").replace(f' xmlns="{SVG_NAMESPACE}"', "", 1))
