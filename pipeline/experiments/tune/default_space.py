"""The search space that follows from a config and the number of its training rows; and a file that changes it."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pipeline.experiments.frozen_data import check_same_data
from pipeline.experiments.tune.field_paths import Content, get, matching, parse_path, without_nulls
from pipeline.experiments.tune.sharing import SHARING_FIELD, sharing_types
from pipeline.experiments.tune.space import Dimension, Space, is_valid
from recap_model.config import ConfigError, RecapConfig
from recap_model.config.reading.yaml import read_yaml

FIXED = "fixed"
_FEWEST_STEPS = 50  # of an epoch, for a larger batch to be tried


def default_space(config: RecapConfig, training_rows: int) -> Space:
    """The dimensions of a config: those of the settings that it has, each around its current value."""
    content: Content = config.model_dump(mode="json")
    dimensions = [
        *_optimizer(content),
        *_training(content, training_rows),
        *_inputs(content),
        *_layers(content),
        *_tasks(content),
        *_sequences(content),
    ]
    valid = [_valid(config, content, one) for one in dimensions]
    return Space(config, tuple(one for one in valid if one.kind != "choice" or len(one.choices) > 1))


def read_space(space: Space, path: Path) -> Space:
    """`change_space` by the content of a file. Raises FileNotFoundError if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the search space as YAML")
    return change_space(space, path.read_bytes(), str(path))


def change_space(space: Space, text: bytes, source: str) -> Space:
    """The space with the dimensions of a YAML text, which replace the default ones of the fields that they name.

    An entry is, by field path, ``{low, high, log}``, ``{scale}``, a list of values, or ``fixed``.

    Raises:
        ConfigError: a line for each entry that names no field, has no range, or leads to a config that is not valid
            or needs other prepared sets.
    """
    entries = read_yaml(text, source) or {}
    if not isinstance(entries, dict):
        raise ConfigError(
            f"{source}: a search space is a mapping of field paths, not {type(entries).__name__}"
        )
    content, errors = space.content, []
    dimensions = {one.name: one for one in space.dimensions}
    for name, entry in entries.items():
        fields = set(matching(content, str(name)))
        replaced = [
            other
            for other in dimensions
            if fnmatchcase(other, str(name)) or fields & set(matching(content, other))
        ]
        for other in replaced:
            del dimensions[other]
        if entry == FIXED:
            if not fields and not replaced and not is_field(space.config, str(name)):
                errors.append(f"{source}: {name}: no field of the config has this path")
            continue
        try:
            dimension = _parse(str(name), entry, content)
            _check(space.config, content, dimension)
            dimensions[str(name)] = dimension
        except ValueError as error:
            errors += [
                f"{source}: {name}: {line.removeprefix(f'{name}: ')}" for line in str(error).splitlines()
            ]
    if not dimensions and not errors:
        errors.append(f"{source}: every dimension is fixed; leave one to search")
    if errors:
        raise ConfigError("\n".join(errors))
    return Space(space.config, tuple(dimensions.values()))


def is_field(config: RecapConfig, name: str) -> bool:
    """Whether a path without a value leads to an optional field: its null is in the complete config."""
    content: Any = config.model_dump(mode="json")
    *parents, last = parse_path(name)
    section = get(content, tuple(parents)) if parents else content
    return isinstance(section, Mapping) and last in section


def _parse(name: str, entry: Any, content: Content) -> Dimension:
    allowed = "give {low: 0.1, high: 1.0, log: true}, {scale: [0.5, 2.0]}, a list of values, or fixed"
    if isinstance(entry, list) and len(entry) > 1:
        now = without_nulls(get(content, parse_path(name)))
        return Dimension(name, "choice", choices=(*entry, *([] if now in entry or "*" in name else [now])))
    if isinstance(entry, Mapping) and set(entry) == {"scale"} and _is_range(entry["scale"]):
        low, high = (float(bound) for bound in entry["scale"])
        if low <= 0.0:
            raise ValueError(f"scale: {low:g}: a factor is over 0")
        if not matching(content, name):
            raise ValueError("no field of the config has this path")
        return Dimension(name, "scale", low, high)
    if isinstance(entry, Mapping) and {"low", "high"} <= set(entry) <= {"low", "high", "log"}:
        low, high, log = entry["low"], entry["high"], bool(entry.get("log", False))
        if not _is_range([low, high]):
            raise ValueError(f"low: {low}, high: {high}: two numbers, the lower one first")
        if log and low <= 0:
            raise ValueError(f"low: {low}: a logarithmic range begins over 0")
        kind = "int" if isinstance(low, int) and isinstance(high, int) else "float"
        return Dimension(name, "int" if kind == "int" else "float", float(low), float(high), log)
    raise ValueError(f"{entry!r}: {allowed}")


def _is_range(bounds: Any) -> bool:
    numbers = isinstance(bounds, list) and len(bounds) == 2
    numbers = numbers and all(isinstance(one, int | float) and not isinstance(one, bool) for one in bounds)
    return bool(numbers and bounds[0] < bounds[1])


def _check(config: RecapConfig, content: Content, dimension: Dimension) -> None:
    """Raise ValueError unless both ends, or every choice, are valid configs on the same prepared sets."""
    distribution = dimension.distribution()
    ends = getattr(distribution, "choices", None) or (
        [int(dimension.low), int(dimension.high)]
        if dimension.kind == "int"
        else [dimension.low, dimension.high]
    )
    if "*" in dimension.name and not matching(content, dimension.name):
        raise ValueError("no field of the config has this path")
    for value in ends:
        try:
            changed, _ = Space(config, (dimension,)).at({dimension.name: value})
        except ConfigError as error:
            raise ValueError(str(error).splitlines()[0].removeprefix("trial: ")) from None
        except (KeyError, IndexError, TypeError):
            raise ValueError("no field of the config has this path") from None
        check_same_data("a trial", changed, "the config", config)


def _valid(config: RecapConfig, content: Content, dimension: Dimension) -> Dimension:
    """A dimension without the choices that are no valid config."""
    if dimension.kind != "choice" or dimension.name == SHARING_FIELD:
        return dimension
    current = dimension.current(content)
    kept = [
        choice
        for choice, text in zip(dimension.choices, dimension.distribution().choices, strict=True)  # type: ignore[attr-defined]
        if text == current or is_valid(config, dimension.changes(content, text))
    ]
    return Dimension(dimension.name, "choice", choices=tuple(kept))


def _choice(content: Content, name: str, *others: Any) -> Dimension:
    """The current value of a field, and others."""
    now = without_nulls(get(content, parse_path(name)))
    return Dimension(name, "choice", choices=(now, *(other for other in others if other != now)))


def _optimizer(content: Content) -> Iterator[Dimension]:
    for section in ("single_task_learning_rate", "multi_task_learning_rates"):
        if content["optimizer"].get(section):
            yield Dimension(f"optimizer.{section}", "scale", 0.25, 4.0)
    if content["optimizer"].get("embeddings"):
        yield Dimension("optimizer.embeddings.learning_rate", "scale", 0.25, 4.0)
    yield _choice(content, "optimizer.adam.weight_decay", 0.0, 1e-5, 1e-4, 1e-3, 1e-2)


def _training(content: Content, rows: int) -> Iterator[Dimension]:
    training = content["training"]
    batch, epochs = training["batch_size"], training["epochs"]
    sizes = [size for size in (batch // 2, batch * 2) if 16 <= size <= rows // _FEWEST_STEPS]
    yield _choice(content, "training.batch_size", *sizes)
    if training.get("max_steps") is None:
        yield Dimension("training.epochs", "int", max(1, epochs // 2), max(2, 2 * epochs))
    yield _choice(content, "training.ema_decay", None, 0.99, 0.999)


def _inputs(content: Content) -> Iterator[Dimension]:
    kind = "model.featurization_config.piecewise_linear_config"
    if get(content, parse_path(kind)):
        yield _choice(content, f"{kind}.bins", 16, 32, 64, 128)
        yield _choice(content, f"{kind}.embedding_dim", 4, 8, 16)
    for tables in ("model.small_embeddings.tables", "model.large_embeddings.tables", "model.tables"):
        if matching(content, f"{tables}.*.embedding_dim") and not any(
            matching(content, f"{tables}.*.pretrained").values()
        ):
            yield Dimension(f"{tables}.*.embedding_dim", "scale", 0.5, 2.0)


def _layers(content: Content) -> Iterator[Dimension]:
    for name in ("backbone", "mmoe", "ple", "tower", "tasks"):
        for sizes in ("layer_sizes", "mask_blocks.*_size"):
            if set(matching(content, f"model.{name}.*.{sizes}").values()) - {1, None}:
                yield Dimension(f"model.{name}.*.{sizes}", "scale", 0.5, 2.0)
    if degrees := matching(content, "model.*.dcn_config.poly_degree"):
        yield Dimension("model.*.dcn_config.poly_degree", "int", 1, max(3, *degrees.values(), 3))
    if matching(content, "model.*.dropout.rate"):
        yield Dimension("model.*.dropout.rate", "float", 0.0, 0.5)
    for tower in ("model.backbone.mlp_config", "model.tower.mlp_config"):
        layers = get(content, parse_path(tower))
        if layers and layers.get("dropout") is None and layers["layer_sizes"] != [1]:
            yield Dimension(f"{tower}.dropout.rate", "float", 0.0, 0.5)
    if content["model"].get("mmoe"):
        yield Dimension("model.mmoe.num_experts", "int", 2, 8)


def _tasks(content: Content) -> Iterator[Dimension]:
    if len(content["tasks"]) < 2:
        return
    if len(types := sharing_types(content)) > 1:
        now = content["model"]["multi_task_type"]
        yield Dimension(SHARING_FIELD, "choice", choices=(now, *(kind for kind in types if kind != now)))
    yield _choice(content, "model.loss.task_weighting", "fixed", "uncertainty", "gradient")


def _sequences(content: Content) -> Iterator[Dimension]:
    for name, sequence in content["model"]["sequences"].items():
        now = without_nulls(sequence["reader"])
        kinds = ("sum_config", "mean_config", "din_config", "attention_config", "transformer_config")
        others: list[dict[str, Any]] = [{kind: {}} for kind in kinds if kind not in now]
        yield Dimension(f"model.sequences.{name}.reader", "choice", choices=(now, *others))
