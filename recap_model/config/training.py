"""How the training step runs: batches, epochs, precision."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from recap_model.config.base import Config


class TrainingConfig(Config):
    """One pass of the training step."""

    batch_size: PositiveInt = 1024
    epochs: PositiveInt = 1
    max_steps: PositiveInt | None = Field(None, description="stop after this many optimizer steps")
    seed: int = Field(2024, ge=0, description="of the weights at the start, of shuffling, of dropout")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="`auto` takes a GPU where there is one"
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="bf16 autocast where the hardware multiplies in it and the net is wide enough to gain by "
        "it, else float32; weights and loss are always float32",
    )
    threads: PositiveInt | None = Field(
        None, description="CPU threads; if not given, one for a small net and the process's number for others"
    )
    gradient_clip_norm: PositiveFloat | None = None
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        None, description="keep a moving average of the weights, and end with it instead of the last weights"
    )
    log_every_steps: PositiveInt = 20
