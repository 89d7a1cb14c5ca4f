"""Checks across sections: names that must agree, and settings that require one another."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from recap_model.config.data.dataset import SplitByTime
from recap_model.config.data.features import DENSE_GROUPS
from recap_model.config.data.labels import conditions
from recap_model.config.fields.names import GRAPH_OUTPUTS, SCORE
from recap_model.config.steps.evaluation import FLOORS_BY_KIND

if TYPE_CHECKING:
    from recap_model.config.recap import RecapConfig

_TASK_NAME_FIELDS = (
    "model.tasks",
    "model.loss.task_weights",
    "optimizer.multi_task_learning_rates.tower_learning_rates",
    "calibration.tasks",
    "evaluation.gate.task_floors",
    "evaluation.gate.objectives",
    "data.negative_downsampling.tasks",
)


def cross_check(errors: Callable[["RecapConfig"], Iterator[str]]) -> Any:
    """A validator of the config that raises ValueError with all that a check finds, a line each."""

    def validate(config: "RecapConfig") -> "RecapConfig":
        problems = list(errors(config))
        if problems:
            raise ValueError("\n".join(problems))
        return config

    return model_validator(mode="after")(validate)


def unknown_tasks(config: "RecapConfig") -> Iterator[str]:
    for where in _TASK_NAME_FIELDS:
        yield from _unknown(where, _value_at(config, where) or (), list(config.tasks))
    for name, sequence in config.features.derived_sequences.items():
        where, only = f"features.derived_sequences.{name}", sequence.only_where
        yield from _unknown(f"{where}.only_where", [only] if only else [], list(config.tasks))
        for key, column in sequence.columns.items():
            yield from _unknown(f"{where}.columns.{key}.values", column.values or (), list(config.tasks))


def missing_architectures(config: "RecapConfig") -> Iterator[str]:
    missing = [task for task in config.tasks if task not in config.model.tasks]
    if config.model.tower is None and missing:
        yield f"model.tasks: no architecture for {', '.join(missing)}; add them or give model.tower"


def _value_at(config: "RecapConfig", path: str) -> Any:
    """A field by its path; None if it, or a section above it, is not given or could not be read."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def settings_without_table(config: "RecapConfig") -> Iterator[str]:
    distribution, model = config.training.distribution, config.model
    sharded = model.large_embeddings or model.tables
    if distribution and distribution.tables != "replicated" and not sharded:
        yield (
            f"training.distribution.tables: {distribution.tables}, but there are no model.large_embeddings and no "
            "model.tables to shard; remove it"
        )
    if config.optimizer.embeddings and not (sharded or model.small_embeddings):
        yield "optimizer.embeddings: the model has no embedding table; remove it"


def unknown_feature_columns(config: "RecapConfig") -> Iterator[str]:
    drift, sequences = config.validation.drift, config.features.sequences
    features = [*config.features.columns(), *sequences, *config.features.sequence_columns()]
    for where, names in (
        ("columns", config.validation.columns),
        ("drift.columns", drift.columns),
        ("drift.ignore", drift.ignore),
    ):
        for column in names:
            if column not in features:
                yield f"validation.{where}: unknown feature column {column!r}; feature columns: {', '.join(features)}"
    knots, continuous = config.model.featurization_config.piecewise_linear_config, config.features.continuous
    columns = continuous if isinstance(continuous, list) else []
    for column in knots.bins_by_column if knots else ():
        if column not in columns:
            yield (
                f"model.featurization_config.piecewise_linear_config.bins_by_column: {column!r} is no column of "
                f"features.continuous, which has {', '.join(columns) or 'none by name'}"
            )


def labels_among_features(config: "RecapConfig") -> Iterator[str]:
    inputs = {*config.features.columns(), *config.features.sequence_columns()}
    for task, settings in config.tasks.items():
        for condition in conditions(settings.label_rule(task)):
            if condition.column in inputs:
                yield f"tasks.{task}.label: column {condition.column!r} is a feature too; a label is no input"


def labels_with_another_role(config: "RecapConfig") -> Iterator[str]:
    features = config.features
    roles = {"weight": features.weight}
    for section in ("ids", "timestamps"):
        roles |= {f"{section}.{name}": column for name, column in getattr(features, section)}
    for task, settings in config.tasks.items():
        label = settings.label_rule(task)
        for condition in conditions(label):
            for role, column in roles.items():
                if column == condition.column:
                    yield f"tasks.{task}.label: column {column!r} is features.{role} too; a column has one role"
            if condition.column == label and label in features.derived:
                yield f"features.derived.{label}: is the label of task {task!r}; rename the derived column"
        for field, condition in settings.conditions(task):
            for name in (condition.column, *condition.bounds):
                if name in features.derived and name != label:
                    yield f"tasks.{task}.{field}: {name!r} is a derived column; a rule reads columns of the log"


def invalid_score_terms(config: "RecapConfig") -> Iterator[str]:
    for name, term in config.score_terms.items():
        if name in config.tasks:
            yield f"score_terms.{name}: is a task too; rename the term"
        yield from _unknown(f"score_terms.{name}.of", getattr(term, "of", ()), list(config.tasks))


def duplicate_score_columns(config: "RecapConfig") -> Iterator[str]:
    """A file of scores has a column for each id, each task, and the score."""
    for name, column in config.features.ids:
        if column in config.tasks:
            yield (
                f"tasks.{column}: is features.ids.{name} too, and a file of scores has a column for each; rename the "
                "task and give the column as its label"
            )
        if column == SCORE:
            yield f"features.ids.{name}: {SCORE!r} is the weighted score in a file of scores; rename the column"


def duplicate_graph_names(config: "RecapConfig") -> Iterator[str]:
    """An ONNX graph has an input for each group and each column of id lists, and outputs."""
    taken = (*DENSE_GROUPS, *GRAPH_OUTPUTS)
    for column in config.features.sparse if config.registry.onnx else ():
        if column in taken:
            yield (
                f"features.sparse: {column!r} is another input or output of the ONNX graph; rename the column, "
                "or set registry.onnx to false"
            )


def missing_keys(config: "RecapConfig") -> Iterator[str]:
    """Times and ids that another section works with."""
    stamps, ids = config.features.timestamps, config.features.ids
    if config.data.rectify_labels is not None:
        for name in ("impressed", "served", "engaged"):
            if getattr(stamps, name) is None:
                yield f"features.timestamps.{name}: needed by data.rectify_labels"
    for task, settings in config.tasks.items():
        window = getattr(settings, "within", None)
        for name in dict.fromkeys((window.of, "impressed", "engaged")) if window is not None else ():
            if getattr(stamps, name) is None:
                yield f"features.timestamps.{name}: needed by tasks.{task}.within"
    if config.data.deduplicate is not None:
        for name in ("request", "candidate"):
            if getattr(ids, name) is None:
                yield f"features.ids.{name}: needed by data.deduplicate"
    if stamps.computed is not None and stamps.impressed is None:
        yield "features.timestamps.impressed: needed to check features.timestamps.computed against it"
    if isinstance(config.data.split, SplitByTime) and stamps.impressed is None:
        yield "features.timestamps.impressed: needed by data.split.by time"


def circular_tasks(config: "RecapConfig") -> Iterator[str]:
    """Tasks that other tasks' labels are made with: known ones, and no task by way of itself."""
    tasks = list(config.tasks)
    fields = ("given", "unless", "only_where")
    named: dict[str, dict[str, str]] = {}
    for name, task in config.tasks.items():
        values = {field: getattr(task, field, None) for field in fields}
        named[name] = {field: value for field, value in values.items() if isinstance(value, str)}
        for field, value in named[name].items():
            advice = "" if field == "given" else f"; a column is {{column: {value}}}"
            yield from (f"{line}{advice}" for line in _unknown(f"tasks.{name}.{field}", [value], tasks))
            if value in tasks and config.tasks[value].kind == "value":
                yield f"tasks.{name}.{field}: {value!r} is a value task; give a rule, as {{column: …, at_least: 10}}"
    for name in tasks:
        for field, first in named[name].items():
            if chain := _path(first, name, named):
                needs = " needs ".join([name, *chain])
                fields_in_words = "`given`" if field == "given" else "`given`, `unless` and `only_where`"
                yield f"tasks.{name}.{field}: {needs}; {fields_in_words} must not form a cycle"


def _path(start: str, end: str, named: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Tasks from one to another, each named by the one before; empty if there is no such path."""
    paths, seen = [[start]], {start}
    while paths:
        path = paths.pop()
        if path[-1] == end:
            return path
        following = [task for task in named.get(path[-1], {}).values() if task not in seen]
        seen.update(following)
        paths += [[*path, task] for task in following]
    return []


def sampling_of_values(config: "RecapConfig") -> Iterator[str]:
    values = [name for name, task in config.tasks.items() if getattr(task, "kind", None) == "value"]
    if values and config.data.negative_downsampling and config.data.sampling_correction == "calibration":
        yield (
            f"data.sampling_correction: calibration corrects odds, and {values[0]} is a value task; choose weights"
        )


def calibration_of_values(config: "RecapConfig") -> Iterator[str]:
    for name, method in config.calibration.tasks.items():
        if name in config.tasks and config.tasks[name].kind == "value" and method not in ("none", "auto"):
            yield f"calibration.tasks.{name}: {method} is a map of logits; a value task takes none or auto"


def floors_of_another_kind(config: "RecapConfig") -> Iterator[str]:
    for name, floors in config.evaluation.gate.task_floors.items():
        if name not in config.tasks:
            continue
        kind = config.tasks[name].kind
        for other, fields in FLOORS_BY_KIND.items():
            for field in fields:
                if other != kind and getattr(floors, field) is not None:
                    allowed = ", ".join((*FLOORS_BY_KIND[kind], "calibration_ratio"))
                    where = f"evaluation.gate.task_floors.{name}.{field}"
                    yield f"{where}: is a floor of {other} tasks, and {name} is a {kind} task; it may have {allowed}"


def missing_columns(config: "RecapConfig") -> Iterator[str]:
    width = config.features.width("discrete")
    for where, index in config.model.discrete_indices():
        if index >= width:
            yield f"{where}: {index}: features.discrete has {width} columns, numbered from 0"
    large = config.model.large_embeddings
    for number, table in enumerate(large.tables if large is not None else ()):
        if table.name not in config.features.sparse:
            columns = ", ".join(config.features.sparse) or "none"
            where = f"model.large_embeddings.tables.{number}.name"
            yield f"{where}: {table.name!r} is no column of features.sparse, which has {columns}"


def unknown_slice_columns(config: "RecapConfig") -> Iterator[str]:
    discrete = config.features.discrete
    columns = discrete if isinstance(discrete, list) else []
    sequences = config.features.all_sequences()
    for number, item in enumerate(config.evaluation.slices):
        for index, condition in enumerate(item.conditions):
            where = f"evaluation.slices.{number}" + (f".all_of.{index}" if item.all_of else "")
            if condition.sequence is not None and condition.sequence not in sequences:
                known = ", ".join(sequences) or "none"
                yield f"{where}.sequence: unknown sequence {condition.sequence!r}; sequences: {known}"
            if condition.value is not None and condition.column not in columns:
                known = ", ".join(columns) or "none by name"
                yield f"{where}.column: {condition.column!r} is no column of features.discrete, which has {known}"


def missing_rates(config: "RecapConfig") -> Iterator[str]:
    tasks, rates = list(config.tasks), config.optimizer.multi_task_learning_rates
    if rates is None:
        return
    where = "optimizer.multi_task_learning_rates"
    missing = [task for task in tasks if task not in rates.tower_learning_rates]
    if missing:
        yield f"{where}.tower_learning_rates: no rate for {', '.join(missing)}; a tower never takes a default"
    if rates.backbone_learning_rate is not None:
        return
    kind = config.model.multi_task_type
    if kind != "share_none":
        yield f"{where}.backbone_learning_rate: needed by multi_task_type {kind}"
    elif config.model.loss.task_weighting == "uncertainty":
        yield f"{where}.backbone_learning_rate: needed by the uncertainties of model.loss.task_weighting"


def _unknown(where: str, names: Any, tasks: list[str]) -> Iterator[str]:
    for name in names:
        if name not in tasks:
            yield f"{where}: unknown task {name!r}; tasks: {', '.join(tasks)}"
