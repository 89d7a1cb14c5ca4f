"""The section `training`: batches, epochs, precision, checkpoints, processes."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.fields.numbers import PositiveFloat, PositiveInt, Processes, Seed


class CheckpointConfig(StrictModel):
    """How often training writes all that it needs to go on from a step, and how many of these are kept."""

    every_minutes: PositiveFloat = Field(10.0, description="minutes between two checkpoints")
    every_steps: PositiveInt | None = Field(None, description="instead of by the clock")
    keep: PositiveInt = Field(2, description="newest checkpoints that are kept")


class EarlyStoppingConfig(StrictModel):
    """End when the loss of held-out training rows no longer falls, with the weights of its lowest value."""

    share: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(0.05, description="of training rows, held out")
    every_steps: PositiveInt = Field(description="steps between two looks at the held-out rows")
    patience: PositiveInt = Field(3, description="looks without a lower loss, after which training ends")


Tables = Literal["replicated", "row_wise", "table_wise"]
_TABLES = (
    "of model.large_embeddings and model.tables: whole in every process; a stretch of each table's entries in every "
    "process; or each table in one process"
)


class SingleNodeConfig(StrictModel):
    """Training in several processes of one machine, each with its part of every batch."""

    kind: Literal["single_node"] = "single_node"
    processes: Processes = Field(description="one for each GPU, or for each share of the CPU's cores")
    tables: Tables = Field("replicated", description=_TABLES)


class TrainJobConfig(StrictModel):
    """Training on several nodes of a cluster, as a TrainJob of Kubeflow Trainer; see docs/cluster.md."""

    kind: Literal["train_job"]
    nodes: Processes = Field(description="number of nodes")
    gpus_per_node: Annotated[int, Field(ge=0, le=1_000)] = Field(
        0, description="a process for each; 0 is one process a node, on its CPUs"
    )
    tables: Tables = Field("replicated", description=_TABLES)

    @property
    def processes(self) -> int:
        """Of all nodes together."""
        return self.nodes * self.processes_per_node

    @property
    def processes_per_node(self) -> int:
        """Of torchrun on each node."""
        return max(1, self.gpus_per_node)


def _kind(content: Any) -> str | None:
    if isinstance(content, Mapping):
        return content.get("kind", "single_node")
    return getattr(content, "kind", None)


DistributionConfig = Annotated[
    Annotated[SingleNodeConfig, Tag("single_node")] | Annotated[TrainJobConfig, Tag("train_job")],
    Discriminator(
        _kind,
        custom_error_type="distribution_kind",
        custom_error_message="kind is one of single_node, train_job",
    ),
]

_REGISTRY_SCHEME = "models:/"
_REGISTERED_VERSION = re.compile(re.escape(_REGISTRY_SCHEME) + r"([^/@]+)/(\d+)")


def _no_moving_version(start: str) -> str:
    if start.startswith(_REGISTRY_SCHEME) and not _REGISTERED_VERSION.fullmatch(start):
        raise ValueError(
            "names no version by its number, as models:/NAME/NUMBER does; an alias may move while a run goes "
            "on (write champion for the version that has that alias when the run begins)"
        )
    return start


class TrainingConfig(StrictModel):
    """One pass of the training step."""

    batch_size: PositiveInt = Field(1024, description="rows of an optimizer step, over all processes")
    micro_batches: PositiveInt = Field(
        1,
        description="gradient accumulation: parts of a batch that are computed one after the other, in less memory",
    )
    epochs: PositiveInt = Field(1, description="passes over the training rows")
    max_steps: PositiveInt | None = Field(None, description="stop after this many optimizer steps")
    seed: Seed = Field(2024, description="of the weights at the start, of shuffling, of dropout")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="`auto` takes a GPU where there is one"
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="bf16 autocast where the hardware multiplies in it and the net is wide enough to gain by "
        "it, else float32; weights and loss are always float32",
    )
    compile: bool = Field(
        False, description="let torch.compile fuse the net: a minute or so at the start, then faster steps"
    )
    threads: Processes | None = Field(
        None, description="CPU threads; if not given, one for a small net and the process's number for others"
    )
    gradient_clip_norm: PositiveFloat | None = Field(
        None, description="longest gradient, by its norm over all weights"
    )
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        None, description="keep a moving average of the weights, and end with it instead of the last weights"
    )
    warm_start: Annotated[str, Field(min_length=1), AfterValidator(_no_moving_version)] | None = Field(
        None,
        description="`champion`, a version `models:/NAME/NUMBER`, or a model's folder, whose weights to start from; "
        "those that do not fit stay new",
    )
    early_stopping: EarlyStoppingConfig | None = None
    checkpoint: CheckpointConfig = CheckpointConfig()
    distribution: DistributionConfig | None = Field(
        None, description="several processes, on this machine or on nodes of a cluster; one if not given"
    )
    log_every_steps: PositiveInt = Field(20, description="steps between two lines of progress")

    @property
    def warm_start_version(self) -> tuple[str, str] | None:
        """Registered name and version that ``warm_start`` asks for by number, if it does."""
        match = _REGISTERED_VERSION.fullmatch(self.warm_start or "")
        return (match[1], match[2]) if match else None

    @model_validator(mode="after")
    def _rows_for_every_part(self) -> "TrainingConfig":
        parts = self.micro_batches * (self.distribution.processes if self.distribution else 1)
        if parts > 1 and self.batch_size < 2 * parts:
            raise ValueError(
                f"batch_size: {self.batch_size} rows cannot be divided into {parts} parts (micro_batches times "
                "distribution.processes) of two rows or more"
            )
        return self

    @model_validator(mode="after")
    def _device_of_the_job(self) -> "TrainingConfig":
        job = self.distribution
        if not isinstance(job, TrainJobConfig):
            return self
        if job.gpus_per_node and self.device == "cpu":
            raise ValueError(
                f"distribution.gpus_per_node: {job.gpus_per_node} GPUs that device: cpu leaves idle; "
                "give 0 of them, or another device"
            )
        if not job.gpus_per_node and self.device == "cuda":
            raise ValueError(
                "distribution.gpus_per_node: 0, but device: cuda needs one at least on each node"
            )
        return self
