"""The sum or the mean of a history's events."""

from torch import Tensor, nn

from recap_model.nn.sequences.events import Events


class Pooling(nn.Module):
    """``Σ_j e_j``, or with ``mean`` ``Σ_j e_j / n`` over a history's n events; zeros for an empty one.

    A row's history is read the same for every candidate (Covington et al., "Deep neural networks for YouTube
    recommendations", RecSys 2016, section 3.2, with the mean).

    Shape:
        events: see `Events`; returns (rows, width).
    """

    def __init__(self, width: int, mean: bool):
        super().__init__()
        self.out_features = width
        self.mean = mean

    def forward(self, events: Events, candidate: Tensor | None) -> Tensor:
        present = events.present.to(events.vectors.dtype).unsqueeze(-1)
        pooled = (events.vectors * present).sum(dim=1)
        if self.mean:
            pooled = pooled / present.sum(dim=1).clamp(min=1.0)
        return events.by_row(pooled)
