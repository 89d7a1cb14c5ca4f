"""Load test of a registered version: fetch it, load it in a fresh process, and compare its scores with evaluate's.

A version's artifacts contain rows of the test set and evaluate's scores of them, so that the model that was evaluated
is shown to be the one that is registered.
"""

import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from components.common.artifacts.registered_version import LoadTestResult, RegisteredVersion
from components.common.registry import DIGEST_TAG, RegistryError, fetch, get_version
from components.common.registry.load_test import process as load_test_process
from components.common.runtime.process_pool import describe_signal

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from mlflow import MlflowClient

ROWS_PATH, SCORES_PATH = "proof/rows.parquet", "proof/scores.parquet"
TOLERANCE = 1e-5
_TIMEOUT_S = 600

log = logging.getLogger(__name__)


def store_rows(folder: Path, rows: "pa.Table", scores: "pd.DataFrame") -> None:
    """Store the load test's rows, and evaluate's scores of them, in a version's artifacts."""
    import pyarrow.parquet as pq

    (folder / ROWS_PATH).parent.mkdir()
    pq.write_table(rows, folder / ROWS_PATH)
    scores.to_parquet(folder / SCORES_PATH)


class LoadTestProcess:
    """A fresh process that loads and scores a version with these requirements; it imports them at once.

    Args:
        requirements: as in ``requirements.txt``.
    """

    def __init__(self, requirements: str) -> None:
        self.requirements = requirements
        self._folder = tempfile.TemporaryDirectory(prefix="recap-proof-")
        # -P: do not import from the script's own folder.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", load_test_process.__file__, requirements],
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def score(self, artifacts: Path, what: str) -> tuple["pd.DataFrame", dict[str, Any]]:
        """Scores of a version's stored rows, and measurements. Raises RegistryError if it does not load and score."""
        import pandas as pd

        results = Path(self._folder.name)
        given = [str(path) for path in (artifacts, artifacts / ROWS_PATH, results)]
        try:
            _, errors = self._process.communicate(json.dumps(given) + "\n", timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise RegistryError(
                f"{what}: not loaded and scored within {_TIMEOUT_S} s, so no alias is set; register the model again"
            ) from None
        status = self._process.returncode
        if status < 0:
            raise RegistryError(
                f"{what}: the process that loads and scores it was {describe_signal(-status)}"
            )
        if status:
            last = (errors.strip().splitlines() or [f"exit status {status}"])[-1]
            raise RegistryError(f"{what}: does not load and score in a fresh process: {last}")
        return pd.read_parquet(results / "scores.parquet"), json.loads(
            (results / "measured.json").read_text()
        )


def load_and_score(
    client: "MlflowClient", name: str, version: str, ahead: LoadTestProcess | None = None
) -> LoadTestResult:
    """Fetch a version, check its digests, and score its stored rows in a fresh process.

    Args:
        ahead: a process that was started before; another one is started if the version has other requirements.

    Raises:
        RegistryError: an artifact was altered, it does not load, or its scores differ by more than 1e-5 from
            evaluate's.
    """
    what = f"{name} version {version}"
    with tempfile.TemporaryDirectory(prefix="recap-proof-") as temporary:
        artifacts = fetch(client, name, version, Path(temporary) / "version")
        requirements = (artifacts / "requirements.txt").read_text()
        if ahead is not None and ahead.requirements == requirements:
            scored, measured = ahead.score(artifacts, what)
        else:
            with LoadTestProcess(requirements) as process:
                scored, measured = process.score(artifacts, what)
        if measured["other_packages"]:
            log.warning("version=%r event=proof packages=%s", what, ", ".join(measured["other_packages"]))
        difference = check_scores(artifacts, scored, what)
    return LoadTestResult(rows=len(scored), worst_difference=difference, **measured)


def check_unchanged_version(client: "MlflowClient", registered: RegisteredVersion) -> None:
    """Check that a version's files are byte for byte those that passed the load test of register.

    Raises RegistryError if they are not.
    """
    what = f"{registered.name} version {registered.version}"
    tags = get_version(client, registered.name, registered.version).tags
    if tags.get(DIGEST_TAG) != registered.model_digest:
        raise RegistryError(f"{what}: {DIGEST_TAG} was altered after registration; register the model again")
    with tempfile.TemporaryDirectory(prefix="recap-proof-") as folder:
        fetch(client, registered.name, registered.version, Path(folder) / "version")


def check_scores(artifacts: Path, scored: "pd.DataFrame", what: str) -> float:
    """Compare scores of the stored rows with evaluate's; returns the largest difference.

    A column with values above 1, such as a weighted score, is divided by its largest value.

    Raises RegistryError if the columns or rows are others, or scores differ by more than 1e-5.
    """
    import pandas as pd

    expected = pd.read_parquet(artifacts / SCORES_PATH)
    if list(expected.columns) != list(scored.columns) or len(expected) != len(scored):
        raise RegistryError(
            f"{what}: after loading it scores other tasks or rows than evaluate did; register the model again"
        )
    before, after = expected.to_numpy(np.float64), scored.to_numpy(np.float64)
    scale = np.maximum(1.0, np.abs(before).max(axis=0))
    difference = float((np.abs(before - after) / scale).max())
    if not difference <= TOLERANCE:
        raise RegistryError(
            f"{what}: scores after loading differ from evaluate's by {difference:.3g}; at most {TOLERANCE:g} is "
            "allowed; register the model again"
        )
    return difference
