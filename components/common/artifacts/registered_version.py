"""The output of register: the registered model version and the result of its load test."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt

from recap_model.config import StrictModel
from recap_model.json_files import read_model

VERSION_NAME = "version.json"


class LoadTestResult(StrictModel):
    """Measurements of a passed load test, `components.common.registry.load_test.check`.

    ``worst_difference`` is the largest difference from evaluate's scores of the same rows; ``other_packages`` are
    those installed in another release than the version requires.
    """

    rows: PositiveInt
    worst_difference: NonNegativeFloat
    load_s: NonNegativeFloat
    median_latency_ms: NonNegativeFloat
    worst_latency_ms: NonNegativeFloat
    peak_memory_mib: NonNegativeFloat
    other_packages: list[str] = []


class RegisteredVersion(StrictModel):
    """A version of a registered model. ``run_id`` is MLflow's, ``pipeline_run`` the pipeline's own.

    ``require_approval``, from the run's config, is whether a person has to approve.
    """

    format: Literal["recap-version/1"] = "recap-version/1"
    name: str
    version: str
    run_id: str
    pipeline_run: str
    tracking_uri: str
    model_uri: str
    model_digest: str
    decision_digest: str
    proof: LoadTestResult
    require_approval: bool = False

    @classmethod
    def read(cls, folder: str | Path) -> "RegisteredVersion":
        """Read what register wrote. Raises FileNotFoundError or ValueError naming the file."""
        return read_model(Path(folder) / VERSION_NAME, cls, "register")
