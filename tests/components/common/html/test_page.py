"""Pages with charts."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.common.html.page import Axis, Series, line_chart, linear_axis, page, table

FINITE = st.floats(-1e12, 1e12)


def test_text_from_the_log_is_shown_as_it_is_and_never_as_markup():
    text = "<b>a & b</b>"
    axis = Axis("x", 0.0, 1.0)
    html = page(text, text, table((text,), [(text,)]), line_chart(text, [Series(text, [0], [0])], axis, axis))
    assert "<b>" not in html
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in html


def test_points_lie_where_the_axes_say_and_what_is_not_finite_is_left_out():
    axis = Axis("x", 0.0, 2.0)
    html = line_chart("t", [Series("s", [0.0, 1.0, math.nan, 2.0], [0.0, 1.0, 1.0, math.inf])], axis, axis)
    svg = ElementTree.fromstring(html[html.index("<svg") : html.rindex("</svg>") + 6])
    points = svg.find("svg/polyline").get("points").split()
    assert points == ["68.0,212.0", "209.0,111.0"]


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
    html = table(("task", "figure"), [("like", figure) for figure in figures])
    assert html.count("<td class=words>like</td>") == len(figures)
    assert all(f"<td>{figure}</td>" in html for figure in figures)


def test_a_long_name_may_go_on_in_another_line_and_a_figure_may_not():
    axis = Axis("x", 0.0, 1.0)
    name = "shop.is_good_clicked_or_bought"
    broken = "shop.<wbr>is_<wbr>good_<wbr>clicked_<wbr>or_<wbr>bought"
    html = table((name,), [(name,), ("0.123456789012345678901",)]) + line_chart(name, [], axis, axis)
    assert f"<td class=words>{broken}</td>" in html
    assert f"<h2>{broken}</h2>" in html
    assert "0.123456789012345678901" in html


def test_a_tick_at_the_right_end_lies_within_the_chart():
    axis = Axis("day", 0.0, 1.0, [(1.0, "2026-03-06")])
    svg = ElementTree.fromstring(
        line_chart("t", [], axis, Axis("y", 0.0, 1.0)).split("<h2>t</h2>")[1].split("<div")[0]
    )
    tick = next(text for text in svg.iter("text") if text.text == "2026-03-06")
    assert float(tick.get("x")) + len("2026-03-06") * 3.25 <= 360
