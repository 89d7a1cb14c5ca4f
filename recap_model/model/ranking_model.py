"""The multi-task ranking model: from feature groups to calibrated probabilities and the score."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from recap_model.calibration.modules import ValueCalibrator
from recap_model.config import RecapConfig
from recap_model.config.data.features import DENSE_GROUPS
from recap_model.config.model.network import ModelConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.manifest import Sampling
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.model.task_spec import TaskSpec, build_value_link, resolve_tasks
from recap_model.nn.blocks.affine import AffineMap
from recap_model.nn.inputs.input_layer import InputLayer
from recap_model.nn.inputs.validate_batch import validate_batch
from recap_model.nn.names import module_key
from recap_model.nn.sampling_correction import NumericCalibration
from recap_model.nn.towers.conditional import ConditionalTasks
from recap_model.nn.towers.mmoe import MmoeTowers
from recap_model.nn.towers.ple import PleTowers
from recap_model.nn.towers.shared_bottom import SharedTowers

DataSpec = Mapping[str, int | Sequence[int]]

# Containers whose modules go by the keys of tasks.
_TASK_CONTAINERS = ("affine_maps", "towers", "gates", "task_experts")


class MultiTaskRankingModel(nn.Module):
    """Featurize, share, a tower for each task; then calibrate each probability and weigh them into a score.

    A tower's logit passes an affine map if the task has one, meets the logit of the task that it is conditional
    on, if there is one, and is a probability by the sigmoid. Behind it, numeric calibration undoes the sampling of
    the training rows, and a fitted calibrator, once the task has one, does the rest; both work on the logit.

    Args:
        data_spec: the width of each dense group, or its shape, of which the last entry is the width.
        config: a whole config, or its model section; the latter weighs every task 1 in the score.
        data_config: see `resolve_tasks`.
        return_backbone: add what the tasks share to what the model returns.

    Attributes:
        tasks: names, in the order of the outputs' columns.
        score_terms: names of the terms of the score beside the tasks'.
        calibrators: fitted calibrators by `module_key` of the task; see `set_calibrators`.

    Raises:
        ValueError: the config does not fit the groups, or a task is not told enough of.
    """

    score_weights: Tensor
    term_weights: Tensor

    def __init__(
        self,
        data_spec: DataSpec,
        config: RecapConfig | ModelConfig,
        data_config: Any = None,
        return_backbone: bool = False,
    ):
        super().__init__()
        plan = resolve_tasks(config, data_config)
        if return_backbone and plan.model.multi_task_type == "share_none":
            raise ValueError("return_backbone: multi_task_type share_none has no backbone")
        self.config = config
        self.tasks = plan.tasks
        self.return_backbone = return_backbone
        self.data_spec = group_widths(data_spec)
        self.inputs = InputLayer(
            plan.model, self.data_spec, plan.discrete_columns, plan.sequences, plan.continuous_columns
        )
        self.net = self._build_net(plan)
        self.affine_maps = nn.ModuleDict(
            {
                module_key(task): AffineMap(tower.affine_map.scale, tower.affine_map.bias)
                for task, tower in plan.architectures.items()
                if tower.affine_map is not None
            }
        )
        self.conditional = ConditionalTasks(plan.given)
        self.sampling = NumericCalibration(plan.positive_rates, plan.negative_rates)
        self.link = build_value_link(plan)
        self._pos_weights = [tower.pos_weight for tower in plan.architectures.values()]
        self.calibrators = nn.ModuleDict()
        self.register_buffer("score_weights", torch.tensor(plan.score_weights))
        self.score_terms = list(plan.score_terms)
        self._term_tasks = [tasks for _, tasks in plan.score_terms.values()]
        if self.score_terms:
            self.register_buffer(
                "term_weights", torch.tensor([weight for weight, _ in plan.score_terms.values()])
            )
        self._discrete_columns = plan.discrete_columns

    def _build_net(self, plan: TaskSpec) -> nn.Module:
        kind = {"mmoe": MmoeTowers, "ple": PleTowers}.get(plan.model.multi_task_type, SharedTowers)
        return kind(plan.model, plan.architectures, self.inputs.out_features)

    def forward(self, batch: RecapBatch) -> dict[str, Tensor]:
        """Score rows.

        Returns:
            ``logits``, ``probabilities``, ``calibrated_probabilities``: (rows, tasks), of a value task values;
            ``score``: (rows,), the sum
            over tasks of score weight times calibrated probability, and of further terms; if asked for, ``backbone``:
            the backbone's output (rows, width), or that of the experts that all tasks share (rows, experts, width).

        Raises:
            ValueError: a group is missing, or has another shape or dtype.
        """
        dtype = self.score_weights.dtype
        inputs = self.inputs
        net = self.net(inputs(validate_batch(batch, inputs.widths, inputs.sparse, inputs.schemas, dtype)))
        logits = self.conditional(self._apply_affine_maps(net.logits.to(dtype)))
        calibrated = self._apply_calibrators(self.sampling.shift(logits))
        probabilities = torch.sigmoid(calibrated)
        predictions = torch.sigmoid(logits)
        if self.link is not None:
            predictions = self.link(logits)
            values = self._apply_calibrators(predictions, values=True)
            probabilities = torch.where(self.link.is_value, values, probabilities)
        outputs = {
            "logits": logits,
            "probabilities": predictions,
            "calibrated_probabilities": probabilities,
            "score": self.weigh(probabilities),
        }
        if self.return_backbone:
            outputs["backbone"] = net.shared
        return outputs

    def weigh(self, probabilities: Tensor, weights: Tensor | None = None) -> Tensor:
        """The score (rows,) of calibrated probabilities (rows, tasks).

        Args:
            weights: (tasks + further terms,) instead of the model's own.
        """
        of_tasks, of_terms = self.score_weights, self.term_weights if self.score_terms else None
        if weights is not None:
            of_tasks, of_terms = weights.split([len(self.tasks), len(self.score_terms)])
        # Not a matrix product, which autocast would do in bfloat16.
        score = (probabilities * of_tasks).sum(dim=1)
        if of_terms is None or not self.score_terms:
            return score
        for weight, tasks in zip(of_terms, self._term_tasks, strict=True):
            score = score + weight * math.prod(
                (probabilities[:, task] for task in tasks[1:]), start=probabilities[:, tasks[0]]
            )
        return score

    def _apply_affine_maps(self, logits: Tensor) -> Tensor:
        """Each task's logits through its affine map, if it has one."""
        if not len(self.affine_maps):
            return logits
        columns = []
        for key, column in zip(map(module_key, self.tasks), logits.split(1, dim=1), strict=True):
            columns.append(self.affine_maps[key](column) if key in self.affine_maps else column)
        return torch.cat(columns, dim=1)

    def _apply_calibrators(self, logits: Tensor, values: bool = False) -> Tensor:
        """Each binary task's logits, or each value task's values, through its fitted calibrator, if it has one."""
        if not len(self.calibrators):
            return logits
        columns = []
        for key, column in zip(map(module_key, self.tasks), logits.unbind(dim=1), strict=True):
            if key in self.calibrators and isinstance(self.calibrators[key], ValueCalibrator) == values:
                column = self.calibrators[key](column)
            columns.append(column)
        return torch.stack(columns, dim=1)

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Fit input transforms and vocabularies to statistics of the training rows.

        Raises ValueError if they are of other columns than the config's.
        """
        self.inputs.set_statistics(statistics, self._discrete_columns)

    def read_embedding_files(self) -> None:
        """Start tables from the vocabularies and values that the config names, if it does.

        Raises FileNotFoundError or ValueError, each naming the file.
        """
        config = self.config.model if isinstance(self.config, RecapConfig) else self.config
        if self.inputs.large_embeddings is not None and config.large_embeddings is not None:
            self.inputs.large_embeddings.read_files(config.large_embeddings)
        if self.inputs.shared_tables is not None:
            self.inputs.shared_tables.read_files(config.tables)

    def set_sampling(self, sampling: Mapping[str, Sampling]) -> None:
        """Undo these rates in the calibrated probabilities; tasks that are not named keep theirs.

        Raises ValueError for an unknown task, or a rate outside (0, 1].
        """
        self._check_tasks("sampling", sampling)
        for task, rates in sampling.items():
            ratio = NumericCalibration(rates.positive_rate, rates.negative_rate).ratio
            self.sampling.ratio[self.tasks.index(task)] = ratio.to(self.sampling.ratio)

    def undo_pos_weights(self) -> None:
        """Undo each task's ``pos_weight`` as well, once, where the sampling is undone.

        A loss that weighs positives w times teaches the odds times w, as w copies of each would. The published model
        leaves them so; a fitted calibrator makes up for it, and a task with too few positives for one has only this.
        """
        self.sampling.ratio /= self.sampling.ratio.new_tensor(self._pos_weights)

    def set_calibrators(self, calibrators: Mapping[str, nn.Module]) -> None:
        """Put fitted calibrators behind the tasks' logits, instead of all that were there before.

        Each maps logits (rows,), sampling undone, to logits (rows,). Raises ValueError for an unknown task.
        """
        self._check_tasks("calibrators", calibrators)
        self.calibrators = nn.ModuleDict(
            {module_key(task): calibrators[task] for task in self.tasks if task in calibrators}
        )
        self.calibrators.to(self.score_weights.device)
        self.calibrators.train(self.training)

    def _check_tasks(self, where: str, by_task: Mapping[str, Any]) -> None:
        for task in by_task:
            if task not in self.tasks:
                raise ValueError(f"{where}: unknown task {task!r}; tasks: {', '.join(self.tasks)}")

    def parameters_by_task(self) -> dict[str | None, dict[str, nn.Parameter]]:
        """Trained parameters by name: each task's own, and under None those that all tasks share.

        Calibrators are fitted, not trained, and left out.
        """
        owners = {module_key(task): task for task in self.tasks}
        groups: dict[str | None, dict[str, nn.Parameter]] = {None: {}, **{task: {} for task in self.tasks}}
        for name, parameter in self.named_parameters():
            path = name.split(".")
            if path[0] == "calibrators":
                continue
            # Inputs are no task's, even those of a table that is named as a container is.
            key = next(
                (key for place, key in pairwise(path) if place in _TASK_CONTAINERS and path[0] != "inputs"),
                None,
            )
            groups[owners[key] if key is not None else None][name] = parameter
        return groups


def group_widths(data_spec: DataSpec) -> dict[str, int]:
    """The width of each group: an int as it is, of a shape the last entry.

    Raises ValueError for an unknown group, or a width that is not positive.
    """
    widths: dict[str, int] = {}
    for group, shape in data_spec.items():
        if group not in DENSE_GROUPS:
            raise ValueError(f"data_spec: unknown group {group!r}; groups: {', '.join(DENSE_GROUPS)}")
        width = shape[-1] if isinstance(shape, Sequence) and len(shape) else shape
        if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
            raise ValueError(
                f"data_spec: {group}: {shape!r}: give a width over 0, or a shape that ends in one; leave out a group "
                "without columns"
            )
        widths[group] = int(width)
    return widths
