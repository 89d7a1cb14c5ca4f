"""Numbers as pages show them: with as many digits as the standard error allows."""

import math

_NONE = "–"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DIGITS = 3  # significant ones, of a number without a standard error
_TWO_DIGITS_BELOW = (
    3.55  # The Particle Data Group's rule: an error's first digits under this are shown as two.
)


def format_number(value: float | None, error: float | None = None, *, signed: bool = False) -> str:
    """Format a number; a dash for None and not-a-number.

    With a standard error, the last digit shown is the error's first or second significant one (Particle Data Group,
    "Review of Particle Physics", introduction, section 5.3); without one, three digits are significant.

    Args:
        signed: write the plus sign too.

    >>> format_number(0.712345, 0.0213), format_number(0.712345, 0.0042), format_number(71234.5, 230)
    ('0.712', '0.712', '71,230')
    >>> format_number(-0.0004, 0.03), format_number(0.0123456), format_number(1234567), format_number(None)
    ('0.000', '0.0123', '1,234,567', '–')
    >>> format_number(1.5, signed=True), format_number(0.00000123)
    ('+1.50', '1.23·10⁻⁶')
    """
    if value is None or math.isnan(value):
        return _NONE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if error is None or not math.isfinite(error) or error <= 0:
        return _format_without_error(value, signed)
    return _format_fixed(value, _decimals(error), signed)


def format_rate(value: float | None, error: float | None = None, *, signed: bool = False) -> str:
    """Format a fraction as per cent, by `format_number`.

    >>> format_rate(0.0666, 0.004), format_rate(0.000123)
    ('6.7%', '0.0123%')
    """
    if value is None or math.isnan(value):
        return _NONE
    return f"{format_number(100.0 * value, None if error is None else 100.0 * error, signed=signed)}%"


def format_bounds(low: float, high: float, error: float | None = None, *, signed: bool = False) -> str:
    """Format an interval's bounds.

    >>> format_bounds(-0.104, 0.951, 0.3, signed=True)
    '−0.10 to +0.95'
    """
    error = (high - low) / 4 if error is None else error
    return f"{format_number(low, error, signed=signed)} to {format_number(high, error, signed=signed)}"


def rate_error(rate: float, rows: float) -> float:
    """Standard error of a fraction of ``rows`` independent rows; of none or all of them, that of one row.

    >>> round(rate_error(0.5, 100), 3)
    0.05
    """
    rate = min(max(rate, 1.0 / max(rows, 1.0)), 1.0 - 1.0 / max(rows, 2.0))
    return math.sqrt(rate * (1.0 - rate) / max(rows, 1.0))


def _decimals(error: float) -> int:
    exponent = math.floor(math.log10(error))
    return -exponent + int(error / 10.0**exponent < _TWO_DIGITS_BELOW)


def _format_without_error(value: float, signed: bool) -> str:
    if value == 0 or (value == int(value) and abs(value) < 1e12):
        return _format_fixed(value, 0, signed)
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -5 or exponent > 11:
        mantissa = _format_fixed(value / 10.0**exponent, _DIGITS - 1, signed)
        return f"{mantissa}·10{str(exponent).translate(_SUPERSCRIPTS)}"
    return _format_fixed(value, max(_DIGITS - 1 - exponent, 0), signed)


def _format_fixed(value: float, decimals: int, signed: bool) -> str:
    rounded = round(value, min(decimals, 12))
    text = f"{abs(rounded):,.{min(max(decimals, 0), 12)}f}"
    sign = "−" if rounded < 0 else "+" if signed and rounded > 0 else ""
    return sign + text
