"""Our training loop over a set, timed."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from components.train.data import training_rows
from recap_model import build_loss, create_ranking_model, data_spec
from recap_model.config import RecapConfig
from recap_model.data.dataset.reader import DatasetReader
from recap_model.metrics import auc
from recap_model.model.model_and_loss import ModelAndLoss
from recap_model.model.ranking_model import MultiTaskRankingModel
from recap_model.training import ProcessGroup, Progress, choose_device, train


@dataclass(frozen=True)
class Trained:
    """A run's speed, the share of its time that it waited for rows, and the mean AUC of its tasks on other rows."""

    rows_per_s: float
    waiting: float | None
    auc: float | None


def ours(config: RecapConfig, train_set: Path, test_set: Path | None) -> Trained:
    """One epoch by the training loop."""
    torch.manual_seed(0)
    device = choose_device(config.training)
    module = create_ranking_model(data_spec(config), config, device, build_loss(config))
    assert isinstance(module, ModelAndLoss)
    reports: list[Progress] = []
    began = time.perf_counter()
    rows, _ = training_rows(train_set, config, ProcessGroup(device=device))
    state = train(module, rows, config, reports.append)
    seconds = time.perf_counter() - began
    score = None if test_set is None else model_auc(module.model, config, test_set)
    return Trained(state.rows / seconds, reports[-1].waiting, score)


def model_auc(model: MultiTaskRankingModel, config: RecapConfig, test_set: Path) -> float:
    """The mean over tasks of the AUC on a test set."""
    reader = DatasetReader(test_set, list(config.tasks), 8192, config=config)
    logits, labels = [], []
    with torch.no_grad():
        for batch in reader.batches():
            assert batch.labels is not None
            logits.append(model.eval()(batch)["logits"])
            labels.append(batch.labels)
    return mean_auc(torch.cat(logits), torch.cat(labels))


def mean_auc(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """The mean over columns of the area under the ROC curve."""
    columns = zip(scores.float().T.numpy(), labels.T.numpy(), strict=True)
    values = [auc(label, score) for score, label in columns]
    return sum(values) / len(values)
