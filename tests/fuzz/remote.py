"""Readers of what a server says: the registry's database and tags, and a webhook's answer."""

import contextlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock
from uuid import uuid4

from components.common import registry
from components.common.registry.promotion.promotion_log import read_promotions
from components.common.runtime import webhook
from pipeline.cli.registry.versions import alias_warning, describe_version, list_versions, version_table
from tests.components.registries import NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient


def read_database(folder: Path) -> object:
    """All that steps and commands ask of a registry."""
    with _copied(folder) as client:
        return _asked(client, folder)


def read_tags(folder: Path) -> object:
    """The same of one whose versions have the tags of a file."""
    from mlflow.exceptions import MlflowException

    try:
        altered = json.loads((folder / "tags.json").read_bytes())
    except (ValueError, RecursionError):
        return None  # no tags that a server could have
    with _copied(folder) as client:
        for model, versions in _mapping(altered):
            for version, tags in _mapping(versions):
                # What MLflow does not take is in no registry.
                with contextlib.suppress(MlflowException):
                    _set_tags(client, model, version, dict(_mapping(tags)))
        return _asked(client, folder)


def send_to_webhook(folder: Path) -> object:
    """An event to a server that answers with a file."""
    answer = (folder / "answer").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer_all, args=(listener, answer), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            mock.patch.dict(os.environ, {webhook.URL: address}),
            mock.patch.multiple(webhook, _PAUSES_S=(0.0, 0.0, 0.0), _ANSWER_S=1.0),
        ):
            arrived = webhook.send("fuzz", {})
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    if not arrived:
        raise ValueError("did not arrive")
    return arrived


def _answer_all(listener: socket.socket, answer: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(answer)


@contextlib.contextmanager
def _copied(folder: Path) -> Iterator["MlflowClient"]:
    """A client of a copy of the registry's database, under a name that MLflow has not seen."""
    path = folder / "out" / f"{uuid4()}.db"
    shutil.copyfile(folder / "workspace" / "mlflow.db", path)
    client = registry.connect(f"sqlite:///{path}")
    try:
        yield client
    finally:
        for store in (client._tracking_client.store, client._get_registry_client().store):
            store.engine.dispose()


def _set_tags(client: "MlflowClient", model: str, version: str, tags: dict[str, Any]) -> None:
    for tag in client.get_model_version(model, version).tags:
        if tag not in tags:
            client.delete_model_version_tag(model, version, tag)
    for tag, value in tags.items():
        client.set_model_version_tag(model, version, tag, value if isinstance(value, str) else repr(value))


def _mapping(value: Any) -> list[tuple[str, Any]]:
    return [(str(key), inside) for key, inside in value.items()] if isinstance(value, dict) else []


def _asked(client: "MlflowClient", folder: Path) -> object:
    version_table(NAME, list_versions(client, NAME, 10)[0], width=80)
    for version in registry.aliases(client, NAME).values():
        describe_version(client, NAME, version)
        registry.fetch_file(client, NAME, version, registry.PROFILE_PATH)
        registry.download(client, NAME, version, folder / "out" / "version")
    return registry.champion(client, NAME), alias_warning(client, NAME), read_promotions(client, NAME)
