"""Modules of the network: blocks, inputs, towers, sampling correction."""

from recap_model.nn.blocks.affine import AffineMap
from recap_model.nn.blocks.build_block import build_block
from recap_model.nn.blocks.dcn import Cross, Dcn
from recap_model.nn.blocks.dlrm import Dlrm
from recap_model.nn.blocks.layers import BlockOutput
from recap_model.nn.blocks.masknet import MaskBlock, MaskNet
from recap_model.nn.blocks.mlp import Mlp
from recap_model.nn.inputs.featurization import Featurization
from recap_model.nn.inputs.input_layer import InputLayer, Inputs
from recap_model.nn.inputs.large_embeddings import LargeEmbeddings
from recap_model.nn.inputs.piecewise_linear import NumericEmbeddings, PiecewiseLinearEncoding
from recap_model.nn.inputs.position import PositionDebias
from recap_model.nn.inputs.shared_tables import SharedTables
from recap_model.nn.inputs.small_embeddings import IdEmbedding, SmallEmbeddings, Vocabulary
from recap_model.nn.inputs.transforms import Clip, Finite, SignedLog, ZScore
from recap_model.nn.names import module_key, sanitize, unsanitize
from recap_model.nn.sampling_correction import NumericCalibration
from recap_model.nn.towers.conditional import ConditionalTasks
from recap_model.nn.towers.mmoe import Experts, Gate, MmoeTowers
from recap_model.nn.towers.ple import PleTowers
from recap_model.nn.towers.shared_bottom import SharedTowers

__all__ = [
    "AffineMap",
    "BlockOutput",
    "Clip",
    "ConditionalTasks",
    "Cross",
    "Dcn",
    "Dlrm",
    "Experts",
    "Featurization",
    "Finite",
    "Gate",
    "IdEmbedding",
    "InputLayer",
    "Inputs",
    "LargeEmbeddings",
    "MaskBlock",
    "MaskNet",
    "Mlp",
    "MmoeTowers",
    "NumericCalibration",
    "NumericEmbeddings",
    "PiecewiseLinearEncoding",
    "PleTowers",
    "PositionDebias",
    "SharedTables",
    "SharedTowers",
    "SignedLog",
    "SmallEmbeddings",
    "Vocabulary",
    "ZScore",
    "build_block",
    "module_key",
    "sanitize",
    "unsanitize",
]
