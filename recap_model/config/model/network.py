"""The section `model`: inputs, shared layers, towers and loss, under the published field names."""

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel, distinct_names
from recap_model.config.data.sequences import SequenceName
from recap_model.config.fields.names import Name, TaskName
from recap_model.config.fields.numbers import Id, Layers, LossWeight, NonNegativeInt
from recap_model.config.model.architectures import ArchitectureConfig, BackboneConfig
from recap_model.config.model.inputs import (
    FeaturizationConfig,
    LargeEmbeddingsConfig,
    PositionDebiasConfig,
    SmallEmbeddingsConfig,
)
from recap_model.config.model.sequences import SequenceReaderConfig
from recap_model.config.model.tables import IdConfig, TableConfig, TableName


class StratifierConfig(StrictModel):
    """Metrics again for rows whose discrete column has this value."""

    name: Name = Field(description="name of the metrics")
    index: NonNegativeInt = Field(description="column in the discrete group")
    value: Id = Field(description="the column's value")


class MmoeConfig(StrictModel):
    """Multi-gate mixture of experts (KDD 2018): experts that all tasks share, a softmax gate for each task."""

    expert: BackboneConfig = Field(description="architecture of each expert")
    num_experts: Layers = Field(4, description="number of experts")


class PleConfig(StrictModel):
    """Progressive layered extraction (RecSys 2020): experts of each task beside shared ones, in levels."""

    expert: BackboneConfig = Field(description="architecture of each expert, in every level")
    levels: Layers = Field(1, description="number of levels")
    task_experts: Layers = Field(1, description="experts of each task, in each level")
    shared_experts: Layers = Field(1, description="experts of all tasks, in each level")


class LossConfig(StrictModel):
    """Weighted binary cross-entropy of each task, and how the tasks' losses become one."""

    normalise: bool = Field(
        False,
        description="divide a task's sum of weighted losses by the sum of weights instead of the number of "
        "labelled rows, so that the scale of the weights does not matter",
    )
    task_reduction: Literal["mean", "sum", "min", "max", "median"] = Field(
        "mean", description="how the tasks' losses become one"
    )
    task_weighting: Literal["fixed", "uncertainty", "gradient"] = Field(
        "fixed",
        description="how much each task's loss counts: as task_weights says, by its trained uncertainty "
        "(arXiv:1705.07115), or so that the tasks' gradients in what they share are of one size (arXiv:2203.06801)",
    )
    task_weights: dict[TaskName, LossWeight] = Field(
        {}, description="of task_weighting fixed; 1 for a task that is not named"
    )

    @model_validator(mode="after")
    def _weighting_fits(self) -> "LossConfig":
        if self.task_weighting == "fixed":
            return self
        if self.task_weights:
            raise ValueError(
                f"task_weights: task_weighting {self.task_weighting} finds its own; remove one of both"
            )
        if self.task_reduction not in ("mean", "sum"):
            raise ValueError(
                f"task_reduction: {self.task_reduction}: task_weighting {self.task_weighting} weighs losses that are "
                "added up; use mean or sum"
            )
        return self


class ModelConfig(StrictModel):
    """Inputs, shared layers, towers."""

    featurization_config: FeaturizationConfig
    multi_task_type: Literal["share_none", "share_all", "share_partial", "mmoe", "ple"] = Field(
        description="what the tasks share: nothing, the backbone (share_all), the backbone beside the inputs "
        "(share_partial), or mixtures of experts"
    )
    backbone: BackboneConfig | None = Field(None, description="of share_all and share_partial")
    mmoe: MmoeConfig | None = Field(None, description="experts of multi_task_type mmoe")
    ple: PleConfig | None = Field(None, description="experts of multi_task_type ple")
    tower: ArchitectureConfig | None = Field(
        None, description="architecture of each task that `tasks` leaves out"
    )
    tasks: dict[TaskName, ArchitectureConfig] = {}
    position_debias_config: PositionDebiasConfig | None = None
    small_embeddings: SmallEmbeddingsConfig | None = None
    large_embeddings: LargeEmbeddingsConfig | None = None
    tables: dict[TableName, TableConfig] = Field(
        {}, description="embedding tables that any number of columns read"
    )
    ids: list[IdConfig] = Field([], description="columns whose ids read one of tables")
    sequences: dict[SequenceName, SequenceReaderConfig] = Field(
        {}, description="how those of features.sequences are read, by name"
    )
    stratifiers: list[StratifierConfig] | None = None
    loss: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _shared_as_the_type_says(self) -> "ModelConfig":
        kind = self.multi_task_type
        needed = {"share_all": "backbone", "share_partial": "backbone", "mmoe": "mmoe", "ple": "ple"}.get(
            kind
        )
        for field in ("backbone", "mmoe", "ple"):
            if field == needed and getattr(self, field) is None:
                raise ValueError(f"{field}: needed by multi_task_type {kind}")
            if field != needed and getattr(self, field) is not None:
                raise ValueError(f"{field}: {kind} has none; remove it or change multi_task_type")
        return self

    @model_validator(mode="after")
    def _something_shared_to_balance(self) -> "ModelConfig":
        if self.loss.task_weighting == "gradient" and self.multi_task_type == "share_none":
            raise ValueError(
                "loss.task_weighting: gradient: share_none shares nothing in which gradients could meet"
            )
        return self

    @model_validator(mode="after")
    def _stratifiers_differ(self) -> "ModelConfig":
        return distinct_names(self, "stratifiers")

    @model_validator(mode="after")
    def _tables_are_read(self) -> "ModelConfig":
        readers = {f"ids.{number}": item.table for number, item in enumerate(self.ids)}
        for name, sequence in self.sequences.items():
            for key, side in sequence.inputs.items():
                if side.table is not None:
                    readers[f"sequences.{name}.inputs.{key}"] = side.table
        known = ", ".join(self.tables) or "none"
        errors = [
            f"{where}.table: unknown table {table!r}; tables: {known}"
            for where, table in readers.items()
            if table not in self.tables
        ]
        errors += [
            f"tables.{table}: no column reads it; name it in ids or in the inputs of a sequence, or remove it"
            for table in self.tables
            if table not in readers.values()
        ]
        seen = [(item.table, item.column) for item in self.ids]
        errors += [
            f"ids.{number}: {item.column!r} reads table {item.table} twice; remove one of them"
            for number, item in enumerate(self.ids)
            if (item.table, item.column) in seen[:number]
        ]
        if errors:
            raise ValueError("\n".join(errors))
        return self

    @model_validator(mode="after")
    def _all_dlrm_or_none(self) -> "ModelConfig":
        towers = {f"tasks.{task}": tower for task, tower in self.tasks.items()}
        if self.tower is not None:
            towers["tower"] = self.tower
        dlrm = [where for where, tower in towers.items() if tower.dlrm_config is not None]
        if dlrm and len(dlrm) < len(towers):
            other = next(where for where in towers if where not in dlrm)
            raise ValueError(
                f"{other}: needs dlrm_config as {dlrm[0]} has one; all towers are DLRMs, or none"
            )
        if dlrm and self.multi_task_type != "share_none":
            raise ValueError(
                f"multi_task_type: {self.multi_task_type}: towers with dlrm_config need share_none"
            )
        return self

    def architectures(self, tasks: Iterable[str] | None = None) -> dict[str, ArchitectureConfig]:
        """The architecture of each of ``tasks``, or of the tasks of this section if not given.

        Raises ValueError for a task that has none.
        """
        chosen: dict[str, ArchitectureConfig] = {}
        for task in self.tasks if tasks is None else tasks:
            architecture = self.tasks.get(task, self.tower)
            if architecture is None:
                raise ValueError(f"model.tasks: no architecture for {task}; add it or give model.tower")
            chosen[task] = architecture
        if not chosen:
            raise ValueError("model.tasks: no task; a model predicts at least one")
        return chosen

    def discrete_indices(self) -> Iterator[tuple[str, int]]:
        """Each column of the discrete group that the model reads, behind the path of its field."""
        if self.small_embeddings is not None:
            for number, table in enumerate(self.small_embeddings.tables):
                yield f"model.small_embeddings.tables.{number}.index", table.index
        for number, item in enumerate(self.ids):
            if isinstance(item.column, int):
                yield f"model.ids.{number}.column", item.column
        for name, sequence in self.sequences.items():
            for key, column in sequence.candidate.items():
                if isinstance(column, int):
                    yield f"model.sequences.{name}.candidate.{key}", column
        if self.position_debias_config is not None:
            index = self.position_debias_config.position_feature_index
            yield "model.position_debias_config.position_feature_index", index
        for number, stratifier in enumerate(self.stratifiers or ()):
            yield f"model.stratifiers.{number}.index", stratifier.index
