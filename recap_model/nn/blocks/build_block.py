"""Build the block of an architecture's config."""

from recap_model.config.model.architectures import ArchitectureConfig, BackboneConfig
from recap_model.nn.blocks.dcn import Dcn
from recap_model.nn.blocks.masknet import MaskNet
from recap_model.nn.blocks.mlp import Mlp

Block = Mlp | MaskNet | Dcn


def build_block(config: ArchitectureConfig | BackboneConfig, in_features: int) -> Block:
    """The block of the one architecture that ``config`` names; its output is (rows, block.out_features)."""
    if config.mlp_config is not None:
        return Mlp(config.mlp_config, in_features)
    if config.mask_net_config is not None:
        return MaskNet(config.mask_net_config, in_features)
    if config.dcn_config is not None:
        return Dcn(config.dcn_config, in_features)
    raise ValueError("dlrm_config: reads embeddings one by one, so it is no block on joined inputs")
