"""Pages, their tables and charts."""

import math
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
from components.common.html.charts.axis import fit_axis
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
    assert 'aria-label="&lt;script&gt;a &amp; &#34;b&#39;&lt;/script&gt;' in html


def test_a_template_that_uses_a_value_it_is_not_given_is_an_error():
    with pytest.raises(UndefinedError, match="'lead' is undefined"):
        render("tests.components.common.html/page.html", title="t", table=Table((), ()), charts=())


def test_points_lie_where_the_axes_say_and_what_is_not_finite_is_left_out():
    axis = Axis("x", low=0.0, high=2.0)
    series = Series("s", [0.0, 1.0, math.nan, 2.0], [0.0, 1.0, 1.0, math.inf])
    chart = line_chart("t", [series], axis, axis)
    first, second = chart_points(chart)
    frame = next(line for line in drawing(chart).iter("line"))
    left, right = float(frame.get("x1")), float(frame.get("x2"))
    assert first == (pytest.approx(left), 208.0)
    assert second == (pytest.approx((left + right) / 2, abs=0.1), 109.0)


def chart_points(chart: Chart) -> list[tuple[float, float]]:
    pairs = next(drawing(chart).iter("polyline")).get("points").split()
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in pairs)]


def test_a_log_axis_leaves_out_what_has_no_logarithm():
    chart = line_chart("t", [Series("s", [0, 1, 2], [0.0, 0.1, 10.0])], Axis("x"), Axis("y", scale="log"))
    assert [down for _, down in chart_points(chart)] == [208.0, 10.0]


def test_histograms_are_outlines_of_their_bars_to_one_scale():
    edges = [0.0, 1.0, 2.0]
    chart = histogram_chart(
        "t",
        [Histogram("then", edges, [1.0, 0.0], is_reference=True), Histogram("now", edges, [0.5, 0.5])],
        Axis("x"),
    )
    then, now = (line.get("points").split() for line in drawing(chart).iter("polyline"))
    assert [point.split(",")[1] for point in then] == ["10.0", "10.0", "208.0", "208.0"]
    assert [point.split(",")[1] for point in now] == ["109.0"] * 4


def test_a_long_line_is_thinned_and_keeps_its_ends():
    steps = list(range(10_000))
    points = chart_points(line_chart("t", [Series("s", steps, steps)], Axis("x"), Axis("y")))
    assert len(points) == 300
    assert points[-1][1] == 10.0


def test_an_interval_its_estimate_and_the_bounds_lie_on_one_scale():
    intervals = [Interval("like", 1.0, 0.0, 2.0), Interval("reply", None)]
    chart = interval_chart(
        "t", intervals, Axis("difference", low=-2.0, high=2.0), bounds=[Bound("margin", -1.0, "bad")]
    )
    svg = drawing(chart)
    whisker = next(line for line in svg.iter("line") if line.get("class") == "whisker")
    margin = next(line for line in svg.iter("line") if line.get("class") == "bound bad")
    assert (whisker.get("x1"), whisker.get("x2")) == ("50.0%", "100.0%")
    assert next(svg.iter("circle")).get("cx") == "75.0%"
    assert margin.get("x1") == "25.0%"
    assert chart.table.rows == [("like", "+1.0", "0.0", "+2.0", "–"), ("reply", "–", "–", "–", "–")]


def test_one_interval_without_end_does_not_flatten_the_others():
    intervals = [Interval(f"t{number}", 0.1, -0.1, 0.3) for number in range(20)] + [
        Interval("rare", 0.0, -90.0, 90.0)
    ]
    chart = interval_chart("t", intervals, Axis("difference"))
    widths = [
        float(line.get("x2")[:-1]) - float(line.get("x1")[:-1])
        for line in drawing(chart).iter("line")
        if line.get("class") == "whisker"
    ]
    assert widths[0] > 20
    assert widths[-1] == 100


def test_cells_of_a_strip_are_shaded_by_their_own_row_and_faults_are_marked():
    chart = heat_strip(
        "t", ["d1", "d2", "d3"], [Strip("rows", [1.0, 9.0, None], frozenset([1]))], Axis("rows")
    )
    classes = [rect.get("class") for rect in drawing(chart).iter("rect") if rect.get("class") != "hit"]
    assert classes == ["cell h0", "cell h4", "fault", "cell none"]


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
    assert alone.get("width") in ("600", "640")
    assert alone.find(f"{SVG}style") is not None


@given(values=st.lists(FINITE, min_size=1, max_size=5))
def test_a_linear_axis_holds_its_values_between_two_to_eight_rising_ticks(values: list[float]):
    axis = fit_axis(Axis("x"), values)
    places = [place for place, _ in axis.ticks]
    slack = 1e-6 * max(abs(axis.low), abs(axis.high))
    assert axis.low - slack <= min(values)
    assert max(values) <= axis.high + slack
    assert 2 <= len(places) <= 8
    assert places == sorted(places)
    assert axis.high > axis.low


@pytest.mark.parametrize("scale", ["linear", "log", "logit"])
@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [5.0, 5.0]])
def test_an_axis_of_one_value_or_none_still_has_a_length(values: list[float], scale: str):
    axis = fit_axis(Axis("x", scale), values)
    assert axis.high > axis.low


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


def test_a_tick_at_the_right_end_lies_within_the_chart():
    axis = Axis("day", low=0.0, high=1.0, ticks=[(1.0, "2026-03-06")])
    svg = drawing(line_chart("t", [], axis, Axis("y", low=0.0, high=1.0)))
    tick = next(text for text in svg.iter("text") if text.text == "2026-03-06")
    assert float(tick.get("x")) + len("2026-03-06") * 3.1 <= 400
