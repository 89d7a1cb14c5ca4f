"""Exact sums of float64 values, equal in any order and any grouping of the values.

A float64 sum depends on its order. Every float64 is a whole number of 2**-1074, so sums are kept as such numbers
(Python integers), and rounded once, when they are read.
"""

_UNIT_BITS = 1074
_UNIT = 1 << _UNIT_BITS


def to_units(value: float) -> int:
    """A finite float64 as a number of 2**-1074.

    >>> from_units(to_units(0.1) + to_units(0.2)), from_units(to_units(1e300) - to_units(1e300) + to_units(1.0))
    (0.30000000000000004, 1.0)
    """
    numerator, denominator = value.as_integer_ratio()
    return numerator * (_UNIT // denominator)


def from_units(units: int) -> float:
    """The nearest float64; infinite if it is too large for one."""
    try:
        return units / _UNIT
    except OverflowError:
        return float("inf") if units > 0 else float("-inf")


def to_text(units: int) -> str:
    """Short, exact and unique: a hexadecimal mantissa and a power of two.

    >>> to_text(to_units(1.5)), to_text(to_units(-0.25)), to_text(0)
    ('3p-1', '-1p-2', '0p0')
    """
    if not units:
        return "0p0"
    zeros = (units & -units).bit_length() - 1
    return f"{units >> zeros:x}p{zeros - _UNIT_BITS}"


def from_text(text: str) -> int:
    """What `to_text` wrote."""
    mantissa, _, exponent = text.partition("p")
    return int(mantissa, 16) << (int(exponent) + _UNIT_BITS) if int(mantissa, 16) else 0
