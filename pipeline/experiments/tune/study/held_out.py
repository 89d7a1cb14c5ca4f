"""The mean gain of a model in training on held-out rows, by which trials are pruned."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from recap_model.config import RecapConfig
from recap_model.data.dataset.reader import DatasetReader
from recap_model.metrics import relative_cross_entropy
from recap_model.metrics.values import deviance_skill
from recap_model.model.ranking_model import MultiTaskRankingModel
from recap_model.training import TrainState

_MAX_ROWS = 20_000
_BATCH_ROWS = 4096


class HeldOutRows:
    """The first rows of a set, in memory, to evaluate models in training on.

    Args:
        tasks: over whose gains the mean is taken.
    """

    def __init__(self, folder: Path, config: RecapConfig, tasks: Sequence[str]) -> None:
        self._config = config
        self._tasks = [task for task in config.tasks if task in tasks]
        reader = DatasetReader(folder, list(config.tasks), _BATCH_ROWS, config=config)
        self._batches = []
        rows = 0
        for batch in reader.batches():
            self._batches.append(batch)
            rows += len(batch)
            if rows >= _MAX_ROWS:
                break

    def evaluate(self, state: TrainState) -> float:
        """The mean RCE, or skill, of the weights that training would end with now, before calibration."""
        model = state.module.model
        averaged = nullcontext() if state.average is None else state.average.applied(model)
        training = state.module.training
        state.module.eval()
        try:
            with averaged, torch.inference_mode():
                return self._mean_gain(model, state.device)
        finally:
            state.module.train(training)

    def _mean_gain(self, model: MultiTaskRankingModel, device: torch.device) -> float:
        labels, weights, logits, values = [], [], [], []
        for batch in self._batches:
            outputs = model(batch.to(device))
            assert batch.labels is not None
            assert batch.weights is not None
            labels.append(batch.labels.numpy())
            weights.append(batch.weights.numpy())
            logits.append(model.sampling.shift(outputs["logits"]).float().cpu().numpy())
            values.append(outputs["probabilities"].float().cpu().numpy())
        label, weight, logit, value = (np.concatenate(parts) for parts in (labels, weights, logits, values))
        gains = []
        for number, task in enumerate(self._config.tasks):
            if task not in self._tasks:
                continue
            settings, known = self._config.tasks[task], weight[:, number] > 0
            columns = label[known, number].astype(np.float64), weight[known, number].astype(np.float64)
            if settings.kind == "binary":
                probability = 1.0 / (1.0 + np.exp(-logit[known, number].astype(np.float64)))
                gains.append(relative_cross_entropy(columns[0], probability, columns[1]))
            else:
                family, scale = settings.loss or "huber", settings.value_scale or 1.0
                predicted = value[known, number].astype(np.float64)
                power = settings.power or 1.5
                gains.append(deviance_skill(columns[0], predicted, columns[1], family, scale, power))
        return float(np.mean(gains))
