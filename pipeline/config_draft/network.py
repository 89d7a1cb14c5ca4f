"""Network and schedule of a drafted config: sizes that fit the log's rows and columns."""

from collections.abc import Mapping
from typing import Any

from pipeline.commented_yaml import Path
from pipeline.config_draft.columns import MIN_COUNT, Columns
from pipeline.config_draft.profile import ColumnProfile
from pipeline.config_draft.sequences import DraftedSequence

_STEPS = 1000  # about enough for the network below; small logs take several epochs
_MOST_EPOCHS, _EPOCHS_WITHOUT_HARM, _ROWS_FOR_LARGE_BATCHES = 8, 7, 1_000_000
_USUAL_BATCH, _FEW_EPOCHS = 512, 5
_BINS, _MANY_BINS = 16, 128  # prepare gives at most 130 knots
_CONCENTRATED = 0.5  # fraction of the rows with one value, from which a column needs many bins
_MANY_ROWS = 50_000
_FEW_VALUES = 128  # each of which has a knot
_LARGE_VOCABULARY = 100_000  # ids from which they are hashed

Comments = dict[Path, str | list[str]]


def draft_network(
    rows: int, log_rows: int, columns: Columns, sequences: Mapping[str, DraftedSequence], fraction: float
) -> tuple[dict[str, Any], Comments]:
    """The sections model, optimizer and training, with their comments.

    Args:
        rows: of training.
        log_rows: of all days.
        fraction: of the log's rows that were looked at.
    """
    comments: Comments = {}
    model: dict[str, Any] = {"multi_task_type": "share_all"}
    model["featurization_config"] = _featurization(rows, columns, comments)
    if columns.ids:
        model["small_embeddings"] = {"tables": _tables(columns.ids, fraction, comments)}
    if sequences:
        named = sequences.items()
        model["tables"] = {
            table: size for name, sequence in named for table, size in sequence.tables(name).items()
        }
        model["sequences"] = {name: sequence.reader(name) for name, sequence in named}
    dropout = {"dropout": {"rate": 0.3}}
    mlp = {"layer_sizes": [128, 64], **dropout, "final_layer_activation": True}
    model["backbone"] = {"dcn_config": {"poly_degree": 1, "parallel_mlp": mlp}}
    model["tower"] = {"mlp_config": {"layer_sizes": [32, 1], **dropout}}
    batch = 4096 if log_rows >= _ROWS_FOR_LARGE_BATCHES else _small_batch(rows)
    steps_an_epoch = max(1, rows // batch)
    # Rare tasks of a log of few rows overfit with more; a very small one needs the steps.
    is_small = rows < _MANY_ROWS and _FEW_EPOCHS * steps_an_epoch >= _STEPS // 2
    epochs = max(1, min(_FEW_EPOCHS if is_small else _MOST_EPOCHS, _STEPS // steps_an_epoch))
    rate = {
        "learning_rate": 0.002,
        "final_learning_rate": 0.00002,
        "num_ramp_steps": 0.1,
        "final_num_steps": "auto",
    }
    optimizer = {
        "adam": {"weight_decay": 0.01},
        "single_task_learning_rate": {"linear_ramp_to_cosine": rate},
    }
    schedule = ("optimizer", "single_task_learning_rate", "linear_ramp_to_cosine")
    comments[(*schedule, "num_ramp_steps")] = "a tenth of the run"
    comments[(*schedule, "final_num_steps")] = "the run's last step, however many rows it has"
    comments["model", "multi_task_type"] = "docs/tuning.md has other ways of sharing"
    comments["training", "batch_size"] = (
        f"{rows:,} training rows; smaller logs learn better in smaller batches"
    )
    comments["training", "epochs"] = f"about {steps_an_epoch * epochs:,} steps"
    comments["training", "ema_decay"] = "an average of the last weights varies less from run to run"
    training = {"batch_size": batch, "epochs": epochs, "ema_decay": 0.99}
    return {"model": model, "optimizer": optimizer, "training": training}, comments


def _featurization(rows: int, columns: Columns, comments: Comments) -> dict[str, Any]:
    if not columns.continuous:
        return {"log1p_abs_config": {}}
    path: Path = ("model", "featurization_config", "piecewise_linear_config")
    many = {
        name: f"{profile.top:.0%} of the rows have one value"
        if profile.top > _CONCENTRATED
        else f"a knot for each of {profile.distinct} values"
        for name, profile in columns.continuous.items()
        if profile.top > _CONCENTRATED or _BINS < profile.distinct <= _FEW_VALUES
    }
    config: dict[str, Any] = {"bins": _BINS, "embedding_dim": 4 if rows < _MANY_ROWS else 8}
    comments[(*path, "bins")] = "of columns whose values are spread; more of them fit noise"
    comments[(*path, "embedding_dim")] = f"{rows:,} training rows; 8 from {_MANY_ROWS:,} on"
    if many:
        config["bins_by_column"] = dict.fromkeys(many, _MANY_BINS)
        comments |= {(*path, "bins_by_column", name): words for name, words in many.items()}
    return {"piecewise_linear_config": config}


def _tables(ids: Mapping[str, ColumnProfile], fraction: float, comments: Comments) -> list[dict[str, Any]]:
    """A table for each column of ids: of the frequent ones, or hashed where these are many.

    A hashed table has entries for rare ids too, which learn those few rows by heart: on KuaiRand's users and videos
    it cost 0.07 of AUC.
    """
    tables = []
    for index, (name, profile) in enumerate(ids.items()):
        counts = profile.counts[profile.counts >= max(1.0, MIN_COUNT * fraction)]
        frequent = len(counts)
        width = _width(frequent, counts.sum() / fraction / max(frequent, 1))
        table: dict[str, Any] = {"name": name, "index": index, "embedding_dim": width}
        if frequent > _LARGE_VOCABULARY:
            count = estimate_distinct(profile, fraction)
            table |= {"num_embeddings": 2 * count, "hash": True}
            words = f"about {count:,} ids, hashed into twice as many entries"
        else:
            table |= {"num_embeddings": max(16, 2 * frequent), "min_count": MIN_COUNT}
            words = f"{frequent:,} values in {MIN_COUNT} rows or more; others share the entry of the unknown"
        comments["model", "small_embeddings", "tables", index] = words
        tables.append(table)
    return tables


def estimate_distinct(profile: ColumnProfile, fraction: float) -> int:
    """Distinct values of the whole log, of which a fraction was looked at: Chao's lower bound.

    Chao, "Nonparametric estimation of the number of classes in a population", Scand. J. Statist. 11 (1984): values
    seen once, squared, over twice those seen twice, are unseen.
    """
    if fraction >= 1.0:
        return profile.distinct
    once, twice = (int((profile.counts == times).sum()) for times in (1, 2))
    return profile.distinct + round(once * (once - 1) / (2 * (twice + 1)))


def _width(count: int, rows: float) -> int:
    """Width of an embedding by the number of ids and their rows: more for codes than for ids that seldom come."""
    return round(max(3.0, min(1.6 * count**0.5, rows / 10, 16.0)))


def _small_batch(rows: int) -> int:
    """Batch size: smaller for a small log, which would otherwise need too many epochs."""
    return next((size for size in (_USUAL_BATCH, 256) if _STEPS * size <= _EPOCHS_WITHOUT_HARM * rows), 128)
