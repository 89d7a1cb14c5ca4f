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
from typing import TYPE_CHECKING

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


def load_and_score(client: "MlflowClient", name: str, version: str) -> LoadTestResult:
    """Fetch a version, check its digests, and score its stored rows in a fresh process.

    Raises:
        RegistryError: an artifact was altered, it does not load, or its scores differ by more than 1e-5 from
            evaluate's.
    """
    import pandas as pd

    what = f"{name} version {version}"
    with tempfile.TemporaryDirectory(prefix="recap-proof-") as temporary:
        folder, results = Path(temporary) / "version", Path(temporary) / "results"
        results.mkdir()
        artifacts = fetch(client, name, version, folder)
        _score(artifacts, results, what)
        scored = pd.read_parquet(results / "scores.parquet")
        measured = json.loads((results / "measured.json").read_text())
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


def _score(artifacts: Path, results: Path, what: str) -> None:
    # -P: do not import from the script's own folder.
    command = [sys.executable, "-P", "-W", "ignore", load_test_process.__file__]
    arguments = [artifacts, artifacts / ROWS_PATH, results]
    try:
        done = subprocess.run(
            [*command, *map(str, arguments)],
            cwd=results,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RegistryError(
            f"{what}: not loaded and scored within {_TIMEOUT_S} s, so no alias is set; register the model again"
        ) from None
    if done.returncode < 0:
        raise RegistryError(
            f"{what}: the process that loads and scores it was {describe_signal(-done.returncode)}"
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RegistryError(f"{what}: does not load and score in a fresh process: {last}")


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
