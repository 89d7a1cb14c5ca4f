"""Pages with charts."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.artifacts.page import Axis, Series, line_chart, linear_axis, page, table

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
    assert points == ["52.0,212.0", "201.0,111.0"]


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
