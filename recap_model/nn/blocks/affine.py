"""A learned scale and bias of a task's logit."""

from torch import Tensor, nn


class AffineMap(nn.Linear):
    """logit · scale + bias: a linear layer from one unit to one, which starts at the given values."""

    def __init__(self, scale: float = 1.0, bias: float = 0.0):
        super().__init__(1, 1)
        nn.init.constant_(self.weight, scale)
        nn.init.constant_(self.bias, bias)

    def forward(self, input: Tensor) -> Tensor:
        """Logits (rows, 1) to logits (rows, 1)."""
        # Not a matrix product, which autocast would do in bfloat16.
        return input * self.weight + self.bias
