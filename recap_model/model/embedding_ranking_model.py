"""The ranking model whose towers are DLRMs."""

from torch import nn

from recap_model.model.ranking_model import MultiTaskRankingModel
from recap_model.model.task_spec import TaskSpec
from recap_model.nn.towers.dlrm_towers import DlrmTowers


class EmbeddingRankingModel(MultiTaskRankingModel):
    """A `MultiTaskRankingModel` in which each tower multiplies embeddings pairwise before its last layers.

    Inputs, calibration and score are the same; the towers, `Dlrm`, see the embeddings one by one instead of
    joined to the rest. Nothing is shared between tasks but the inputs.
    """

    def _build_net(self, plan: TaskSpec) -> nn.Module:
        return DlrmTowers(plan.architectures, self.inputs.dense_width, self.inputs.embedding_widths)
