"""The promotion log: who moved the champion, when, from, to and why, and which of several concurrent moves won.

MLflow's aliases have no compare-and-swap, but its store numbers the versions of a registered model sequentially. So
a promotion is recorded as a version, with its fields as tags, of the registered model ``NAME.promotions``. It names
the promotion that it was decided after (``after``); of several decided after the same one, the first recorded wins,
and every reader of the log gets the same answer. The aliases are moved after the record; if a process dies in
between, the next one moves them.
"""

import getpass
import random
import socket
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import Field

from components.common.registry.connection import RegistryError, registry_errors
from components.common.registry.versions import get_version, versions
from recap_model.config import StrictModel
from recap_model.config.fields.names import RECORD_SUFFIX
from recap_model.config.reading.errors import first_reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

APPROVED = "approved: "
"""Prefix of the reason of a promotion that a person approved."""

_PREFIX = "recap.move."
_ATTEMPTS = 20
_FINAL_ERRORS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED", "UNAUTHENTICATED")


def person() -> str:
    """User and host of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


class InvalidRecordError(RegistryError):
    """A version of the promotion log is not a promotion, because it was edited."""


class Audit(StrictModel):
    """Who promotes, when and why.

    ``token`` is an idempotency key: of several attempts with the same token, one is recorded.
    """

    who: str = Field(default_factory=person)
    when: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    why: str
    decision: str = ""
    token: str = Field(default_factory=lambda: uuid.uuid4().hex)


class Promotion(Audit):
    """A recorded promotion or rollback. ``source`` is None if there was no champion before."""

    number: int
    after: int
    source: str | None
    to: str
    applied: bool

    @property
    def is_rollback(self) -> bool:
        """Whether it is a rollback, which alone has no decision."""
        return not self.decision

    @property
    def is_approval(self) -> bool:
        """Whether a person approved it."""
        return self.why.startswith(APPROVED)


def record_name(name: str) -> str:
    """The registered model whose versions are the promotion log of another one."""
    return f"{name}{RECORD_SUFFIX}"


def read_promotions(client: "MlflowClient", name: str) -> list[Promotion]:
    """The valid promotions, the oldest first."""
    return _winners([_read(version) for version in reversed(versions(client, record_name(name)))])


def _winners(moves: Iterable[Promotion]) -> list[Promotion]:
    moves = sorted(moves, key=lambda move: move.number)
    numbers = {move.number for move in moves}
    winners: list[Promotion] = []
    last = 0
    for move in moves:
        # A deleted promotion was valid, because a later one was decided after it.
        if move.after == last or (move.after > last and move.after not in numbers):
            winners.append(move)
            last = move.number
    return winners


def append_promotion(
    client: "MlflowClient", name: str, source: str | None, to: str, after: int, audit: Audit
) -> None:
    """Record a promotion; `read_promotions` shows whether it is valid. Raises RegistryError."""
    from mlflow.exceptions import MlflowException

    _create_record(client, name)
    fields = {**audit.model_dump(), "from": source or "none", "to": to, "after": str(after)}
    tags = {f"{_PREFIX}{key}": str(value) for key, value in fields.items()}
    # A server accepts a source only together with its run.
    run_id = get_version(client, name, to).run_id or None
    with registry_errors(client):
        origin = client.get_model_version_download_uri(name, to)
        for attempt in range(_ATTEMPTS):
            try:
                client.create_model_version(record_name(name), origin, run_id, tags=tags)
                return
            except MlflowException as error:
                if error.error_code in _FINAL_ERRORS or attempt == _ATTEMPTS - 1:
                    raise
            if any(move.token == audit.token for move in _all_moves(client, name)):
                return
            # The store could not assign a number because of concurrent writes.
            time.sleep(random.uniform(0.01, 0.05) * (attempt + 1))


def mark_applied(client: "MlflowClient", name: str, move: Promotion) -> None:
    """Record that a promotion has been applied to the aliases."""
    with registry_errors(client):
        client.set_model_version_tag(record_name(name), str(move.number), f"{_PREFIX}applied", "yes")


def _all_moves(client: "MlflowClient", name: str) -> list[Promotion]:
    return [_read(version) for version in versions(client, record_name(name))]


def _create_record(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    words = f"Moves of {name}'s champion: a version for each. Written by recap; the newest valid one decides."
    with registry_errors(client):
        try:
            client.create_registered_model(record_name(name), description=words)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"its tag {_PREFIX}after is {text!r}, not a number")
    return int(text)


def _read(version: "ModelVersion") -> Promotion:
    tags = {
        key.removeprefix(_PREFIX): value for key, value in version.tags.items() if key.startswith(_PREFIX)
    }
    try:
        return Promotion(
            number=int(version.version),
            after=_number(tags["after"]),
            source=None if tags["from"] == "none" else tags["from"],
            to=tags["to"],
            applied="applied" in tags,
            **{field: tags[field] for field in Audit.model_fields},
        )
    except (KeyError, ValueError) as error:
        what = (
            f"it lacks the tag {_PREFIX}{error.args[0]}"
            if isinstance(error, KeyError)
            else first_reason(error)
        )
        raise InvalidRecordError(
            f"{version.name} version {version.version}: is not a valid promotion record ({what}); restore its tags, "
            "or delete this version"
        ) from None
