"""Isotonic regression on bins, made strictly increasing."""

import numpy as np

from recap_model.calibration.histogram import Array, Bins
from recap_model.calibration.modules import MIN_SLOPE, PiecewiseLinearCalibrator
from recap_model.calibration.parametric import fit_platt


def fit_isotonic(bins: Bins) -> PiecewiseLinearCalibrator:
    """Pooled adjacent violators, each block's rate at its centre and straight lines of the logit between.

    The centred form (Oron and Flournoy, Stat. Biopharm. Res. 9(3), 2017) has no steps, so that no two logits
    become one; beyond the first and the last centre the slope is Platt's. A block that holds one class only
    is given half a row of the other.
    """
    weight, label, centre = pool_adjacent_violators(bins)
    half_a_row = 0.5 * bins.total / max(bins.rows, 1)
    rate = np.clip(label / weight, half_a_row / (weight + half_a_row), weight / (weight + half_a_row))
    value = np.log(rate) - np.log1p(-rate)
    knots, heights = _apart(centre, value)
    tail = fit_platt(bins).scale.item()
    slopes = np.maximum(np.diff(heights) / np.diff(knots), MIN_SLOPE)
    return PiecewiseLinearCalibrator(
        knots=knots.tolist(), value=float(heights[0]), slopes=[tail, *slopes.tolist(), tail]
    )


def pool_adjacent_violators(bins: Bins) -> tuple[Array, Array, Array]:
    """Blocks of neighbouring bins with strictly rising rates: weight, weighted labels, mean logit of each."""
    blocks: list[list[float]] = []
    moments = bins.weight * bins.logit
    for weight, label, moment in zip(bins.weight, bins.label, moments, strict=True):
        block = [float(weight), float(label), float(moment)]
        while blocks and blocks[-1][1] * block[0] >= block[1] * blocks[-1][0]:
            block = [a + b for a, b in zip(blocks.pop(), block, strict=True)]
        blocks.append(block)
    weights, labels, sums = np.array(blocks).T
    return weights, labels, sums / weights


def _apart(centre: Array, value: Array) -> tuple[Array, Array]:
    """The points of the map that lie at least a 256th apart and rise."""
    kept = [0]
    for number in range(1, len(centre)):
        last = kept[-1]
        if centre[number] - centre[last] >= 1 / 256 and value[number] > value[last]:
            kept.append(number)
    return centre[kept], value[kept]
