"""Manual promotion and approval."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from components.common import registry
from components.common.artifacts.decision import Decision
from components.common.registry.load_test.check import load_and_score
from components.common.registry.promotion.move_champion import move_champion
from components.common.registry.promotion.promotion_log import APPROVED, Audit, Promotion
from components.common.registry.promotion.rollback import announce

if TYPE_CHECKING:
    from mlflow import MlflowClient


def promote_manually(
    client: "MlflowClient", name: str, version: str, approval: str | None
) -> Promotion | None:
    """Make a version champion.

    Args:
        approval: a person's reason to approve the version. Required if its decision is HOLD, or if
            ``registry.require_approval`` was set.

    Returns:
        The promotion, or None if the version is champion already.

    Raises:
        RegistryError: the decision does not allow it or was changed, the champion changed since, or the version
            fails its load test.
    """
    decision = read_decision(client, name, version)
    _check_allowed(client, name, version, decision, approval)
    load_and_score(client, name, version)
    why = f"{APPROVED}{approval}" if approval is not None else decision.reason
    expected = decision.champion.version if decision.champion else None
    move = move_champion(client, name, expected, version, Audit(why=why, decision=decision.digest))
    if move is not None:
        announce(name, move)
    return move


def _check_allowed(
    client: "MlflowClient", name: str, version: str, decision: Decision, approval: str | None
) -> None:
    what = f"{name} version {version}"
    how = 'approve it with --approve "REASON"'
    if decision.outcome == "ERROR":
        raise registry.RegistryError(
            f"{what}: its decision is ERROR ({decision.reason}), which cannot be approved; run the pipeline again"
        )
    if approval is not None:
        return
    if decision.outcome == "HOLD":
        raise registry.RegistryError(
            f"{what}: its decision is HOLD ({decision.reason}); {how} to override it"
        )
    if registry.get_version(client, name, version).tags.get(registry.APPROVAL_TAG) == "person":
        raise registry.RegistryError(f"{what}: registry.require_approval requires a person's approval; {how}")


def read_decision(client: "MlflowClient", name: str, version: str) -> Decision:
    """The decision in a version's artifacts. Raises RegistryError if it does not match the version's tag."""
    expected = registry.get_version(client, name, version).tags.get(registry.DECISION_TAG)
    with tempfile.TemporaryDirectory(prefix="recap-decision-") as temporary:
        decision = Decision.read(registry.fetch(client, name, version, Path(temporary)) / "evaluation")
    if decision.digest != expected:
        raise registry.RegistryError(
            f"{name} version {version}: its tag {registry.DECISION_TAG} does not match its stored decision; "
            "register the run again"
        )
    return decision
