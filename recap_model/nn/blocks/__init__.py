"""Blocks: MLP, MaskNet, DCN v2, DLRM."""
