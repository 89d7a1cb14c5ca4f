"""Calibrators: maps from a task's logit to a calibrated logit, as modules of the model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

MIN_SLOPE = 0.01
"""No map is flatter than this anywhere, so that float32 keeps apart what differed before."""


class LogitCalibrator(nn.Module):
    """A strictly increasing map of one task's logit. Its numbers are buffers: no optimizer moves them.

    Shape:
        logits: any shape, float; returns the same shape.
    """

    def forward(self, logits: Tensor) -> Tensor:
        raise NotImplementedError

    def spec(self) -> dict[str, Any]:
        """The map as JSON-able numbers, which `build_calibrator` makes into the map again."""
        raise NotImplementedError


class AffineCalibrator(LogitCalibrator):
    """``scale * logit + bias``: Platt's map (with a bias) or a temperature (without).

    Platt, "Probabilistic outputs for support vector machines", 1999; Guo et al., "On calibration of modern
    neural networks", ICML 2017, sec. 4.2 (scale = 1 / T).

    >>> AffineCalibrator(scale=2.0, bias=-1.0)(torch.tensor([0.0, 3.0]))
    tensor([-1.,  5.])
    """

    scale: Tensor
    bias: Tensor

    def __init__(self, scale: float, bias: float = 0.0):
        super().__init__()
        _check_minimum(MIN_SLOPE, "scale", scale)
        self.register_buffer("scale", _finite_buffer(scale, "scale"))
        self.register_buffer("bias", _finite_buffer(bias, "bias"))

    def forward(self, logits: Tensor) -> Tensor:
        return self.scale * logits + self.bias

    def spec(self) -> dict[str, Any]:
        return {"kind": "affine", "scale": self.scale.item(), "bias": self.bias.item()}


class BetaCalibrator(LogitCalibrator):
    """``a ln p - b ln(1 - p) + c`` with p the sigmoid of the logit.

    Kull, Silva Filho and Flach, "Beta calibration", AISTATS 2017, eq. 4. In logits its slope goes from
    ``left`` (their a) far below 0 to ``right`` (their b) far above.
    """

    left: Tensor
    right: Tensor
    bias: Tensor

    def __init__(self, left: float, right: float, bias: float):
        super().__init__()
        _check_minimum(MIN_SLOPE, "left", left)
        _check_minimum(MIN_SLOPE, "right", right)
        self.register_buffer("left", _finite_buffer(left, "left"))
        self.register_buffer("right", _finite_buffer(right, "right"))
        self.register_buffer("bias", _finite_buffer(bias, "bias"))

    def forward(self, logits: Tensor) -> Tensor:
        return self.right * softplus(logits) - self.left * softplus(-logits) + self.bias

    def spec(self) -> dict[str, Any]:
        return {
            "kind": "beta",
            "left": self.left.item(),
            "right": self.right.item(),
            "bias": self.bias.item(),
        }


class PiecewiseLinearCalibrator(LogitCalibrator):
    """Straight lines between knots: ``value`` at the first knot, then a slope for each stretch.

    ``slopes[0]`` holds before the first knot, ``slopes[i]`` between knots i - 1 and i, ``slopes[-1]`` after
    the last one. A sum of clamped ramps, without a search for the stretch, so that it exports everywhere;
    each ramp rises with the logit, hence so does the sum, rounding included.

    >>> hat = PiecewiseLinearCalibrator(knots=[0.0, 1.0], value=5.0, slopes=[1.0, 2.0, 0.5])
    >>> hat(torch.tensor([-1.0, 0.0, 1.0, 3.0]))
    tensor([4., 5., 7., 8.])
    """

    knots: Tensor
    widths: Tensor
    slopes: Tensor
    value: Tensor

    def __init__(self, knots: Sequence[float], value: float, slopes: Sequence[float]):
        super().__init__()
        if not knots or len(slopes) != len(knots) + 1:
            raise ValueError(f"slopes: {len(slopes)} for {len(knots)} knots; one more than knots is needed")
        _check_minimum(MIN_SLOPE, "slopes", min(slopes))
        self.register_buffer("knots", _finite_buffer(list(knots), "knots"))
        self.register_buffer("widths", self.knots.diff())
        self.register_buffer("slopes", _finite_buffer(list(slopes), "slopes"))
        self.register_buffer("value", _finite_buffer(value, "value"))
        if not bool((self.widths > 0).all()):
            raise ValueError("knots: each must be over the one before")

    def forward(self, logits: Tensor) -> Tensor:
        offset = logits.unsqueeze(-1) - self.knots
        before = self.slopes[0] * offset[..., 0].clamp(max=0.0)
        after = self.slopes[-1] * offset[..., -1].clamp(min=0.0)
        inside = (self.slopes[1:-1] * offset[..., :-1].clamp(min=0.0).minimum(self.widths)).sum(-1)
        return self.value + before + inside + after

    def spec(self) -> dict[str, Any]:
        return {
            "kind": "piecewise_linear",
            "knots": self.knots.tolist(),
            "value": self.value.item(),
            "slopes": self.slopes.tolist(),
        }


class ValueCalibrator(PiecewiseLinearCalibrator):
    """The same map of predicted values instead of logits; it gives no value below 0.

    Shape:
        logits: values, any shape; returns the same shape.

    >>> ValueCalibrator(knots=[0.0], value=0.0, slopes=[1.5, 1.5])(torch.tensor([0.0, 10.0]))
    tensor([ 0., 15.])
    """

    def forward(self, logits: Tensor) -> Tensor:
        return super().forward(logits).clamp(min=0.0)

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"kind": "value"}


_KINDS: dict[str, type[LogitCalibrator]] = {
    "affine": AffineCalibrator,
    "beta": BetaCalibrator,
    "piecewise_linear": PiecewiseLinearCalibrator,
    "value": ValueCalibrator,
}


def build_calibrator(spec: dict[str, Any]) -> LogitCalibrator:
    """The map that a calibrator's ``spec`` describes. Raises ValueError if it describes none."""
    numbers = dict(spec)
    kind = numbers.pop("kind", None)
    if kind == "by_value":
        raise ValueError(
            "calibrator of kind 'by_value': no longer supported; train and calibrate the model again"
        )
    if kind not in _KINDS:
        raise ValueError(f"calibrator of kind {kind!r}: unknown; kinds: {', '.join(_KINDS)}")
    try:
        return _KINDS[kind](**numbers)
    except TypeError as error:
        raise ValueError(f"calibrator of kind {kind}: {error}") from None


def _finite_buffer(value: float | list[float], name: str) -> Tensor:
    tensor = torch.tensor(value, dtype=torch.float32)
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{name}: {value}: not finite")
    return tensor


def _check_minimum(bound: float, name: str, value: float) -> None:
    # A value that has been through float32 may lie a rounding below.
    if not value >= bound * (1 - 1e-6):
        raise ValueError(f"{name}: {value}: a calibrator's slope is at least {bound}")
