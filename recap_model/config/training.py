"""How the training step runs: batches, epochs, precision."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from recap_model.config.base import Config


class TrainingConfig(Config):
    """One pass of the training step."""

    batch_size: PositiveInt = 1024
    epochs: PositiveInt = 1
    max_steps: PositiveInt | None = Field(None, description="stop after this many optimizer steps")
    seed: int = Field(2024, description="of the weights at the start, of shuffling, of dropout")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="bf16 autocast where the hardware multiplies in it, else float32"
    )
    gradient_clip_norm: PositiveFloat | None = None
    log_every_steps: PositiveInt = 20
