"""Versions of a registered model, their tags and their aliases."""

import re
from typing import TYPE_CHECKING, Literal

from components.common.artifacts.snapshot import Champion
from components.common.registry.connection import RegistryError, registry_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# candidate: the newest version that passed its load test; challenger: waits for a person's approval.
Alias = Literal["candidate", "challenger", "champion", "previous"]

# Tags of a version; everything else about its origin is in its artifacts, in LINEAGE_PATH:
ANCHOR_TAG = "recap.anchor"  # the anchor's version, if it was compared with one
BETTER_TAG = "recap.better_than_anchor"  # "yes" or "no", as ANCHOR_TAG
APPROVAL_TAG = "recap.approval"  # "person" if a person has to approve versions that pass the gate
COMPARED_TAG = "recap.compared_with"  # the champion's version, or "none"
DECISION_TAG = "recap.decision_digest"
DIGEST_TAG = "recap.model_digest"  # the SHA-256 of the file that lists the digests of all others
OUTCOME_TAG = "recap.outcome"
PIPELINE_RUN_TAG = "recap.pipeline_run"
LOAD_TEST_TAG = "recap.proof"  # "passed" or "failed", and more; see load_test/record.py
WINDOW_TAG = "recap.window"

LONGEST_DESCRIPTION = 5000  # characters that MLflow's databases take

_NAMED_VERSION = re.compile(r"(?:models:/)?([^/@]+)(?:/(\d+)|@([\w-]+))")


def aliases(client: "MlflowClient", name: str) -> dict[str, str]:
    """The version that each alias of a registered model points to; empty if the model does not exist."""
    from mlflow.exceptions import MlflowException

    with registry_errors(client):
        try:
            targets = client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
    return {alias: str(version) for alias, version in targets.items()}


def champion(client: "MlflowClient", name: str) -> Champion | None:
    """The version with the alias ``champion``, and its MLflow run; None without one."""
    version = aliases(client, name).get("champion")
    if version is None:
        return None
    return Champion(version=version, run_id=get_version(client, name, version).run_id or "")


def get_version(client: "MlflowClient", name: str, version: str) -> "ModelVersion":
    """One version. Raises RegistryError if it does not exist."""
    from mlflow.exceptions import MlflowException

    with registry_errors(client):
        try:
            return client.get_model_version(name, version)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise RegistryError(
                f"model {name}: has no version {version}; recap models --name {name} lists the versions"
            ) from None


def find_named_version(client: "MlflowClient", model: str) -> tuple[str, str]:
    """The name and the number of ``NAME/VERSION`` or ``NAME@ALIAS``, with or without ``models:/`` before it.

    Raises RegistryError if it is neither, or the version or alias does not exist.
    """
    match = _NAMED_VERSION.fullmatch(model)
    if match is None:
        raise RegistryError(f"{model!r} names no version; give NAME/VERSION or NAME@ALIAS")
    name, version, alias = match.groups()
    if alias is not None:
        held = aliases(client, name)
        if alias not in held:
            known = ", ".join(sorted(held)) or "none"
            raise RegistryError(f"model {name}: has no alias {alias}; aliases: {known}")
        version = held[alias]
    return name, str(get_version(client, name, version).version)


def versions(client: "MlflowClient", name: str) -> "list[ModelVersion]":
    """All versions of a registered model, the newest first."""
    collected: list[ModelVersion] = []
    token = None
    with registry_errors(client):
        while True:
            page = client.search_model_versions(f"name={_quoted(name)}", max_results=1000, page_token=token)
            collected += page
            token = page.token
            if not token:
                return sorted(collected, key=lambda version: -int(version.version))


def find_version(client: "MlflowClient", name: str, run_id: str) -> "ModelVersion | None":
    """The version that a pipeline run registered, or None."""
    return next(
        (version for version in versions(client, name) if version.tags.get(PIPELINE_RUN_TAG) == run_id), None
    )


def _quoted(name: str) -> str:
    return '"' + name + '"' if "'" in name else "'" + name + "'"


def move_alias(client: "MlflowClient", name: str, alias: Alias, version: str | None) -> None:
    """Set an alias to a version, or delete it. The only place that writes aliases."""
    with registry_errors(client):
        if version is None:
            client.delete_registered_model_alias(name, alias)
        else:
            client.set_registered_model_alias(name, alias, version)
