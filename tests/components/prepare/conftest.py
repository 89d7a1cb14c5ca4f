"""A log of several files, for tests of what reads them in groups."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recap_model.config import RecapConfig
from tests.tiny import sparse_config, with_lists, write_tiny_log

DATA = {
    "days": 5,
    "deduplicate": {},
    "negative_downsampling": {"rate": 0.5},
    "sampling_correction": "calibration",
}


def grouped_config() -> RecapConfig:
    """With everything that groups have to agree on: duplicates, sampling, vocabularies, lists, hashes, histories."""
    content = sparse_config(data=DATA).model_dump(exclude_none=True)
    table = {"name": "topic", "num_embeddings": 5, "embedding_dim": 2, "index": 1, "min_count": 2}
    hashed = {"name": "seen", "num_embeddings": 8, "embedding_dim": 3, "hash": True}
    model = content["model"] | {
        "small_embeddings": {"tables": [table]},
        "large_embeddings": {"tables": [hashed]},
    }
    features = content["features"] | {
        "discrete": ["position", "topic", "both"],
        "derived": {"both": {"kind": "cross", "of": ["topic", "position"], "buckets": 9}},
        "derived_sequences": {
            "history": {
                "columns": {
                    "item": "post_id",
                    "actions": {"kind": "actions", "values": ["like"]},
                    "time": {"kind": "time"},
                },
                "max_length": 5,
            }
        },
    }
    return RecapConfig.model_validate(content | {"model": model, "features": features})


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five days of three files of 100 rows."""
    log = write_tiny_log(tmp_path_factory.mktemp("groups") / "log", days=5, rows=300, files=3)
    for file in log.rglob("*.parquet"):
        pq.write_table(with_lists(pq.read_table(file)), file)
    return log
