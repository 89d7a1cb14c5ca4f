"""A training set of a few rows in memory, and trainings on it."""

from collections.abc import Iterator

import torch

from recap_model import RecapBatch, RecapConfig, build_loss, create_ranking_model, data_spec
from recap_model.model.model_and_loss import ModelAndLoss
from recap_model.training import Progress, TrainState, train
from tests.tiny import tiny_config


class FewRows:
    """128 rows whose first label follows from the first column, in batches of 32."""

    steps = 4

    def __init__(self, **changed: torch.Tensor):
        random = torch.Generator().manual_seed(3)
        continuous = torch.randn(128, 3, generator=random)
        labels = torch.stack([(continuous[:, 0] > 0).float(), (continuous[:, 1] > 1).float()], dim=1)
        groups = {
            "continuous": continuous,
            "binary": torch.ones(128, 1),
            "discrete": torch.zeros(128, 2, dtype=torch.int64),
            "user_embedding": torch.randn(128, 4, generator=random),
            "labels": labels,
            "weights": torch.ones(128, 2),
        }
        self.all = RecapBatch(**{**groups, **changed})

    def batches(self, epoch: int, skip: int = 0) -> Iterator[RecapBatch]:
        order = torch.randperm(len(self.all), generator=torch.Generator().manual_seed(epoch))
        for start in range(32 * skip, len(self.all), 32):
            yield self.all[order[start : start + 32]]


def trained(
    rows: FewRows | None = None, config: RecapConfig | None = None, **training: object
) -> tuple[TrainState, list[Progress]]:
    config = config or tiny_config(training={"batch_size": 32, "epochs": 2, **training})
    reports: list[Progress] = []
    torch.manual_seed(config.training.seed)
    return train(new_module(config), rows or FewRows(), config, reports.append), reports


def new_module(config: RecapConfig) -> ModelAndLoss:
    module = create_ranking_model(data_spec(config), config, "cpu", loss_fn=build_loss(config))
    assert isinstance(module, ModelAndLoss)
    return module


def weights_of(state: TrainState) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in state.module.state_dict().values()]
