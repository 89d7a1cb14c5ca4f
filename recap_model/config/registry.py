"""Where models are registered, who may promote them, and who is told."""

from pydantic import Field, PositiveFloat, PositiveInt

from recap_model.config.base import Config


class WebhookConfig(Config):
    """A URL that events are posted to as JSON, signed with a secret; components/artifacts/notify.py has the form."""

    url: str = Field(pattern=r"^https?://[^/\s]+\S*$", description="http:// or https://")
    secret_env: str = Field(
        "RECAP_WEBHOOK_SECRET", min_length=1, description="environment variable that holds the secret"
    )
    attempts: PositiveInt = 4
    timeout_s: PositiveFloat = Field(5.0, description="of one attempt; the pause before the next one doubles")


class RegistryConfig(Config):
    """A registered model of an MLflow tracking server or store."""

    model_name: str = Field("recap", min_length=1, pattern=r"^[^/:]+$", description="no '/' or ':'")
    experiment: str = "recap"
    tracking_uri: str | None = Field(
        None, description="of MLflow; MLFLOW_TRACKING_URI, else SQLite in the workspace, if not given"
    )
    require_approval: bool = Field(
        False, description="a version that the gate lets pass waits as challenger until a person approves it"
    )
    onnx: bool = Field(False, description="pack the model as an ONNX graph, too; needs the extra onnx")
    webhook: WebhookConfig | None = None
