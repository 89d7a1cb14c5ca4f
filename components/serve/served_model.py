"""A version of the registry, downloaded, verified and loaded to score requests."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.common import registry
from components.common.registry.load_test.check import ROWS_PATH, check_scores
from recap_model.config.reading.errors import first_reason
from recap_model.serving import RecapPyfunc

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class ServedModel:
    """A loaded version.

    Attributes:
        pyfunc: scores rows.
    """

    name: str
    version: str
    pyfunc: RecapPyfunc

    def __str__(self) -> str:
        return f"models:/{self.name}/{self.version}"


def load_version(client: "MlflowClient", name: str, version: str) -> ServedModel:
    """Download a version, verify each file's digest, load it, and score the rows of its load test.

    It is loaded by this process's code, not by the copy inside the version: nothing of the version is imported, and
    versions of different releases are served one after another by one process. That the scores are equal is checked.

    Raises:
        RegistryError: it cannot be read, a file was altered, it does not load, or its scores differ by more than
            1e-5 from evaluate's.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    what = f"{name} version {version}"
    with tempfile.TemporaryDirectory(prefix="recap-serve-") as folder:
        artifacts = registry.fetch(client, name, version, Path(folder))
        try:
            pyfunc = RecapPyfunc(str(artifacts / registry.MODEL_PATH))
            scores = pyfunc.score(pq.read_table(artifacts / ROWS_PATH)).scores
        except (ValueError, OSError) as error:
            raise registry.RegistryError(f"{what}: does not load and score: {first_reason(error)}") from None
        check_scores(artifacts, pd.DataFrame(scores, columns=pyfunc.outputs), what)
    return ServedModel(name, version, pyfunc)
