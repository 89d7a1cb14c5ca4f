"""Choose the device and the precision of training."""

import torch
from torch import nn

from recap_model.config.steps.training import TrainingConfig

BF16_PAYS_FROM_WEIGHTS = 50_000
"""Weights of linear layers from which bf16 autocast is faster on a CPU with AMX. Measured at batch 1,024, it
takes 1.1 times as long at 18,000 weights and 0.7 times at 65,000. A fixed bound, because a choice by a stopwatch
would not come out the same on every run."""


def choose_device(config: TrainingConfig) -> torch.device:
    """The device that the config asks for. Raises ValueError if it asks for a GPU and there is none."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("training.device: cuda: torch sees no GPU here; use auto or cpu")
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def choose_bf16(config: TrainingConfig, device: torch.device, model: nn.Module) -> bool:
    """Whether to train under bf16 autocast; ``auto`` depends on the hardware and the model's size alone."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if not multiplies_in_bf16(device):
        return False
    if device.type == "cuda":
        return True
    tables = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)}
    matrices = [weight for weight in model.parameters() if weight.ndim > 1 and id(weight) not in tables]
    return sum(weight.numel() for weight in matrices) >= BF16_PAYS_FROM_WEIGHTS


def multiplies_in_bf16(device: torch.device) -> bool:
    """Whether the hardware itself does; elsewhere bf16 is float32 with more work."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
