"""DLRM: all pairs of dot products."""

import pytest
import torch

from recap_model.config.model.architectures import DlrmConfig
from recap_model.nn import Dlrm, Inputs

CONFIG = DlrmConfig(bottom_mlp={"layer_sizes": [4]}, top_mlp={"layer_sizes": [5, 1]})


def test_the_top_sees_the_dense_vector_and_each_pair_once():
    net = Dlrm(CONFIG, dense_width=3, embedding_widths=[4, 4])
    inputs = Inputs(torch.randn(6, 3), [torch.randn(6, 4), torch.randn(6, 4)])
    dense = net.bottom(inputs.dense).output
    first, second = inputs.embeddings
    pairs = [(dense * first).sum(1), (dense * second).sum(1), (first * second).sum(1)]
    result = net(inputs)
    torch.testing.assert_close(result.shared_layer, torch.cat([dense, torch.stack(pairs, dim=1)], dim=1))
    assert result.output.shape == (6, 1)


def test_an_embedding_of_another_width_is_projected():
    net = Dlrm(CONFIG, dense_width=3, embedding_widths=[4, 7])
    assert [type(layer).__name__ for layer in net.projections] == ["Identity", "Linear"]
    assert net(Inputs(torch.randn(2, 3), [torch.randn(2, 4), torch.randn(2, 7)])).output.shape == (2, 1)


@pytest.mark.parametrize(("dense", "embeddings"), [(0, [4]), (3, [])])
def test_without_a_dense_part_or_an_embedding_there_is_nothing_to_multiply(dense, embeddings):
    with pytest.raises(ValueError, match="dlrm_config: needs"):
        Dlrm(CONFIG, dense, embeddings)
