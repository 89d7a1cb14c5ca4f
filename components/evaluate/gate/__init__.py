"""The promotion gate: from an evaluation and a policy to one decision."""

from components.evaluate.gate.decide import decide, policy_digest

__all__ = ["decide", "policy_digest"]
