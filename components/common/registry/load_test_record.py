"""The record of a version's proof: its outcome as a tag of the version, what was measured as metrics of its run."""

from typing import TYPE_CHECKING

from pydantic import ValidationError

from components.common.artifacts.registered_version import Proof
from components.common.registry.connection import RegistryError, in_one_line
from components.common.registry.run_metrics import log_metrics
from components.common.registry.versions import PROOF_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_METRICS = "proof/"
_PASSED, _OTHER_PACKAGES = "passed", "passed, with other releases than required: "
_LONGEST_TAG = 5000


def record_proof(client: "MlflowClient", version: "ModelVersion", proof: Proof) -> None:
    """Record a proof that a version has passed."""
    measured = proof.model_dump(exclude={"other_packages"})
    others = ", ".join(proof.other_packages)
    with in_one_line(client):
        log_metrics(
            client,
            version.run_id,
            [(f"{_METRICS}{name}", float(number), 0) for name, number in measured.items()],
        )
        # The tag last: a version that has it is not proven again, by an attempt that would log these.
        _tag(client, version, f"{_OTHER_PACKAGES}{others}" if others else _PASSED)


def record_failure(client: "MlflowClient", version: "ModelVersion", failure: RegistryError) -> None:
    """Record why a version has not passed its proof."""
    with in_one_line(client):
        _tag(client, version, f"failed: {failure}")
        client.set_terminated(version.run_id, "FAILED")


def read_proof(client: "MlflowClient", version: "ModelVersion") -> Proof | None:
    """The proof that a version has passed; None if none is recorded, or the record was altered or deleted."""
    from mlflow.exceptions import MlflowException

    tag = version.tags.get(PROOF_TAG, "")
    if not passed(tag) or not version.run_id:
        return None
    if tag.startswith("{"):
        return Proof.model_validate_json(tag)
    with in_one_line(client):
        try:
            metrics = client.get_run(version.run_id).data.metrics
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
    measured = {
        name.removeprefix(_METRICS): number for name, number in metrics.items() if name.startswith(_METRICS)
    }
    others = tag.removeprefix(_OTHER_PACKAGES).split(", ") if tag.startswith(_OTHER_PACKAGES) else []
    try:
        return Proof.model_validate({**measured, "other_packages": others})
    except ValidationError:
        return None


def passed(tag: str) -> bool:
    """Whether a version's `PROOF_TAG` says that it has passed its proof; releases before wrote all of it as JSON."""
    if not tag.startswith("{"):
        return tag == _PASSED or tag.startswith(_OTHER_PACKAGES)
    try:
        Proof.model_validate_json(tag)
    except ValidationError:
        return False
    return True


def _tag(client: "MlflowClient", version: "ModelVersion", text: str) -> None:
    client.set_model_version_tag(version.name, version.version, PROOF_TAG, text[:_LONGEST_TAG])
