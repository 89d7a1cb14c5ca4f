"""The candidate's predictions before calibration, as histograms of logits of the test rows."""

import numpy as np
from torch import Tensor

from recap_model.calibration import LogitHistogram, Reliability, reliability
from recap_model.config import RecapConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.model.ranking_model import MultiTaskRankingModel
from recap_model.nn.names import module_key


class UncalibratedPredictions:
    """Logits with the sampling undone, before the calibrator, of the binary tasks that have one.

    Memory does not grow with the rows. Rows are added in their order, as sums of floats depend on it.
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._histogram: LogitHistogram | None = None

    def begin(self, model: MultiTaskRankingModel, config: RecapConfig) -> None:
        """Begin anew with the tasks of a model."""
        self._numbers = [
            number
            for number, task in enumerate(model.tasks)
            if config.tasks[task].kind == "binary" and module_key(task) in model.calibrators
        ]
        tasks = [model.tasks[number] for number in self._numbers]
        self._histogram = LogitHistogram(tasks, 1) if tasks else None

    def select(self, model: MultiTaskRankingModel, logits: Tensor) -> Tensor:
        """The tasks' logits (rows, tasks that have a calibrator) of all tasks' (rows, tasks)."""
        return model.sampling.shift(logits)[:, self._numbers]

    def add(self, logits: Tensor, batch: RecapBatch) -> None:
        """Add the logits that `select` returned for a batch."""
        if self._histogram is None:
            return
        assert batch.labels is not None
        assert batch.weights is not None
        labels, weights = (one[:, self._numbers].numpy() for one in (batch.labels, batch.weights))
        values = logits.numpy()
        # A row whose logit is not finite is counted by the score table, and leaves the decision to the gate.
        labels = np.where(np.isfinite(values), labels, np.nan)
        self._histogram.add(values, labels, weights, np.zeros(len(values), dtype=np.int64))

    def reliability(self) -> dict[str, Reliability]:
        """Predicted against observed rates by task, of tasks with a label."""
        if self._histogram is None:
            return {}
        bins = {task: self._histogram.bins(task) for task in self._histogram.tasks}
        return {task: reliability(one, one.logit) for task, one in bins.items() if one.total}
