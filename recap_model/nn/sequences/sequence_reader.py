"""How a row reads one of its sequences: events, the candidate, and the reader of the config."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from recap_model.config.data.sequences import LENGTH
from recap_model.config.data.sequences import Sequence as SequenceSchema
from recap_model.config.model.sequences import SequenceReaderConfig
from recap_model.config.model.table_columns import TableColumn, locate_column
from recap_model.nn.sequences.event_encoder import EventEncoder
from recap_model.nn.sequences.events import Events
from recap_model.nn.sequences.pooling import Pooling
from recap_model.nn.sequences.target_attention import ActivationUnit, SoftmaxAttention
from recap_model.nn.sequences.transformer import TransformerReader

Reading = tuple[str, TableColumn]
"""A table, and a column whose ids read it."""


class SequenceReader(nn.Module):
    """Reads one sequence of ``features.sequences`` as ``model.sequences`` says.

    Attributes:
        event_readings, candidate_readings: by key, what is read of shared tables.

    Shape:
        sides: as `RecapBatch.sequences` has them, by key; vectors: what each of the readings gave; history_row:
        (rows,) int64, or None. Returns (rows, width).
    """

    def __init__(
        self,
        name: str,
        config: SequenceReaderConfig,
        schema: SequenceSchema,
        table_widths: Mapping[str, int],
        discrete_columns: Sequence[str],
    ):
        super().__init__()
        tables = {key: side.table for key, side in config.inputs.items() if side.table is not None}
        self.event_readings: dict[str, Reading] = {
            key: (table, TableColumn("sequences", name=name, key=key)) for key, table in tables.items()
        }
        self.candidate_readings: dict[str, Reading] = {
            key: (tables[key], locate_column(column, discrete_columns))
            for key, column in config.candidate.items()
        }
        self.out_features = config.width
        self.encoder = EventEncoder(config, schema, table_widths)
        self.reader = _build_reader(config, schema.max_length)

    def forward(
        self, sides: Mapping[str, Tensor], vectors: Mapping[Reading, Tensor], history_row: Tensor | None
    ) -> Tensor:
        events = self.encoder({key: vectors[reading] for key, reading in self.event_readings.items()}, sides)
        steps = torch.arange(events.shape[1], device=events.device)
        present = steps < sides[LENGTH].unsqueeze(1)
        candidate = None
        if self.candidate_readings:
            candidate = self.encoder.candidate(
                {key: vectors[reading] for key, reading in self.candidate_readings.items()}
            )
        read: Tensor = self.reader(Events(events, present, history_row), candidate)
        return read


def _build_reader(config: SequenceReaderConfig, max_length: int) -> nn.Module:
    reader, width = config.reader, config.width
    if reader.din_config is not None:
        return ActivationUnit(width, reader.din_config.hidden)
    if reader.attention_config is not None:
        return SoftmaxAttention(width, reader.attention_config.heads)
    if reader.transformer_config is not None:
        return TransformerReader(width, max_length, reader.transformer_config)
    return Pooling(width, mean=reader.mean_config is not None)
