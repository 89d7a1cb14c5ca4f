"""Requests of 1,500 candidates through `recap serve` beside the pyfunc in process, and promotions under load.

``python -m tests.benchmarks.serving [--requests 200] [--promotions 50] [--clients 2]``
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import requests
import torch

from components.common import registry
from components.serve.payload import ARROW, JSON, PARAMS_KEY, PARQUET
from components.serve.server import ServeSettings
from recap_model.config import RecapConfig, load_config
from tests.benchmarks.scoring.rows import random_rows
from tests.benchmarks.sequences.__main__ import config_with
from tests.components.registries import new_registry
from tests.components.serve.versions import NAME, add_version, running, wait_until, write_stream
from tests.recap_model.sequences import READERS
from tests.servers import free_port

CANDIDATES, EVENTS = 1500, 100
SAMPLE = Path(__file__).parents[3] / "pipeline" / "configs" / "sample.yaml"
NOW = 1_772_323_200_000
HISTORY: dict[str, Any] = {
    "hist_items": list(range(EVENTS)),
    "hist_authors": [f"author {number % 17}" for number in range(EVENTS)],
    "hist_surface": [number % 16 for number in range(EVENTS)],
    "hist_actions": [["like"] if number % 3 else [] for number in range(EVENTS)],
    "hist_dwell_s": [number / 7 for number in range(EVENTS)],
    "hist_ms": [NOW - 60_000 * number for number in range(EVENTS)],
    "impressed_ms": NOW,
}
Run = Callable[[], object]


def ways(version: Path, rows: pa.Table, address: str, history: dict[str, Any] | None) -> dict[str, Run]:
    """Every way to score the rows."""
    loaded = mlflow.pyfunc.load_model(str(version))
    frame, params = rows.to_pandas(), {"history": history} if history else {}
    for field in rows.schema:
        if pa.types.is_nested(field.type):
            frame[field.name] = rows[field.name].to_pylist()
    records = {"columns": rows.column_names, "data": [list(row.values()) for row in rows.to_pylist()]}
    split = json.dumps({"dataframe_split": records, "params": params}).encode()
    with_params = rows.replace_schema_metadata({PARAMS_KEY: json.dumps(params)})
    file = pa.BufferOutputStream()
    pq.write_table(rows, file)
    session = requests.Session()

    def post(body: bytes, kind: str) -> bytes:
        answer = session.post(f"{address}/invocations", body, headers={"Content-Type": kind}, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.content

    arrow, parquet = write_stream(with_params), file.getvalue().to_pybytes()
    found: dict[str, Run] = {
        "pyfunc, frame": lambda: loaded.predict(frame, params=params),
        "pyfunc, Arrow": lambda: loaded.get_raw_model().predict(rows, params),
        "server, Arrow": lambda: pa.ipc.open_stream(post(arrow, ARROW)).read_all(),
        "server, JSON": lambda: json.loads(post(split, JSON)),
    }
    if not history:
        found["server, Parquet"] = lambda: json.loads(post(parquet, PARQUET))
    return found


def measure(runs: dict[str, Run], count: int) -> None:
    """Print p50 and p99 of each way, taken in turns, and how many times those of the pyfunc they are."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(count + 5):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if turn >= 5:
                taken[name].append((time.perf_counter() - began) * 1e3)
    base = np.percentile(taken["pyfunc, frame"], [50, 99])
    print("\n| | p50, ms | p99, ms | × p50 | × p99 |\n|---|---|---|---|---|")
    for name, values in taken.items():
        low, high = np.percentile(values, [50, 99])
        print(f"| {name} | {low:.1f} | {high:.1f} | {low / base[0]:.2f} | {high / base[1]:.2f} |", flush=True)


def promote_under_load(
    address: str, uri: str, versions: list[str], rows: pa.Table, promotions: int, clients: int
) -> None:
    """Move the alias to and fro while clients that keep their connections send requests."""
    client, done = registry.connect(uri), threading.Event()
    body, taken, failed = write_stream(rows), [], []

    def ask() -> None:
        session = requests.Session()
        while not done.is_set():
            began = time.perf_counter()
            try:
                answer = session.post(
                    f"{address}/invocations", body, headers={"Content-Type": ARROW}, timeout=60
                )
                if answer.status_code != 200:
                    failed.append(answer.text)
            except requests.RequestException as error:
                failed.append(str(error))
            taken.append((time.perf_counter() - began) * 1e3)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    waits = []
    for number in range(promotions):
        version = versions[(number + 1) % len(versions)]
        began = time.perf_counter()
        registry.move_alias(client, NAME, "champion", version)
        assert wait_until(lambda version=version: _served(address) == version, 60)
        waits.append(time.perf_counter() - began)
    done.set()
    for thread in threads:
        thread.join()
    low, high = np.percentile(taken, [50, 99])
    print(
        f"\n{promotions} promotions: {len(taken):,} requests of {clients} clients, {len(failed)} failed; p50 "
        f"{low:.1f} ms, p99 {high:.1f} ms; served "
        f"{np.median(waits):.1f} s after the promotion, at most {max(waits):.1f} s"
    )


def _served(address: str) -> str:
    return str(requests.get(f"{address}/ready", timeout=60).json()["version"])


def bench(
    name: str, config: RecapConfig, history: dict[str, Any] | None, arguments: argparse.Namespace
) -> None:
    """Register two versions, serve one, and print."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = random_rows(config, CANDIDATES)
        full = rows
        for column, value in (history or {}).items():
            full = full.append_column(column, pa.array([value] * CANDIDATES))
        uri = new_registry(folder / "workspace")
        client = registry.connect(uri)
        client.create_registered_model(NAME)
        few = full.slice(0, 64)
        versions = [add_version(client, folder / f"v{seed}", config, few, seed) for seed in range(2)]
        registry.move_alias(client, NAME, "champion", versions[0])
        settings = ServeSettings(f"models:/{NAME}@champion", uri, port=free_port(), poll_s=1.0)
        with running(settings, folder / "log") as (address, _):
            print(f"\n{name}", flush=True)
            measure(
                ways(
                    folder / "v0",
                    rows.select([c for c in config.features.columns() if c in rows.column_names]),
                    address,
                    history,
                ),
                arguments.requests,
            )
            if arguments.promotions and not history:
                promote_under_load(address, uri, versions, rows, arguments.promotions, arguments.clients)


def main() -> None:
    """Print two tables, and what promotions cost."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.serving", description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--promotions", type=int, default=50)
    parser.add_argument("--clients", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bench("sample, no history", load_config(SAMPLE), None, arguments)
    bench(f"one history of {EVENTS} events", config_with(READERS["attention"], EVENTS), HISTORY, arguments)


if __name__ == "__main__":
    main()
