"""Read the history of a registered model: its newest versions with what was measured, watched, moved and spent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from components.common import registry
from components.common.artifacts.decision import DECISION_NAME
from components.common.artifacts.evaluation import METRICS_NAME, Evaluation
from components.common.artifacts.validation_result import RESULT_NAME, DriftSummary
from components.common.artifacts.watch_record import WatchRecord
from components.common.registry.promotion.promotion_log import InvalidRecordError, Promotion, read_promotions
from components.common.registry.watch_records import read_watch_records
from components.common.runtime.cost import read_metrics
from recap_model.config.reading.errors import first_reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

NEWEST = 90
"""How many versions a history has at most: a quarter of nightly runs."""


@dataclass(frozen=True)
class VersionHistory:
    """A version: its window and decision, what was measured at its registration and since, and what its run cost.

    ``evaluation`` and ``drift`` are None, and ``costs`` empty, of versions that earlier revisions registered without.
    ``problem`` says what of a version cannot be read; the page shows it instead of the reason.
    """

    number: str
    first_day: date | None
    last_day: date | None
    created: datetime | None
    outcome: str
    reason: str
    compared_with: str
    evaluation: Evaluation | None = None
    drift: DriftSummary | None = None
    watched: tuple[WatchRecord, ...] = ()
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Move:
    """A promotion or a rollback of the champion."""

    when: str
    who: str
    why: str
    source: str | None
    to: str
    is_rollback: bool


@dataclass(frozen=True)
class History:
    """A registered model: its newest versions, the oldest first, all moves, and the version of each alias.

    ``problem`` is that of a record of promotions which cannot be read.
    """

    name: str
    versions: tuple[VersionHistory, ...]
    moves: tuple[Move, ...]
    aliases: Mapping[str, str]
    problem: str = ""

    @property
    def watched(self) -> list[WatchRecord]:
        """The watched days of all versions, the oldest first."""
        return sorted(
            (record for version in self.versions for record in version.watched), key=lambda one: one.day
        )


def read_history(client: "MlflowClient", name: str, newest: int = NEWEST) -> History:
    """Read it from the registry. Raises RegistryError if that does not answer."""
    problem, promotions = "", []
    try:
        promotions = read_promotions(client, name)
    except InvalidRecordError as error:
        problem = str(error)
    versions = registry.versions(client, name)[:newest]
    champions = {version for move in promotions for version in (move.source, move.to)}
    return History(
        name=name,
        versions=tuple(_version(client, name, one, champions) for one in reversed(versions)),
        moves=tuple(map(_move, promotions)),
        aliases=registry.aliases(client, name),
        problem=problem,
    )


def _move(promotion: Promotion) -> Move:
    return Move(
        when=promotion.when,
        who=promotion.who,
        why=promotion.why,
        source=promotion.source,
        to=promotion.to,
        is_rollback=promotion.is_rollback,
    )


def _version(
    client: "MlflowClient", name: str, model_version: "ModelVersion", champions: set[str | None]
) -> VersionHistory:
    number, tags = str(model_version.version), model_version.tags
    first, _, last = tags.get(registry.WINDOW_TAG, "").partition("..")
    metrics = _run_metrics(client, model_version.run_id)
    watched: list[WatchRecord] = []
    evaluation, drift, reason, problem = None, None, "", ""
    try:
        if registry.DIGEST_TAG in tags:
            evaluation, drift, reason = _measured(client, name, number)
        if number in champions and model_version.run_id and metrics is not None:
            watched = read_watch_records(client, name, number, model_version.run_id)
    except (registry.RegistryError, ValueError) as error:
        problem = first_reason(error)
    return VersionHistory(
        number=number,
        first_day=_day(first),
        last_day=_day(last),
        created=_time(model_version.creation_timestamp),
        outcome=tags.get(registry.OUTCOME_TAG, ""),
        reason=reason,
        compared_with=tags.get(registry.COMPARED_TAG, "none"),
        evaluation=evaluation,
        drift=drift,
        watched=tuple(watched),
        costs=read_metrics(metrics or {}),
        problem=problem,
    )


def _measured(
    client: "MlflowClient", name: str, number: str
) -> tuple[Evaluation | None, DriftSummary | None, str]:
    """The evaluation, the drift and the decision's reason."""
    metrics = registry.fetch_file(client, name, number, f"evaluation/{METRICS_NAME}")
    result = registry.fetch_file(client, name, number, f"profile/{RESULT_NAME}")
    decision = registry.fetch_file(client, name, number, f"evaluation/{DECISION_NAME}")
    drift = json.loads(result).get("drift") if result else None
    return (
        Evaluation.model_validate_json(metrics) if metrics else None,
        DriftSummary.model_validate(drift) if drift and "against" in drift else None,
        str(json.loads(decision)["reason"]) if decision else "",
    )


def _run_metrics(client: "MlflowClient", run_id: str | None) -> dict[str, float] | None:
    """The metrics of a version's MLflow run; None if the run was deleted."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return None
    with registry.registry_errors(client):
        try:
            return dict(client.get_run(run_id).data.metrics)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _time(milliseconds: object) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if isinstance(milliseconds, int) else None
