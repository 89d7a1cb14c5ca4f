"""Find or create an MLflow experiment."""

from typing import TYPE_CHECKING

from components.common.registry.connection import artifact_location

if TYPE_CHECKING:
    from mlflow import MlflowClient


def experiment_id(client: "MlflowClient", name: str, tracking_uri: str) -> str:
    """The experiment's id; a new experiment is created with a fixed artifact location.

    Raises ValueError for one that is deleted.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            created: str = client.create_experiment(name, artifact_location=artifact_location(tracking_uri))
            return created
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage != "active":
        raise ValueError(
            f"registry.experiment: {name!r} is deleted in MLflow; restore it with mlflow experiments restore "
            f"-x {experiment.experiment_id}, or name another one"
        )
    experiment_id: str = experiment.experiment_id
    return experiment_id
