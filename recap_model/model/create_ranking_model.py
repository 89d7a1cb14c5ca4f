"""Build a ranking model from its config."""

from typing import Any

import torch

from recap_model.config import RecapConfig
from recap_model.config.model.network import ModelConfig
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.model.embedding_ranking_model import EmbeddingRankingModel
from recap_model.model.model_and_loss import LossFunction, ModelAndLoss
from recap_model.model.ranking_model import DataSpec, MultiTaskRankingModel
from recap_model.model.task_spec import resolve_tasks


def create_ranking_model(
    data_spec: DataSpec,
    config: RecapConfig | ModelConfig,
    device: torch.device | str,
    loss_fn: LossFunction | None = None,
    data_config: Any = None,
    return_backbone: bool = False,
    statistics: FeatureStatistics | None = None,
) -> MultiTaskRankingModel | ModelAndLoss:
    """Build the model of a config on a device: an `EmbeddingRankingModel` where the towers are DLRMs.

    Args:
        data_spec: width (or shape) of each dense group; `recap_model.data_spec` gives a config's.
        loss_fn: wrap the model in a `ModelAndLoss` with this.
        data_config: sampling rates to undo; see `resolve_tasks`.
        statistics: of the training rows, for `MultiTaskRankingModel.set_statistics`.

    Raises:
        ValueError: config, groups, statistics and files of embeddings do not fit together.
        FileNotFoundError: a file that ``model.large_embeddings`` or ``model.tables`` names is not there.
    """
    model = build_model(data_spec, config, data_config, return_backbone)
    model.read_embedding_files()
    if statistics is not None:
        model.set_statistics(statistics)
    model.to(device)
    if loss_fn is None:
        return model
    section = config.model if isinstance(config, RecapConfig) else config
    return ModelAndLoss(model, loss_fn, section.stratifiers).to(device)


def build_model(
    data_spec: DataSpec,
    config: RecapConfig | ModelConfig,
    data_config: Any = None,
    return_backbone: bool = False,
) -> MultiTaskRankingModel:
    """The model of a config as it starts, before any file or statistic is read; see `create_ranking_model`."""
    architectures = resolve_tasks(config, data_config).architectures.values()
    dlrm = any(tower.dlrm_config is not None for tower in architectures)
    kind = EmbeddingRankingModel if dlrm else MultiTaskRankingModel
    return kind(data_spec, config, data_config, return_backbone)
