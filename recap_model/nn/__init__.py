"""The parts of the net: blocks, featurization, embeddings, calibration of sampling."""

from recap_model.nn.affine import AffineMap
from recap_model.nn.build_block import build_block
from recap_model.nn.conditional import ConditionalTasks
from recap_model.nn.dcn import Cross, Dcn
from recap_model.nn.dlrm import Dlrm
from recap_model.nn.embeddings import IdEmbedding, SmallEmbeddings, Vocabulary
from recap_model.nn.experts import Experts, Gate, MmoeTowers, PleTowers
from recap_model.nn.featurization import Featurization
from recap_model.nn.inputs import InputLayer, Inputs
from recap_model.nn.large_embeddings import LargeEmbeddings
from recap_model.nn.layers import BlockOutput
from recap_model.nn.masknet import MaskBlock, MaskNet
from recap_model.nn.mlp import Mlp
from recap_model.nn.names import module_key, sanitize, unsanitize
from recap_model.nn.piecewise_linear import NumericEmbeddings, PiecewiseLinearEncoding
from recap_model.nn.position import PositionDebias
from recap_model.nn.sampling_correction import NumericCalibration
from recap_model.nn.shared_bottom import SharedTowers
from recap_model.nn.transforms import Clip, Finite, SignedLog, ZScore

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
