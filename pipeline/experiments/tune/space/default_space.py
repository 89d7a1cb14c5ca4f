"""The search space that follows from a config and the number of its training rows."""

from collections.abc import Iterator
from typing import Any

from pipeline.experiments.tune.space.field_paths import Content, get, matching, parse_path, without_nulls
from pipeline.experiments.tune.space.sharing import SHARING_FIELD, sharing_types
from pipeline.experiments.tune.space.space import Dimension, Space, is_valid
from recap_model.config import RecapConfig

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
