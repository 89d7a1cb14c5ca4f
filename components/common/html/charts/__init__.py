"""Charts as SVG: lines, points, histograms, reliability, intervals, bars, heat strips."""

from components.common.html.charts.axis import Axis
from components.common.html.charts.cartesian import (
    Histogram,
    Rule,
    Series,
    histogram_chart,
    line_chart,
    reliability_chart,
    scatter_chart,
)
from components.common.html.charts.chart import Chart, Tone
from components.common.html.charts.rows import (
    Bar,
    Bound,
    Interval,
    Strip,
    bar_chart,
    heat_strip,
    interval_chart,
)

__all__ = [
    "Axis",
    "Bar",
    "Bound",
    "Chart",
    "Histogram",
    "Interval",
    "Rule",
    "Series",
    "Strip",
    "Tone",
    "bar_chart",
    "heat_strip",
    "histogram_chart",
    "interval_chart",
    "line_chart",
    "reliability_chart",
    "scatter_chart",
]
