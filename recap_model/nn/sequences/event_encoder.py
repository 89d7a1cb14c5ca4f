"""Vectors of events, and of a candidate as an event."""

from collections.abc import Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from recap_model.config.data.sequences import Sequence
from recap_model.config.model.sequences import SequenceReaderConfig
from recap_model.nn.blocks.layers import linear
from recap_model.nn.inputs.transforms import SignedLog

_BUCKETS = 32
_MINUTES_PER_HOUR = 60.0


class EventEncoder(nn.Module):
    """The sum of an event's properties, each projected to one width: ``b + Σ_k W_k x_k``.

    Of an id or a category x is what it reads of its table; of actions 1 for each that was taken, else 0; of a number
    ``sign(n) log(1 + |n|)`` and a flag for a missing one; of a time one of its `TimeBuckets`. A candidate is an event
    of which only some ids and categories are known: the same sum over these, by the same W and b. So are a position's
    parts summed in X's released ranker (xai-org/x-algorithm, phoenix, 2026), but for its several hashes, which are a
    table's here.

    Args:
        table_widths: of each table, by name.

    Shape:
        embedded: by key of each id and category (histories, length, table's width), of a candidate (rows, table's
        width); sides: as `RecapBatch.sequences` has them. Returns (histories, length, width), of a candidate
        (rows, width).
    """

    def __init__(self, config: SequenceReaderConfig, sequence: Sequence, table_widths: Mapping[str, int]):
        super().__init__()
        kinds = {key: sequence.columns[key].kind for key in config.inputs}
        # A candidate's first, so that its weights are one stretch of the matrix.
        others = [key for key, side in config.inputs.items() if side.table and key not in config.candidate]
        self.candidate_keys = list(config.candidate)
        self.id_keys = [*config.candidate, *others]
        self.action_keys = [key for key, kind in kinds.items() if kind == "actions"]
        self.number_keys = [key for key, kind in kinds.items() if kind == "number"]
        widths = {key: table_widths[config.inputs[key].table or ""] for key in self.id_keys}
        self.candidate_width = sum(widths[key] for key in self.candidate_keys)
        actions = sum(len(sequence.columns[key].values or ()) for key in self.action_keys)
        self.times = nn.ModuleDict(
            {
                key: TimeBuckets(config.inputs[key].buckets or _BUCKETS, config.width)
                for key, kind in kinds.items()
                if kind == "time"
            }
        )
        in_features = sum(widths.values()) + actions + 2 * len(self.number_keys)
        self.projection = linear(in_features, config.width) if in_features else None
        self.signed_log = SignedLog()

    def forward(self, embedded: Mapping[str, Tensor], sides: Mapping[str, Tensor]) -> Tensor:
        parts = [embedded[key] for key in self.id_keys]
        parts += [sides[key] for key in self.action_keys]
        for key in self.number_keys:
            number = sides[key].unsqueeze(-1)
            parts += [self.signed_log(torch.nan_to_num(number)), number.isnan().to(number.dtype)]
        vectors = [buckets(sides[key]) for key, buckets in self.times.items()]
        if self.projection is not None:
            vectors.append(self.projection(torch.cat(parts, dim=-1)))
        return reduce(torch.add, vectors)

    def candidate(self, embedded: Mapping[str, Tensor]) -> Tensor:
        """The candidate of each row as an event."""
        assert self.projection is not None
        parts = torch.cat([embedded[key] for key in self.candidate_keys], dim=-1)
        weight = self.projection.weight[:, : self.candidate_width]
        return nn.functional.linear(parts, weight, self.projection.bias)


class TimeBuckets(nn.Module):
    """An embedding of the time from an event to the impression, in buckets that grow by the root of 2.

    Bucket i begins ``2^(i / 2) - 1`` minutes before the impression: the first after 0 seconds, the second after 25,
    the last of 32 after 32 days. A missing time has one of its own.

    Shape:
        hours: any shape of float; returns that shape with ``width`` behind.
    """

    bounds: Tensor

    def __init__(self, buckets: int, width: int):
        super().__init__()
        bounds = (2.0 ** (torch.arange(1, buckets) / 2) - 1) / _MINUTES_PER_HOUR
        self.register_buffer("bounds", bounds, persistent=False)
        self.buckets = buckets
        self.table = nn.Embedding(buckets + 1, width)
        nn.init.xavier_uniform_(self.table.weight)

    def forward(self, hours: Tensor) -> Tensor:
        # By comparisons and not by a logarithm, which at a bound is not the same in every runtime.
        bucket = (hours.unsqueeze(-1) >= self.bounds).sum(dim=-1)
        return self.table(torch.where(hours.isnan(), torch.full_like(bucket, self.buckets), bucket))
