"""Versions of a registered model as plain values, and validation of their rows in the registry."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from components.common import registry
from components.common.registry.load_test.record import passed
from components.common.registry.promotion.promotion_log import InvalidRecordError, Promotion, read_promotions
from components.common.runtime.cost import PREFIX, read_metrics

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_NO_RESULTS = ("proof/", "train/learning_rates/", PREFIX)  # metrics that do not measure quality
_NOTHING_RECORDED = ("", "none")


def summarize_version(
    client: "MlflowClient",
    name: str,
    model_version: "ModelVersion",
    held: dict[str, str],
    moves: list[Promotion],
) -> dict[str, Any]:
    """One version, ready for JSON; ``who`` made it champion last, ``problems`` are those of its row.

    Args:
        held: the version that each alias points to.
        moves: of the model's champion.
    """
    version, tags = str(model_version.version), model_version.tags
    proof, created = tags.get(registry.LOAD_TEST_TAG, "none"), creation_time(model_version)
    metrics = _metrics(client, model_version.run_id)
    problems = list(row_problems(model_version))
    if metrics is None:
        problems.append(f"its MLflow run {model_version.run_id} was deleted, and its metrics with it")
    return {
        "name": name,
        "version": version,
        "aliases": sorted(alias for alias, holder in held.items() if holder == version),
        "window": tags.get(registry.WINDOW_TAG),
        "outcome": tags.get(registry.OUTCOME_TAG),
        "compared_with": tags.get(registry.COMPARED_TAG),
        "proof": "passed" if passed(proof) else proof,
        "who": next((move.who for move in reversed(moves) if move.to == version), None),
        "created": created.isoformat(timespec="seconds") if created else None,
        "run_id": model_version.run_id,
        "metrics": {
            name: value for name, value in (metrics or {}).items() if not name.startswith(_NO_RESULTS)
        },
        "cost": read_metrics(metrics or {}),
        "problems": problems,
    }


def row_problems(model_version: "ModelVersion") -> Iterator[str]:
    """Find values in a version's row that no registration writes."""
    if creation_time(model_version) is None:
        yield f"its creation time {model_version.creation_timestamp!r} is not a time in milliseconds since 1970"
    proof = model_version.tags.get(registry.LOAD_TEST_TAG, "none")
    if proof not in _NOTHING_RECORDED and not proof.startswith("failed") and not passed(proof):
        yield f"its tag {registry.LOAD_TEST_TAG} is not what register writes"


def read_champion_moves(client: "MlflowClient", name: str) -> tuple[list[Promotion], str | None]:
    """The recorded promotions of a model, and the error of a broken record (then without promotions)."""
    try:
        return read_promotions(client, name), None
    except InvalidRecordError as error:
        return [], str(error)


def creation_time(model_version: "ModelVersion") -> datetime | None:
    """When a version was registered; None if its row holds no time."""
    stamp: Any = model_version.creation_timestamp
    if not isinstance(stamp, int) or stamp < 0:
        return None
    try:
        return datetime.fromtimestamp(stamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _metrics(client: "MlflowClient", run_id: str | None) -> dict[str, float] | None:
    """A run's finite metrics by name; None if there is no such run."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return {}
    with registry.registry_errors(client):
        try:
            metrics = client.get_run(run_id).data.metrics
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
    return {name: value for name, value in sorted(metrics.items()) if math.isfinite(value)}
