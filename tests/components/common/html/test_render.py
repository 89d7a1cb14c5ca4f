"""Pages, their tables and charts."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from components.common.html.charts import Axis, LineChart, Series, histogram_chart, linear_axis
from components.common.html.render import render
from components.common.html.tables import Table

FINITE = st.floats(-1e12, 1e12)


def page(title: str, table: Table, *charts: LineChart) -> str:
    return render(
        "tests.components.common.html/page.html", title=title, lead=title, table=table, charts=charts
    )


def drawing(chart: LineChart) -> ElementTree.Element:
    html = page("t", Table((), ()), chart)
    return ElementTree.fromstring(html[html.index("<svg") : html.rindex("</svg>") + 6])


def test_text_from_the_log_is_shown_as_it_is_and_never_as_markup():
    text = "<script>a & \"b'</script>"
    axis = Axis(text, 0.0, 1.0, [(0.5, text)])
    html = page(
        text, Table((text,), [(text,), (text * 9,)]), LineChart(text, [Series(text, [0], [0])], axis, axis)
    )
    assert "<script" not in html
    assert "a & " not in html
    assert 'aria-label="&lt;script&gt;a &amp; &#34;b&#39;&lt;/script&gt;"' in html


def test_a_template_that_uses_a_value_it_is_not_given_is_an_error():
    with pytest.raises(UndefinedError, match="'lead' is undefined"):
        render("tests.components.common.html/page.html", title="t", table=Table((), ()), charts=())


def test_points_lie_where_the_axes_say_and_what_is_not_finite_is_left_out():
    axis = Axis("x", 0.0, 2.0)
    series = Series("s", [0.0, 1.0, math.nan, 2.0], [0.0, 1.0, 1.0, math.inf])
    points = drawing(LineChart("t", [series], axis, axis)).find("svg/polyline").get("points").split()
    assert points == ["68.0,212.0", "209.0,111.0"]


def test_histograms_are_outlines_of_their_bars_to_one_scale():
    chart = histogram_chart("t", [("then", None, [1.0, 0.0]), ("now", 1, [0.5, 0.5])])
    then, now = (line.get("points").split() for line in drawing(chart).iter("polyline"))
    assert then == ["0.0,4.0", "120.0,4.0", "120.0,76.0", "240.0,76.0"]
    assert now == ["0.0,40.0", "120.0,40.0", "120.0,40.0", "240.0,40.0"]


@given(values=st.lists(FINITE, min_size=1, max_size=5))
def test_a_linear_axis_holds_its_values_between_two_to_eight_rising_ticks(values: list[float]):
    axis = linear_axis("x", values)
    places = [place for place, _ in axis.ticks]
    slack = 1e-6 * max(abs(axis.low), abs(axis.high))
    assert axis.low - slack <= min(values)
    assert max(values) <= axis.high + slack
    assert 2 <= len(places) <= 8
    assert axis.high > axis.low


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [5.0, 5.0]])
def test_an_axis_of_one_value_or_none_still_has_a_length(values: list[float]):
    axis = linear_axis("x", values)
    assert axis.high > axis.low


def test_words_align_left_and_figures_right():
    figures = ("1,024", "-0.5…+0.7", "1.059 → 1.000", "2.90e-02", "–", "12.5%", "")
    html = page("t", Table(("task", "figure"), [("like", figure) for figure in figures]))
    assert html.count('<td class="words">like</td>') == len(figures)
    assert all(f"<td>{figure}</td>" in html for figure in figures)


def test_a_long_name_may_go_on_in_another_line_and_a_figure_may_not():
    axis = Axis("x", 0.0, 1.0)
    name = "shop.is_good_clicked_or_bought"
    broken = "shop.<wbr>is_<wbr>good_<wbr>clicked_<wbr>or_<wbr>bought"
    table = Table((name,), [(name,), ("0.123456789012345678901",)])
    html = page("t", table, LineChart(name, [], axis, axis))
    assert f'<td class="words">{broken}</td>' in html
    assert f"<h2>{broken}</h2>" in html
    assert "0.123456789012345678901" in html


def test_a_tick_at_the_right_end_lies_within_the_chart():
    axis = Axis("day", 0.0, 1.0, [(1.0, "2026-03-06")])
    svg = drawing(LineChart("t", [], axis, Axis("y", 0.0, 1.0)))
    tick = next(text for text in svg.iter("text") if text.text == "2026-03-06")
    assert float(tick.get("x")) + len("2026-03-06") * 3.25 <= 360
