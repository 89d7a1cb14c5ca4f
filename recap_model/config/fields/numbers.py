"""Bounded numbers, so that no step overflows."""

from typing import Annotated

from pydantic import Field

_DAYS = 36_600  # a century; dates end at the year 9999

PositiveInt = Annotated[int, Field(ge=1, le=2**53)]
NonNegativeInt = Annotated[int, Field(ge=0, le=2**53)]
PositiveFloat = Annotated[float, Field(gt=0.0, le=1e30)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, le=1e30)]

Id = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""Of an entity or a category, 64 bits."""

Seed = Annotated[int, Field(ge=0, le=2**53)]
Days = Annotated[int, Field(ge=1, le=_DAYS)]
Hours = Annotated[int, Field(ge=1, le=24 * _DAYS)]
Processes = Annotated[int, Field(ge=1, le=10_000)]
Layers = Annotated[int, Field(ge=1, le=1_000)]
"""How often a part of a net is repeated: layers, experts, levels."""

Width = Annotated[int, Field(ge=1, le=1_000_000)]
"""Of a layer or an embedding."""

TableSize = Annotated[int, Field(ge=1, le=2**40)]
"""Entries of an embedding table."""

Epsilon = Annotated[float, Field(ge=1e-30, le=1.0)]
LossWeight = Annotated[float, Field(ge=1e-9, le=1e9)]
"""Its logarithm, and its product with a float32 loss, are finite."""

Coefficient = Annotated[float, Field(ge=-1e9, le=1e9)]
"""Of a sum of probabilities or logits in float32."""

SamplingRate = Annotated[float, Field(ge=1e-9, le=1.0)]
"""Fraction of the rows that are kept; its inverse is a weight."""
