"""The rules that a log is held to, generated from the feature schema and the config."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from components.common.artifacts.snapshot import Snapshot
from components.validate.profile.columns import FEATURE_ROLES, blocks_of
from components.validate.profile.timestamps import unit_in_words
from recap_model.config import RecapConfig
from recap_model.config.drift import DriftRule, Severity
from recap_model.config.validation import RuleName
from recap_model.data.log.columns import FIRST_PLAUSIBLE_MS, LAST_PLAUSIBLE_MS, SENTINELS_IN_WORDS
from recap_model.data.log.schema import WEIGHT_VALUES

Row = dict[str, Any]


class Words(NamedTuple):
    """What is wrong with a row of a frame."""

    subject: str
    observed: str
    where: str
    allowed: str
    advice: str


@dataclass(frozen=True)
class Rule:
    """In every row of a frame, ``value`` is at least, or at most, what stands in the column ``bound``.

    Attributes:
        about: the frame's column that names a failure's subject; rows of one subject make one line.
        say: words for a row that breaks the rule.
    """

    name: RuleName | DriftRule
    severity: Severity
    frame: str
    about: str
    value: str
    sense: Literal["at least", "at most"]
    bound: str
    say: Callable[[Row], Words]


_OF_MISSING = ("missing_rate_drift", "missing_rate_skew")
_OF_VALUES = ("column_drift", "column_skew")

# A rule's failure explains those of these rules for the same subject, which are then not told.
EXPLAINS: dict[str, tuple[str, ...]] = {
    "feature_missing": (
        "feature_null_rate",
        "feature_null_rate_change",
        "feature_non_finite_rate",
        "feature_constant",
        "embedding_norm_change",
        *_OF_MISSING,
        *_OF_VALUES,
    ),
    "feature_null_rate": ("feature_non_finite_rate", *_OF_MISSING),
    "feature_constant": _OF_VALUES,
    "binary_values": _OF_VALUES,
    "weight_values": _OF_VALUES,
    "discrete_values": _OF_VALUES,
    "missing_rate_drift": ("feature_null_rate_change", "feature_non_finite_rate", "column_drift"),
    "missing_rate_skew": ("column_skew",),
    "column_drift": ("embedding_norm_change",),
    "task_positives": ("task_rate_change", "task_negatives", "task_rate_drift"),
    "task_negatives": ("task_rate_change", "task_rate_drift"),
    "task_rate_drift": ("task_rate_change",),
    "task_null_rate_drift": ("task_null_rate_change",),
    "label_values": ("task_rate_change", "task_rate_drift"),
    "partition_rows": ("partition_rows_drift",),
    "files_distinct": ("rows_distinct", "partition_rows_drift"),
}


def rules_of(snapshot: Snapshot, config: RecapConfig) -> list[Rule]:
    """The rules of a config, the gravest first, with the severities that it gives them."""
    window = f"{snapshot.first_day} to {snapshot.last_day}"
    roles = {block.role for block in blocks_of(config)}
    rules = _of_partitions(config) + _of_tasks(window, config)
    if roles & set(FEATURE_ROLES):
        rules += _of_features(window, config)
    if "embedding" in roles:
        rules += _of_embeddings(config)
    rules += _of_keys(window, roles)
    if roles & {"timestamp", "moment"}:
        rules += _of_times(window, roles, config)
    chosen: dict[str, Severity] = dict(config.validation.severity.items())
    rules = [_with_severity(rule, chosen.get(rule.name, rule.severity)) for rule in rules]
    return sorted(rules, key=lambda rule: rule.severity != "critical")


def _with_severity(rule: Rule, severity: Severity) -> Rule:
    return Rule(**{**vars(rule), "severity": severity})


def _of_partitions(config: RecapConfig) -> list[Rule]:
    def few_rows(row: Row) -> Words:
        allowed = f"at least {row['min_rows']:,} (validation.min_rows_per_partition)"
        return Words(
            row["partition"], f"has {row['rows']:,} rows", "", allowed, "write the partition, or remove it"
        )

    def copy(row: Row) -> Words:
        observed = f"has the same {row['rows']:,} rows as {row['twin']}"
        return Words(row["file"], observed, "", "a row is logged once", "remove one of the files")

    def absent(row: Row) -> Words:
        return Words(
            f"date={row['day']}", "has no partition", "", "", "data.tolerated_missing_days lets it pass"
        )

    return [
        Rule(
            "partition_rows", "critical", "partitions", "partition", "rows", "at least", "min_rows", few_rows
        ),
        Rule("files_distinct", "critical", "files", "file", "copies", "at most", "max_copies", copy),
        Rule("days_present", "warning", "days", "day", "partitions", "at least", "min_partitions", absent),
    ]


def _of_tasks(window: str, config: RecapConfig) -> list[Rule]:
    change = config.validation.max_positive_rate_change
    null_change = config.validation.max_null_rate_change

    def no_positives(row: Row) -> Words:
        observed = f"has {row['positives']:,} positives among {row['labelled']:,} labels"
        allowed = f"at least {row['min_positives']:,} (validation.min_positives)"
        return Words(f"task {row['task']}", observed, window, allowed, "widen the window, or remove the task")

    def no_negatives(row: Row) -> Words:
        observed = f"has no negative among {row['labelled']:,} labels"
        advice = "look at the label column, or remove the task"
        return Words(f"task {row['task']}", observed, window, "a task needs both", advice)

    def another_rate(row: Row) -> Words:
        observed = f"has a positive rate of {row['rate']:.4g}, the window {row['usual']:.4g},"
        allowed = f"a change of {change:.0%} and chance (validation.max_positive_rate_change)"
        return Words(f"task {row['task']}", observed, row["partition"], allowed, "look at the day's labels")

    def other_nulls(row: Row) -> Words:
        observed = f"has no label in {row['null_rate']:.1%} of rows, the window {row['usual_null_rate']:.1%},"
        allowed = f"a change of {null_change:.0%} and chance (validation.max_null_rate_change)"
        return Words(f"task {row['task']}", observed, row["partition"], allowed, "look at the day's labels")

    return [
        Rule(
            "task_positives",
            "critical",
            "tasks",
            "task",
            "positives",
            "at least",
            "min_positives",
            no_positives,
        ),
        Rule(
            "task_negatives",
            "critical",
            "tasks",
            "task",
            "negatives",
            "at least",
            "min_negatives",
            no_negatives,
        ),
        *(
            Rule("task_rate_change", "warning", "task_partitions", "task", "rate", sense, bound, another_rate)
            for sense, bound in BOTH_SIDES
        ),
        *(
            Rule(
                "task_null_rate_change",
                "warning",
                "task_partitions",
                "task",
                "null_rate",
                sense,
                f"{bound}_null_rate",
                other_nulls,
            )
            for sense, bound in BOTH_SIDES
        ),
    ]


BOTH_SIDES: tuple[tuple[Literal["at least", "at most"], str], ...] = (
    ("at least", "lowest"),
    ("at most", "highest"),
)


def _of_features(window: str, config: RecapConfig) -> list[Rule]:
    change = config.validation.max_null_rate_change

    def column(row: Row, observed: str, allowed: str, advice: str) -> Words:
        return Words(f"column {row['column']}", observed, row.get("partition", window), allowed, advice)

    def missing(row: Row) -> Words:
        observed = f"has no value in any of {row['rows']:,} rows"
        return column(
            row, observed, "a feature has values", "mend the log, or take the column out of features"
        )

    def nulls(row: Row) -> Words:
        allowed = f"at most {row['max_null_rate']:.1%} (validation.max_null_rate)"
        advice = f"mend the log, or allow more in validation.columns.{row['source']}.max_null_rate"
        return column(row, f"has {row['null_rate']:.1%} missing values", allowed, advice)

    def nulls_change(row: Row) -> Words:
        observed = f"has {row['null_rate']:.1%} missing values, the window {row['usual']:.1%},"
        allowed = f"a change of {change:.0%} and chance (validation.max_null_rate_change)"
        return column(row, observed, allowed, "look at the partition's source")

    def non_finite(row: Row) -> Words:
        observed = f"has {row['non_finite_rate']:.1%} NaN or infinite values"
        allowed = f"at most {row['max_non_finite_rate']:.1%} (validation.max_non_finite_rate)"
        advice = f"mend the log, or allow more in validation.columns.{row['source']}.max_non_finite_rate"
        return column(row, observed, allowed, advice)

    def below(row: Row) -> Words:
        allowed = f"at least {row['lowest']:g} (validation.columns.{row['source']}.min)"
        found = "an id below it" if row["any_id"] else f"value {row['minimum']:g}"
        return column(row, f"has {found}", allowed, "fix the log, or lower the bound")

    def above(row: Row) -> Words:
        allowed = f"at most {row['highest']:g} (validation.columns.{row['source']}.max)"
        found = "an id above it" if row["any_id"] else f"value {row['maximum']:g}"
        return column(row, f"has {found}", allowed, "fix the log, or raise the bound")

    def constant(row: Row) -> Words:
        value = "the same id" if row["any_id"] else f"the value {row['minimum']:g}"
        observed = f"has {value} in all {row['rows']:,} rows"
        return column(row, observed, "a feature varies", "look at its source: it tells the model nothing")

    def neither(row: Row) -> Words:
        observed = f"has {row['neither']:,} values that are neither 0 nor 1"
        return column(row, observed, "a binary feature is 0, 1 or null", "move it to features.continuous")

    def rule(name: RuleName, severity: Severity, value: str, bound: str, say: Callable[[Row], Words]) -> Rule:
        sense: Literal["at least", "at most"] = "at least" if bound in _LOWER_BOUNDS else "at most"
        return Rule(name, severity, "features", "source", value, sense, bound, say)

    by_partition = ("feature_partitions", "source")
    return [
        rule("feature_missing", "critical", "present", "min_present", missing),
        Rule("feature_missing", "critical", *by_partition, "present", "at least", "min_present", missing),
        rule("feature_null_rate", "critical", "null_rate", "max_null_rate", nulls),
        rule("feature_range", "critical", "minimum", "lowest", below),
        rule("feature_range", "critical", "maximum", "highest", above),
        rule("feature_non_finite_rate", "warning", "non_finite_rate", "max_non_finite_rate", non_finite),
        *(
            Rule(
                "feature_null_rate_change",
                "warning",
                *by_partition,
                "null_rate",
                sense,
                bound,
                nulls_change,
            )
            for sense, bound in BOTH_SIDES
        ),
        rule("binary_values", "warning", "neither", "max_neither", neither),
        rule("feature_constant", "warning", "spread", "min_spread", constant),
    ]


_LOWER_BOUNDS = ("min_present", "lowest", "min_spread")


def _of_embeddings(config: RecapConfig) -> list[Rule]:
    change = config.validation.max_norm_change

    def norm(row: Row) -> Words:
        observed = f"has a mean norm of {row['norm']:.4g}, the window {row['usual']:.4g},"
        allowed = f"a change of {change:.0%} (validation.max_norm_change)"
        advice = "look whether the embedding was trained again"
        return Words(f"column {row['column']}", observed, row["partition"], allowed, advice)

    return [
        Rule("embedding_norm_change", "warning", "embeddings", "column", "norm", sense, bound, norm)
        for sense, bound in BOTH_SIDES
    ]


def _of_keys(window: str, roles: set[Any]) -> list[Rule]:
    def nulls(row: Row) -> Words:
        observed = f"is null in {row['wrong']:,} of {row['rows']:,} rows"
        return Words(f"column {row['column']}", observed, window, "a row has one", "mend the log")

    def no_time(row: Row) -> Words:
        observed = f"has no time in {row['wrong']:,} of {row['rows']:,} rows"
        if row["sentinels"]:
            observed += f", {row['sentinels']:,} of them {SENTINELS_IN_WORDS},"
        return Words(f"column {row['column']}", observed, window, "a row has one", "fix the log")

    def weight(row: Row) -> Words:
        observed = f"is negative, null or too large in {row['wrong']:,} of {row['rows']:,} rows"
        return Words(f"column {row['column']}", observed, window, WEIGHT_VALUES, "fix the log")

    rules = []
    named: tuple[tuple[str, RuleName, Severity, Callable[[Row], Words]], ...] = (
        ("weight", "weight_values", "critical", weight),
        ("timestamp", "timestamp_nulls", "critical", no_time),
        ("split", "id_nulls", "warning", nulls),
        ("id", "id_nulls", "warning", nulls),
    )
    for role, name, severity, say in named:
        if role in roles:
            rules.append(Rule(name, severity, f"keys:{role}", "column", "wrong", "at most", "max_wrong", say))
    return rules


def _of_times(window: str, roles: set[Any], config: RecapConfig) -> list[Rule]:
    def sentinels(row: Row) -> Words:
        observed = f"has {row['sentinels']:,} of {row['rows']:,} times that are read as missing"
        allowed = f"a time is none of {SENTINELS_IN_WORDS}"
        return Words(
            f"column {row['column']}", observed, window, allowed, "write null where there is no time"
        )

    def unit(row: Row) -> Words:
        value = (
            row["lowest"] if not FIRST_PLAUSIBLE_MS <= row["lowest"] < LAST_PLAUSIBLE_MS else row["highest"]
        )
        observed = f"has {row['strange']:,} times such as {unit_in_words(value)},"
        advice = "write milliseconds, or timestamps"
        allowed = "a time is in milliseconds since 1970-01-01 UTC"
        return Words(f"column {row['column']}", observed, row["partition"], allowed, advice)

    def outside(row: Row) -> Words:
        observed = f"has {row['outside']:,} times ({row['outside_rate']:.1%}) over a day away"
        allowed = f"at most {row['max_rate']:.1%} (validation.max_outside_window_rate)"
        return Words(
            f"column {row['column']}", observed, row["partition"], allowed, "move the rows to their day"
        )

    def disordered(row: Row) -> Words:
        observed = f"does not hold for {row['disordered']:,} rows ({row['disordered_rate']:.1%})"
        allowed = f"at most {row['max_rate']:.1%} (validation.max_disordered_rate)"
        return Words(row["pair"], observed, row["partition"], allowed, "look whether two columns are swapped")

    def rate(name: RuleName, frame: str, about: str, value: str, say: Callable[[Row], Words]) -> Rule:
        return Rule(name, "critical", frame, about, value, "at most", "max_rate", say)

    rules = [
        rate("timestamp_unit", "times", "column", "strange_rate", unit),
        rate("timestamp_window", "times", "column", "outside_rate", outside),
    ]
    stamps = config.features.timestamps
    if stamps.engaged or "moment" in roles:
        frame, count, most = "no_times", "sentinels", "max_sentinels"
        rules.append(
            Rule("timestamp_sentinels", "warning", frame, "column", count, "at most", most, sentinels)
        )
    if stamps.served and (stamps.impressed or stamps.engaged):
        rules.append(rate("timestamp_order", "order", "pair", "disordered_rate", disordered))
    return rules
