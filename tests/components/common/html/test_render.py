"""Pages, their tables and charts."""

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from components.common.html.charts import (
    Axis,
    Bar,
    Bound,
    Chart,
    Histogram,
    Interval,
    Rule,
    Series,
    Strip,
    bar_chart,
    heat_strip,
    histogram_chart,
    interval_chart,
    line_chart,
    reliability_chart,
    scatter_chart,
)
from components.common.html.render import render
from components.common.html.tables import Cell, Column, Table

FINITE = st.floats(-1e12, 1e12)
SVG = "{http://www.w3.org/2000/svg}"


def page(title: str, table: Table, *charts: Chart) -> str:
    return render(
        "tests.components.common.html/page.html", title=title, lead=title, table=table, charts=charts
    )


def drawing(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(str(chart.svg))


def test_text_from_the_log_is_shown_as_it_is_and_never_as_markup():
    text = "<script>a & \"b'</script>"
    charts = [
        line_chart(text, [Series(text, [0, 1], [0, 1])], Axis(text, ticks=[(0.5, text)]), Axis(text)),
        interval_chart(
            text, [Interval(text, 1.0, 0.0, 2.0, note=text)], Axis(text), bounds=[Bound(text, 0.0)]
        ),
        bar_chart(text, [Bar(text, 1.0, note=text)], Axis(text)),
        heat_strip(text, [text], [Strip(text, [1.0])], Axis(text)),
    ]
    html = page(
        text, Table((Column(text, text, text),), [(Cell(text, text, help=text),), (text * 9,)]), *charts
    )
    assert html.count("<script") == 1  # the one that sorts tables
    assert "a & " not in html
    assert 'aria-label="&lt;script&gt;a &amp; ' in html


def test_a_template_that_uses_a_value_it_is_not_given_is_an_error():
    with pytest.raises(UndefinedError, match="'lead' is undefined"):
        render("tests.components.common.html/page.html", title="t", table=Table((), ()), charts=())


def places(chart: Chart, begins: str) -> list[tuple[float, float]]:
    """Where the marks lie whose tooltip begins so, in the plot's units, from its upper left corner."""
    return [
        (float(x), float(y))
        for mark in drawing(chart).iter("path")
        if mark.findtext("title", "").startswith(begins)
        for x, y in [re.match(r"translate\((.+),(.+)\)", mark.get("transform")).groups()]
    ]


def outline(chart: Chart, stroke: str) -> str:
    return next(path.get("d") for path in drawing(chart).iter("path") if path.get("stroke") == stroke)


def rule(chart: Chart, stroke: str) -> ElementTree.Element:
    return next(line for line in drawing(chart).iter("line") if line.get("stroke") == stroke)


def test_points_lie_where_the_axes_say_and_what_is_not_finite_is_left_out():
    axis = Axis("x", low=0.0, high=2.0)
    series = Series("s", [0.0, 1.0, math.nan, 2.0], [0.0, 1.0, 1.0, math.inf])
    assert places(line_chart("t", [series], axis, axis), "s: x ") == [(0.0, 200.0), (165.0, 100.0)]


def test_a_log_axis_leaves_out_what_has_no_logarithm():
    chart = line_chart("t", [Series("s", [0, 1, 2], [0.0, 0.1, 10.0])], Axis("x"), Axis("y", scale="log"))
    assert places(chart, "s: ") == [(165.0, 200.0), (330.0, 0.0)]


def test_histograms_are_outlines_of_their_bars_to_one_scale():
    edges = [0.0, 1.0, 2.0]
    histograms = [
        Histogram("then", edges, [1.0, 0.0], is_reference=True),
        Histogram("now", edges, [0.5, 0.5]),
    ]
    chart = histogram_chart("t", histograms, Axis("x"))
    assert outline(chart, "var(--faint)") == "M0,0L165,0L165,200L330,200L330,200"
    assert outline(chart, "var(--s0)") == "M0,100L165,100L165,100L330,100L330,100"
    assert chart.table.rows[0] == ("then", "0 to 1", "100%")


def test_a_long_line_is_thinned_and_keeps_its_ends():
    steps = list(range(10_000))
    line = outline(line_chart("t", [Series("s", steps, steps)], Axis("x"), Axis("y")), "var(--s0)")
    assert line.count("L") == 299
    assert line.endswith("L329.967,0.02")


def test_an_interval_its_estimate_and_the_bounds_lie_on_one_scale():
    intervals = [Interval("like", 1.0, 0.0, 2.0), Interval("reply", None)]
    chart = interval_chart(
        "t", intervals, Axis("difference", low=-2.0, high=2.0), bounds=[Bound("margin", -1.0, "bad")]
    )
    whisker = rule(chart, "var(--s0)")
    assert (whisker.get("transform").split(",")[0], whisker.get("x2")) == ("translate(220", "220")
    ((across, _),) = places(chart, "like: ")
    assert across == 330.0
    assert rule(chart, "var(--bad)").get("transform") == "translate(110,0)"
    assert chart.table.rows == [("like", "+1.0", "0.0", "+2.0", "–"), ("reply", "–", "–", "–", "–")]


def test_one_interval_without_end_does_not_flatten_the_others():
    intervals = [Interval(f"t{number}", 0.1, -0.1, 0.3) for number in range(20)] + [
        Interval("rare", 0.0, -90.0, 90.0)
    ]
    chart = interval_chart("t", intervals, Axis("difference"))
    widths = [
        float(line.get("x2")) for line in drawing(chart).iter("line") if line.get("stroke") == "var(--s0)"
    ]
    assert widths[0] > 100
    assert 400 < widths[-1] <= 440


def test_cells_of_a_strip_are_shaded_by_their_own_row_and_faults_are_marked():
    chart = heat_strip(
        "t", ["d1", "d2", "d3"], [Strip("rows", [1.0, 9.0, None], frozenset([1]))], Axis("rows")
    )
    cells = [path for path in drawing(chart).iter("path") if path.get("stroke") == "var(--paper)"]
    assert [cell.get("fill") for cell in cells] == ["var(--h0)", "var(--h4)", "var(--raised)", "var(--bad)"]
    assert cells[3].findtext("title") == "rows, d2: rows 9; fault"


CHARTS = {
    "line": line_chart("t", [Series("s", [1], [1])], Axis("x"), Axis("y"), rules=[Rule("r", 1.0, "x")]),
    "empty": line_chart("t", [Series("s", [], [])], Axis("x"), Axis("y")),
    "scatter": scatter_chart("t", [Series("s", [1, 2], [1, 2])], Axis("x"), Axis("y", scale="log")),
    "histogram": histogram_chart("t", [Histogram("s", [0, 1], [1.0])], Axis("x")),
    "reliability": reliability_chart("t", [Series("s", [0.1, 0.2], [0.0, 1.0], [0.0, 0.1], [0.2, 1.0])]),
    "rates of 0": reliability_chart("t", [Series("s", [0.0], [0.0])], scale="linear"),
    "intervals": interval_chart("t", [Interval("i", 0.0)], Axis("x")),
    "bars": bar_chart("t", [Bar("b", 1.0, 0.5)], Axis("x"), bounds=[Bound("b", 2.0)]),
    "strip": heat_strip("t", ["d"], [Strip("s", [None])], Axis("x")),
}


@pytest.mark.parametrize("kind", CHARTS)
def test_every_chart_has_a_text_alternative_and_is_a_file_of_its_own_too(kind: str):
    chart = CHARTS[kind]
    assert drawing(chart).get("role") == "img"
    assert drawing(chart).get("aria-label").startswith("t. ")
    assert "nan" not in str(chart.svg)
    alone = ElementTree.fromstring(chart.standalone_svg())
    assert alone.tag == f"{SVG}svg"
    assert alone.find(f"{SVG}style") is not None


@given(values=st.lists(FINITE, min_size=1, max_size=5), scale=st.sampled_from(["linear", "log", "logit"]))
def test_an_axis_holds_its_values_and_has_a_length(values: list[float], scale: str):
    axis = Axis("x", scale)
    low, high = axis.encoding("x", values)["scale"]["domain"]
    assert low < high
    assert all(low <= place <= high for value in values if (place := axis.place(value)) is not None)


@pytest.mark.parametrize("scale", ["linear", "log", "logit"])
@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [5.0, 5.0]])
def test_an_axis_of_one_value_or_none_still_has_a_length(values: list[float], scale: str):
    low, high = Axis("x", scale).encoding("x", values)["scale"]["domain"]
    assert high > low


@pytest.mark.parametrize(
    ("axis", "values", "texts"),
    [
        (Axis("loss"), [0.12, 0.4], ["0.1", "0.15", "0.2", "0.25", "0.3", "0.35", "0.4"]),
        (Axis("rows", low=0), [1_500_000], ["0", "500k", "1M", "1.5M", "2M"]),
        (Axis("rate", percent=True, low=0), [0.031], [f"{half / 2:g}%" for half in range(8)]),
        (Axis("loss", "log"), [0.02, 3], ["0.01", "0.1", "1", "10"]),
        (Axis("rate", "logit", percent=True), [0.01, 0.4], ["1%", "3%", "10%", "25%"]),
        (Axis("day", ticks=[(0, 'a "b"'), (1, "<c>")]), [0, 1], ['a "b"', "<c>"]),
    ],
)
def test_ticks_are_round_and_written_in_full(axis: Axis, values: list[float], texts: list[str]):
    chart = line_chart("t", [], axis, Axis("y"), rules=[Rule("", value, "x") for value in values])
    (labels, *_) = (
        group for group in drawing(chart).iter("g") if "role-axis-label" in group.get("class", "")
    )
    assert [text.text for text in labels] == texts


def test_words_align_left_and_figures_right():
    figures = (
        "1,024",
        "-0.5…+0.7",
        "1.059 → 1.000",
        "2.90e-02",
        "–",
        "12.5%",
        "",
        "−0.10 to +0.95",
        "+1.2·10⁻⁶",
    )
    html = page("t", Table(("task", "figure"), [("like", figure) for figure in figures]))
    assert html.count('<td class="words">like</td>') == len(figures)
    assert all(f">{figure}</td>" in html for figure in figures)
    assert html.count('class="words"') == len(figures) + 1


def test_a_cell_sorts_by_its_number_unless_it_names_another_value():
    html = page("t", Table(("n",), [("−1,024",), (Cell("yes", sort=2),)]))
    assert 'data-sort="-1024.0"' in html
    assert 'data-sort="2"' in html


def test_a_long_name_may_go_on_in_another_line_and_a_figure_may_not():
    name = "shop.is_good_clicked_or_bought"
    broken = "shop.<wbr>is_<wbr>good_<wbr>clicked_<wbr>or_<wbr>bought"
    table = Table((name,), [(name,), ("0.123456789012345678901",)])
    html = page("t", table, line_chart(name, [], Axis("x"), Axis("y")))
    assert f'<td class="words">{broken}</td>' in html
    assert f"<figcaption>{broken}</figcaption>" in html
    assert "0.123456789012345678901" in html
