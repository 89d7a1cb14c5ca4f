"""A registry of packaged versions to serve, and a server's process."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import requests

from components.common import registry
from components.common.registry.load_test.check import store_rows
from components.register.package import package
from components.serve.server import ServeSettings, serve
from recap_model import RecapConfig, create_ranking_model, data_spec, save_model
from recap_model.serving import RecapPyfunc
from tests.fork_server import start

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from mlflow import MlflowClient

NAME = "tiny"


def add_version(
    client: "MlflowClient", folder: Path, config: RecapConfig, rows: pa.Table, seed: int, shift: float = 0.0
) -> str:
    """Register an untrained model; returns its version.

    Args:
        folder: where the version lies; it must not exist.
        rows: of its load test.
        shift: is added to the scores that evaluate is said to have had.
    """
    import torch

    torch.manual_seed(seed)
    model = folder.with_name(f"{folder.name}.model")
    save_model(create_ranking_model(data_spec(config), config, "cpu").eval(), model, config)
    pyfunc = RecapPyfunc(str(model))
    columns = [name for name in rows.column_names if name in config.features.columns()]
    scores = pd.DataFrame(pyfunc.score(rows).scores + np.float32(shift), columns=pyfunc.outputs)
    package(
        model, rows.select(columns).slice(0, 3), config, folder, lambda out: store_rows(out, rows, scores)
    )
    digest = hashlib.sha256((folder / registry.DIGESTS_NAME).read_bytes()).hexdigest()
    made = client.create_model_version(NAME, folder.as_uri(), tags={registry.DIGEST_TAG: digest})
    return str(made.version)


def pyfunc_of(folder: Path) -> RecapPyfunc:
    """The model of a version's folder, in this process."""
    return RecapPyfunc(str(folder / registry.MODEL_PATH))


def run_server(settings: ServeSettings, log: str) -> None:
    """`serve`, with its log in a file: what a server's process calls."""
    import logging

    logging.basicConfig(filename=log, level=logging.INFO, force=True)
    serve(settings)


@contextmanager
def running(settings: ServeSettings, log: Path) -> Iterator[tuple[str, "BaseProcess"]]:
    """A server's process that is ready, and its address."""
    address = f"http://127.0.0.1:{settings.port}"
    process = start(run_server, settings, str(log))
    try:
        assert wait_until(lambda: _is_ready(address) or not process.is_alive(), 60)
        assert process.is_alive(), log.read_text()
        yield address, process
    finally:
        process.kill()
        process.join()


def _is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/ready", timeout=5).ok
    except requests.ConnectionError:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll a condition until it holds or the time is over; returns whether it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def write_stream(rows: pa.Table) -> bytes:
    """Rows as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()
