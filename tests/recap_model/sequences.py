"""Configs and batches with a sequence, for tests of what reads it."""

from typing import Any

import torch
from torch import Tensor

from recap_model import MultiTaskRankingModel, RecapConfig, create_ranking_model, data_spec
from recap_model.config import parse_config
from recap_model.data.dataset.batch import RecapBatch
from tests.recap_model.models import batch
from tests.tiny import tiny_config

READERS: dict[str, Any] = {
    "sum": {"sum_config": {}},
    "mean": {"mean_config": {}},
    "din": {"din_config": {}},
    "attention": {"attention_config": {}},
    "transformer": {"transformer_config": {"layers": 2}},
}
HISTORY = {
    "columns": {
        "item": "hist_items",
        "author": "hist_authors",
        "surface": {"column": "hist_surface", "kind": "category"},
        "actions": {"column": "hist_actions", "kind": "actions", "values": ["click", "like", "share"]},
        "dwell_s": {"column": "hist_dwell_s", "kind": "number"},
        "time": {"column": "hist_ms", "kind": "time"},
    },
    "max_length": 20,
}
TABLES = {
    "item": {"num_embeddings": 50, "embedding_dim": 6, "hash": True, "hashes": 2},
    "author": {"num_embeddings": 40, "embedding_dim": 4, "hash": True},
    "surface": {"num_embeddings": 5, "embedding_dim": 2},
}


def sequence_config(reader: str, **sections: Any) -> RecapConfig:
    """The tiny config with a history, read as `READERS` says; two discrete columns are the candidate's."""
    content = tiny_config().model_dump(exclude_none=True)
    content["features"] |= {"sequences": {"history": HISTORY}, "timestamps": {"impressed": "impressed_ms"}}
    how: dict[str, Any] = {
        "width": 8,
        "inputs": {
            "item": {"table": "item"},
            "author": {"table": "author"},
            "surface": {"table": "surface"},
            "actions": {},
            "dwell_s": {},
            "time": {"buckets": 32},
        },
        "reader": READERS[reader],
    }
    if reader not in ("sum", "mean"):
        how["candidate"] = {"item": 0, "author": content["features"]["discrete"][1]}
    content["model"] |= {
        "tables": TABLES,
        "ids": [{"table": "item", "column": 0}],
        "sequences": {"history": how},
    }
    return parse_config({**content, **sections})


def sequence_model(reader: str, seed: int = 0, **sections: Any) -> MultiTaskRankingModel:
    """An untrained model of the config, in evaluation mode."""
    torch.manual_seed(seed)
    config = sequence_config(reader, **sections)
    model = create_ranking_model(data_spec(config), config, "cpu")
    assert isinstance(model, MultiTaskRankingModel)
    return model.eval()


def histories(count: int, longest: int, seed: int = 0) -> dict[str, Tensor]:
    """Random histories: the first is full, the last empty, if there are several."""
    random = torch.Generator().manual_seed(seed)
    length = torch.randint(0, longest + 1, (count,), generator=random)
    length[-1], length[0] = 0, longest
    padding = torch.arange(longest) >= length.unsqueeze(1)
    shape = (count, longest)

    def numbers(scale: float) -> Tensor:
        values = torch.rand(shape, generator=random) * scale
        values[torch.rand(shape, generator=random) < 0.1] = torch.nan
        return values.masked_fill(padding, torch.nan)

    def ids(most: int) -> Tensor:
        return torch.randint(-1, most, shape, generator=random).masked_fill(padding, -1)

    actions = torch.randint(0, 2, (*shape, 3), generator=random).float()
    return {
        "item": ids(1000),
        "author": ids(300),
        "surface": ids(7),
        "actions": actions.masked_fill(padding.unsqueeze(-1), 0.0),
        "dwell_s": numbers(90.0),
        "time": numbers(100.0),
        "length": length,
    }


def sequence_batch(
    rows: int, longest: int = 6, seed: int = 0, shared: bool = False, **groups: Any
) -> RecapBatch:
    """Random rows, each with a history, or all of one (``shared``)."""
    keys = ("continuous", "binary", "discrete", "user_embedding", "labels", "weights")
    tensors = {name: tensor for name, tensor in batch(rows, seed).tensors().items() if name in keys}
    tensors["discrete"] = torch.randint(-1, 900, (rows, 2), generator=torch.Generator().manual_seed(seed))
    sequences = {"history": histories(1 if shared else rows, longest, seed)}
    history_row = torch.zeros(rows, dtype=torch.int64) if shared else None
    return RecapBatch(**{**tensors, "sequences": sequences, "history_row": history_row, **groups})


def repeated(one: RecapBatch) -> RecapBatch:
    """The same rows, each with a history of its own."""
    assert one.sequences is not None
    assert one.history_row is not None
    history_row = one.history_row
    sequences = {
        name: {key: tensor[history_row] for key, tensor in sides.items()}
        for name, sides in one.sequences.items()
    }
    return RecapBatch(**one.tensors(), sequences=sequences)
