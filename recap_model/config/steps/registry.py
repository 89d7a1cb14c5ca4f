"""The section `registry`: the registered model, its server, and approval."""

from pydantic import Field

from recap_model.config.base import StrictModel
from recap_model.config.fields.names import ModelName, Name
from recap_model.config.fields.uris import Address


class RegistryConfig(StrictModel):
    """A registered model of an MLflow tracking server or store."""

    model_name: ModelName = Field("recap", description="name of the registered model")
    experiment: Name = Field("recap", description="MLflow experiment of the runs")
    tracking_uri: Address | None = Field(
        None, description="of MLflow; MLFLOW_TRACKING_URI, else SQLite in the workspace, if not given"
    )
    require_approval: bool = Field(
        False, description="a version that the gate lets pass waits as challenger until a person approves it"
    )
    onnx: bool = Field(False, description="pack the model as an ONNX graph, too; needs the extra onnx")
