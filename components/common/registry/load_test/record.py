"""Record of a version's load test: the outcome as a tag of the version, the measurements as metrics of its run."""

from typing import TYPE_CHECKING

from pydantic import ValidationError

from components.common.artifacts.registered_version import LoadTestResult
from components.common.registry.connection import RegistryError, registry_errors
from components.common.registry.run_metrics import log_metrics
from components.common.registry.versions import LOAD_TEST_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_METRICS = "proof/"
_PASSED, _OTHER_PACKAGES = "passed", "passed, with other releases than required: "
_LONGEST_TAG = 5000


def record_load_test(client: "MlflowClient", version: "ModelVersion", proof: LoadTestResult) -> None:
    """Record that a version has passed its load test."""
    measured = proof.model_dump(exclude={"other_packages"})
    others = ", ".join(proof.other_packages)
    with registry_errors(client):
        log_metrics(
            client,
            version.run_id,
            [(f"{_METRICS}{name}", float(number), 0) for name, number in measured.items()],
        )
        # The tag last: a version that has it is not tested again, and only a test logs these metrics.
        _tag(client, version, f"{_OTHER_PACKAGES}{others}" if others else _PASSED)


def record_failure(client: "MlflowClient", version: "ModelVersion", failure: RegistryError) -> None:
    """Record why a version has failed its load test."""
    with registry_errors(client):
        _tag(client, version, f"failed: {failure}")
        client.set_terminated(version.run_id, "FAILED")


def read_load_test(client: "MlflowClient", version: "ModelVersion") -> LoadTestResult | None:
    """The load test that a version has passed; None if none is recorded, or the record was altered or deleted."""
    from mlflow.exceptions import MlflowException

    tag = version.tags.get(LOAD_TEST_TAG, "")
    if not passed(tag) or not version.run_id:
        return None
    if tag.startswith("{"):
        return LoadTestResult.model_validate_json(tag)
    with registry_errors(client):
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
        return LoadTestResult.model_validate({**measured, "other_packages": others})
    except ValidationError:
        return None


def passed(tag: str) -> bool:
    """Whether a version's `LOAD_TEST_TAG` says that it has passed; earlier releases wrote JSON."""
    if not tag.startswith("{"):
        return tag == _PASSED or tag.startswith(_OTHER_PACKAGES)
    try:
        LoadTestResult.model_validate_json(tag)
    except ValidationError:
        return False
    return True


def _tag(client: "MlflowClient", version: "ModelVersion", text: str) -> None:
    client.set_model_version_tag(version.name, version.version, LOAD_TEST_TAG, text[:_LONGEST_TAG])
