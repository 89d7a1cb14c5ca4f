"""The record of a champion's moves: who moved it, when, from, to and why, and which of two at once has won.

MLflow's aliases have no compare-and-swap. Its store gives the versions of a registered model their numbers one by
one, though, whoever asks; so a move is a version, with all of the move in its tags, of a model beside the real
one, ``NAME.promotions``. A move says after which move it was decided (``after``). Of several decided after the
same one the first has won, and everybody who reads the record comes to the same answer. The aliases follow the
record: should a promoter die between the two, the next one that comes by lets them follow.
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

from components.common.registry import RegistryError, get_version, registry_errors, versions
from recap_model.config import StrictModel
from recap_model.config.fields.names import RECORD_SUFFIX
from recap_model.config.reading.errors import first_reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_PREFIX = "recap.move."
_ATTEMPTS = 20
_FINAL_ERRORS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED", "UNAUTHENTICATED")


def person() -> str:
    """Who runs this process, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user needs no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


class BrokenMoveError(RegistryError):
    """A version of the record holds no move: somebody edited it."""


class Audit(StrictModel):
    """Why a champion moves.

    ``token`` names the attempt: a move with the same one is the same move, made once however often it is tried.
    """

    who: str = Field(default_factory=person)
    when: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    why: str
    decision: str = ""
    token: str = Field(default_factory=lambda: uuid.uuid4().hex)


class Move(Audit):
    """A move as it was recorded. ``source`` is None where there was no champion before."""

    number: int
    after: int
    source: str | None
    to: str
    applied: bool

    @property
    def is_rollback(self) -> bool:
        """Whether it is a rollback: no other move is made without a decision."""
        return not self.decision


def record_name(name: str) -> str:
    """The registered model whose versions are the moves of another one's champion."""
    return f"{name}{RECORD_SUFFIX}"


def read_moves(client: "MlflowClient", name: str) -> list[Move]:
    """The moves that have won, the oldest first."""
    return _winners([_read(version) for version in reversed(versions(client, record_name(name)))])


def _winners(moves: Iterable[Move]) -> list[Move]:
    moves = sorted(moves, key=lambda move: move.number)
    numbers = {move.number for move in moves}
    winners: list[Move] = []
    last = 0
    for move in moves:
        # A move that was deleted by hand has won in its time, or none would have been decided after it.
        if move.after == last or (move.after > last and move.after not in numbers):
            winners.append(move)
            last = move.number
    return winners


def append_move(
    client: "MlflowClient", name: str, source: str | None, to: str, after: int, audit: Audit
) -> None:
    """Record a move; whether it has won is for `read_moves` to say. Raises RegistryError."""
    from mlflow.exceptions import MlflowException

    _create_record(client, name)
    said = {**audit.model_dump(), "from": source or "none", "to": to, "after": str(after)}
    tags = {f"{_PREFIX}{key}": str(value) for key, value in said.items()}
    # A server takes a source only together with the run that it belongs to.
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
            # Others record at the same time, and the store gave up on giving this one a number.
            time.sleep(random.uniform(0.01, 0.05) * (attempt + 1))


def mark_applied(client: "MlflowClient", name: str, move: Move) -> None:
    """Record that the aliases have followed a move."""
    with registry_errors(client):
        client.set_model_version_tag(record_name(name), str(move.number), f"{_PREFIX}applied", "yes")


def _all_moves(client: "MlflowClient", name: str) -> list[Move]:
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


def _read(version: "ModelVersion") -> Move:
    said = {
        key.removeprefix(_PREFIX): value for key, value in version.tags.items() if key.startswith(_PREFIX)
    }
    try:
        return Move(
            number=int(version.version),
            after=_number(said["after"]),
            source=None if said["from"] == "none" else said["from"],
            to=said["to"],
            applied="applied" in said,
            **{field: said[field] for field in Audit.model_fields},
        )
    except (KeyError, ValueError) as error:
        what = (
            f"it lacks the tag {_PREFIX}{error.args[0]}"
            if isinstance(error, KeyError)
            else first_reason(error)
        )
        raise BrokenMoveError(
            f"{version.name} version {version.version}: is no record of a move ({what}); put its tags back, or "
            "delete this version of the record"
        ) from None
