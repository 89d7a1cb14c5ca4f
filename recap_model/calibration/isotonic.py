"""Isotonic regression on bins, made strictly increasing."""

import numpy as np

from recap_model.calibration.modules import MIN_SLOPE, PiecewiseLinearCalibrator
from recap_model.calibration.parametric import fit_platt
from recap_model.metrics.groups import Array
from recap_model.metrics.histogram import Bins


def fit_isotonic(bins: Bins) -> PiecewiseLinearCalibrator:
    """Pooled adjacent violators, each block's rate at its centre and straight lines of the logit between.

    The centred form (Oron and Flournoy, Stat. Biopharm. Res. 9(3), 2017) has no steps, so that no two logits
    become one; beyond the first and the last centre the slope is Platt's. The first block holds half a positive at
    least, the last half a negative, which they are given if need be; then blocks are pooled once more, so that a few
    rows at an end do not stand against the many beside them.
    """
    weight, label, centre = pool_adjacent_violators(bins.weight, bins.label, bins.logit)
    half_a_row = 0.5 * bins.total / max(bins.rows, 1)
    given = max(half_a_row - label[0], 0.0)
    weight[0], label[0] = weight[0] + given, label[0] + given
    weight[-1] += max(half_a_row - (weight[-1] - label[-1]), 0.0)
    weight, label, knots = pool_adjacent_violators(weight, label, centre)
    heights = np.log(label) - np.log(weight - label)
    tail = fit_platt(bins).scale.item()
    slopes = np.maximum(np.diff(heights) / np.diff(knots), MIN_SLOPE)
    return PiecewiseLinearCalibrator(
        knots=knots.tolist(), value=float(heights[0]), slopes=[tail, *slopes.tolist(), tail]
    )


def pool_adjacent_violators(weight: Array, label: Array, logit: Array) -> tuple[Array, Array, Array]:
    """Blocks of neighbours with strictly rising rates, their centres a 256th apart or more.

    Shape:
        weight, label, logit: (bins,) as in `Bins`; returns the same of the blocks.
    """
    blocks: list[list[float]] = []
    for one in zip(weight, label, weight * logit, strict=True):
        block = [float(value) for value in one]
        while blocks and _should_pool(blocks[-1], block):
            block = [a + b for a, b in zip(blocks.pop(), block, strict=True)]
        blocks.append(block)
    weights, labels, moments = np.array(blocks).T
    return weights, labels, moments / weights


def _should_pool(lower: list[float], upper: list[float]) -> bool:
    """Whether two blocks, each its weight, weighted labels and weighted logits, are to be one."""
    violating = lower[1] * upper[0] >= upper[1] * lower[0]
    return violating or upper[2] / upper[0] - lower[2] / lower[0] < 1 / 256
