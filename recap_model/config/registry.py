"""Where models are registered."""

from pydantic import Field

from recap_model.config.base import Config


class RegistryConfig(Config):
    """A registered model of an MLflow tracking server or store."""

    model_name: str = Field("recap", min_length=1, pattern=r"^[^/:]+$", description="no '/' or ':'")
    experiment: str = "recap"
    tracking_uri: str | None = Field(
        None, description="of MLflow; MLFLOW_TRACKING_URI, else SQLite in the workspace, if not given"
    )
