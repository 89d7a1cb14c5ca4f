"""Conditional tasks: the probability of a task times that of the task it is given."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConditionalTasks(nn.Module):
    """Turn logits given another task into logits over all rows (ESMM, SIGIR 2018, section 2.3).

    A conditional task's tower predicts P(task | given); the model returns, and the loss reads,
    P(given) · P(task | given). A given task may be conditional itself.

    Args:
        given: for each task the number of the one it is given, or None.

    Raises:
        ValueError: a task is given itself, over however many others.
    """

    def __init__(self, given: Sequence[int | None]):
        super().__init__()
        self.given = list(given)
        self._order: list[int] = []
        for task in range(len(self.given)):
            self._append_after_given(task, ())

    def _append_after_given(self, task: int, below: tuple[int, ...]) -> None:
        """Put a task behind the one it is given, so that one pass over the order fills every logit."""
        if task in below:
            raise ValueError(f"given: task {task} is given itself; `given` must not form a cycle")
        if task in self._order:
            return
        given = self.given[task]
        if given is not None:
            self._append_after_given(given, (*below, task))
        self._order.append(task)

    def forward(self, logits: Tensor) -> Tensor:
        """Towers' logits (rows, tasks) to log odds of each task over all rows (rows, tasks)."""
        if len(self.given) == self.given.count(None):
            return logits
        columns = list(logits.unbind(dim=1))
        for task in self._order:
            given = self.given[task]
            if given is not None:
                columns[task] = joint_logit(columns[given], columns[task])
        return torch.stack(columns, dim=1)


def joint_logit(first: Tensor, second: Tensor) -> Tensor:
    """Log odds of σ(a)·σ(b), of any shape: −log(e^−a + e^−b + e^−(a+b)), which no large logit overflows.

    >>> p = joint_logit(torch.tensor(0.0), torch.tensor(0.0)).sigmoid()
    >>> round(p.item(), 4)
    0.25
    """
    return -torch.logsumexp(torch.stack([-first, -second, -(first + second)]), dim=0)
