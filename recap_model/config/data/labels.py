"""Label rules: conditions on columns of the log that make a task's label of 0 and 1."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.fields.names import ColumnName, TaskName
from recap_model.config.fields.numbers import Coefficient, Id, PositiveFloat

Bound = Annotated[Coefficient | ColumnName, Field(union_mode="smart")]
_COMPARISONS = ("at_least", "at_most", "equals", "between")
_KINDS = ("column", "any_of", "all_of", "not")


def _form(value: Any) -> str:
    return "name" if isinstance(value, str) else "rule"


class LabelRule(StrictModel):
    """A condition on a row: a column compared, or other rules combined; a column's name alone is a column of 0 and 1.

    Logic is three-valued (Kleene): a comparison with a missing value is missing; ``any_of`` is true if one rule is,
    ``all_of`` false if one rule is, whatever is missing beside it; else what is missing makes the whole missing.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    column: ColumnName | None = Field(None, description="column that is compared; of 0 and 1 if nothing is")
    at_least: Bound | None = Field(None, description="lowest value, or the column that has it")
    at_most: Bound | None = Field(None, description="highest value, or the column that has it")
    equals: bool | Id | Coefficient | str | None = Field(None, description="a number, true, false or a text")
    between: tuple[Bound, Bound] | None = Field(None, description="lowest and highest value, both included")
    any_of: "list[ColumnOrRule] | None" = Field(None, min_length=1)
    all_of: "list[ColumnOrRule] | None" = Field(None, min_length=1)
    negated: "ColumnOrRule | None" = Field(None, alias="not")

    @model_validator(mode="after")
    def _is_one_condition(self) -> Self:
        kinds = [kind for kind, value in zip(_KINDS, self._operands(), strict=True) if value is not None]
        if len(kinds) != 1:
            raise ValueError(
                f"a rule has exactly one of {', '.join(_KINDS)}; got {', '.join(kinds) or 'none'}"
            )
        comparisons = [name for name in _COMPARISONS if getattr(self, name) is not None]
        if comparisons and self.column is None:
            raise ValueError(f"{comparisons[0]}: compares a column; give it as column")
        if len(comparisons) > 1:
            raise ValueError(
                f"{' and '.join(comparisons)}: a rule has one comparison; give between, or all_of with two rules"
            )
        low, high = self.between or (0.0, 0.0)
        if isinstance(low, float) and isinstance(high, float) and low > high:
            raise ValueError(f"between: [{low:g}, {high:g}] holds no number; the lower bound comes first")
        return self

    def _operands(self) -> tuple[Any, ...]:
        return self.column, self.any_of, self.all_of, self.negated

    @property
    def is_comparison(self) -> bool:
        """Whether the column is compared, so that it need not be of 0 and 1."""
        return any(getattr(self, name) is not None for name in _COMPARISONS)

    @property
    def bounds(self) -> list[float | str]:
        """What the column is compared with by size."""
        return [bound for bound in (self.at_least, self.at_most, *(self.between or ())) if bound is not None]

    @property
    def operands(self) -> "list[str | LabelRule]":
        """The rules that this one combines; a column of 0 and 1 by its name."""
        return [
            *(self.any_of or ()),
            *(self.all_of or ()),
            *([self.negated] if self.negated is not None else []),
        ]

    def __str__(self) -> str:
        """In words, as ``dwell_s >= 10 and not reported``."""
        if self.column is not None:
            return self._comparison()
        if self.negated is not None:
            return f"not {_nested(self.negated)}"
        return (" or " if self.any_of else " and ").join(map(_nested, self.operands))

    def _comparison(self) -> str:
        if self.between is not None:
            low, high = map(_number, self.between)
            return f"{low} <= {self.column} <= {high}"
        if self.equals is not None:
            return f"{self.column} = {_number(self.equals)}"
        sign, bound = (">=", self.at_least) if self.at_least is not None else ("<=", self.at_most)
        return str(self.column) if bound is None else f"{self.column} {sign} {_number(bound)}"


ColumnOrRule = Annotated[
    Annotated[ColumnName, Tag("name")] | Annotated[LabelRule, Tag("rule")], Discriminator(_form)
]
TaskOrRule = Annotated[
    Annotated[TaskName, Tag("name")] | Annotated[LabelRule, Tag("rule")], Discriminator(_form)
]
LabelRule.model_rebuild()


class LabelWindow(StrictModel):
    """A positive stays only if the engagement came in time.

    Of ``served``, both the impression and the engagement come within the hours after the list was served; of
    ``impressed``, the engagement within the hours after the impression. A positive without a time of engagement stays
    if the rest holds.
    """

    hours: PositiveFloat = Field(description="length of the window")
    of: Literal["served", "impressed"] = Field("served", description="where the window begins, as said above")


def conditions(rule: str | LabelRule | None) -> Iterator[LabelRule]:
    """The comparisons and columns that a rule consists of; a name is a column of 0 and 1."""
    if isinstance(rule, str):
        yield LabelRule(column=rule)
    elif rule is not None and rule.column is not None:
        yield rule
    elif rule is not None:
        for operand in rule.operands:
            yield from conditions(operand)


def _nested(rule: str | LabelRule) -> str:
    """An operand in words, in brackets where it combines several."""
    return f"({rule})" if isinstance(rule, LabelRule) and len(rule.operands) > 1 else str(rule)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
