"""A log and a config small enough to see, for tests of single steps."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recap_model.config import RecapConfig, parse_config

TASKS = ("like", "reply")
FIRST_DAY = date(2026, 3, 1)
DAY_MS = 86_400_000


def tiny_config(**sections: Any) -> RecapConfig:
    """Two tasks over five inputs and one embedding; ``sections`` replace whole sections."""
    content: dict[str, Any] = {
        "features": {
            "continuous": ["age_hours", "likes", "replies"],
            "binary": ["has_video"],
            "discrete": ["position", "topic"],
            "user_embedding": {"column": "user_embedding", "width": 4},
            "ids": {"request": "request_id", "user": "user_id", "candidate": "post_id"},
            "timestamps": {"impressed": "impressed_ms", "served": "served_ms", "engaged": "engaged_ms"},
        },
        "tasks": {"like": {"score_weight": 1.0}, "reply": {"score_weight": 10.0}},
        "model": {
            "featurization_config": {"double_norm_log_config": {"clip_magnitude": 5.0}},
            "multi_task_type": "share_all",
            "backbone": {"mlp_config": {"layer_sizes": [16], "final_layer_activation": True}},
            "tower": {"mlp_config": {"layer_sizes": [8, 1]}},
        },
        "optimizer": {"single_task_learning_rate": {"constant": 0.01}},
        "training": {"batch_size": 64, "epochs": 2},
        "data": {"days": 5},
        "evaluation": {"bootstrap_replicates": 20, "gate": {"min_rows": 50, "min_positives": 5}},
        "registry": {"model_name": "tiny", "experiment": "tiny"},
    }
    return parse_config({**content, **sections})


def tiny_rows(day: date, rows: int = 200, seed: int = 0) -> pa.Table:
    """One day: likes rise with `likes`, replies with `replies` and the user embedding."""
    random = np.random.default_rng([seed, day.toordinal()])
    likes, replies = random.lognormal(1.0, 1.0, rows), random.lognormal(0.0, 1.0, rows)
    embedding = random.normal(size=(rows, 4)).astype(np.float32)
    like_logit = -1.5 + np.log1p(likes) - 0.5 * np.log1p(replies)
    reply_logit = -2.0 + np.log1p(replies) + embedding[:, 0]
    served = (day - date(1970, 1, 1)).days * DAY_MS + np.sort(random.integers(0, DAY_MS - 60_000, rows))
    impressed = served + random.integers(0, 30_000, rows)
    like, reply = (random.random(rows) < 1 / (1 + np.exp(-logit)) for logit in (like_logit, reply_logit))
    engaged = pa.array(impressed + 5_000, mask=~(like | reply))
    return pa.table(
        {
            "request_id": day.toordinal() * 100_000 + np.arange(rows) // 5,
            "user_id": random.integers(0, 20, rows),
            "post_id": np.arange(rows) + day.toordinal() * 100_000,
            "served_ms": served,
            "impressed_ms": impressed,
            "engaged_ms": engaged,
            "age_hours": random.exponential(12.0, rows).astype(np.float32),
            "likes": likes.astype(np.float32),
            "replies": replies.astype(np.float32),
            "has_video": random.integers(0, 2, rows).astype(np.int8),
            "position": np.arange(rows) % 5,
            "topic": random.integers(0, 7, rows),
            "user_embedding": pa.FixedSizeListArray.from_arrays(pa.array(embedding.ravel()), 4),
            "like": like.astype(np.int8),
            "reply": reply.astype(np.int8),
        }
    )


def sparse_config(**sections: Any) -> RecapConfig:
    """The tiny config with a column of id lists, ``seen``, that a table of 10 entries reads."""
    content = tiny_config().model_dump(exclude_none=True)
    tables = [{"name": "seen", "num_embeddings": 10, "embedding_dim": 3}]
    features = content["features"] | {"sparse": ["seen"]}
    model = content["model"] | {"large_embeddings": {"tables": tables}}
    return parse_config({**content, "features": features, "model": model, **sections})


def with_lists(rows: pa.Table) -> pa.Table:
    """Rows with a column ``seen``: lists of 0 to 4 ids, some without one, some null."""
    random = np.random.default_rng(len(rows))
    lists = [random.integers(0, 12, length).tolist() for length in random.integers(0, 5, len(rows))]
    mask = [number % 17 == 3 for number in range(len(rows))]
    column = [None if null else ids for null, ids in zip(mask, lists, strict=True)]
    return rows.append_column("seen", pa.array(column, pa.list_(pa.int64())))


SEQUENCES = {
    "history": {
        "columns": {
            "item": "hist_ids",
            "actions": {"column": "hist_actions", "kind": "actions", "values": ["like", "reply"]},
            "dwell": {"column": "hist_dwell", "kind": "number"},
            "time": {"column": "hist_ms", "kind": "time"},
        },
        "max_length": 4,
        "order": "oldest_first",
    }
}


def sequence_config(**sections: Any) -> RecapConfig:
    """The tiny config with the sequence ``history``, of which 4 events are read."""
    content = tiny_config().model_dump(exclude_none=True)
    return parse_config({**content, "features": content["features"] | {"sequences": SEQUENCES}, **sections})


def with_histories(rows: pa.Table) -> pa.Table:
    """Rows with histories of 0 to 6 events, oldest first; the newest item is the row's ``post_id``."""
    random = np.random.default_rng(len(rows))
    lengths = random.integers(0, 7, len(rows)).tolist()
    impressed = rows["impressed_ms"].to_pylist()
    posts = rows["post_id"].to_pylist()
    ids = [list(range(post - length + 1, post + 1)) for post, length in zip(posts, lengths, strict=True)]
    actions = [[[["like"], ["like", "reply"], []][item % 3] for item in items] for items in ids]
    dwell = [[item % 10 + 0.5 for item in items] for items in ids]
    times = [
        [now - (length - n) * 3_600_000 for n in range(length)]
        for now, length in zip(impressed, lengths, strict=True)
    ]
    columns = {
        "hist_ids": pa.array(ids, pa.list_(pa.int64())),
        "hist_actions": pa.array(actions, pa.list_(pa.list_(pa.string()))),
        "hist_dwell": pa.array(dwell, pa.list_(pa.float32())),
        "hist_ms": pa.array(times, pa.list_(pa.int64())),
    }
    for name, column in columns.items():
        rows = rows.append_column(name, column)
    return rows


def write_tiny_log(root: Path, days: int = 5, rows: int = 200, files: int = 1, seed: int = 0) -> Path:
    """Write ``days`` daily partitions of ``rows`` rows each, in ``files`` files; returns ``root``."""
    for offset in range(days):
        day = FIRST_DAY + timedelta(days=offset)
        folder = root / f"date={day.isoformat()}"
        folder.mkdir(parents=True)
        table = tiny_rows(day, rows, seed)
        step = -(-rows // files)
        for number in range(files):
            pq.write_table(table.slice(number * step, step), folder / f"part-{number:05d}.parquet")
    return root
