"""Batch scoring beside the bare net, and requests through MLflow beside the plain model.

``python -m tests.benchmarks.scoring [--rounds 5] [--requests 100] [--rows 16384] [--sets published sample]``
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import requests
import torch

from components.register.package import package
from pipeline.local.scoring import Source, score_files
from recap_model import create_ranking_model, data_spec, load_model, save_model
from recap_model.config import RecapConfig, load_config
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.log.feature_groups import read_groups
from recap_model.model.ranking_model import MultiTaskRankingModel
from tests.benchmarks.scoring.rows import random_rows
from tests.servers import served

_FOLDER = Path(__file__).parents[3] / "pipeline" / "configs"
CONFIGS = {"published": _FOLDER / "heavy_ranker.yaml", "sample": _FOLDER / "sample.yaml"}
CANDIDATES = (1, 100, 1500)
BATCH = 8192
Run = Callable[[], object]


@dataclass(frozen=True)
class Place:
    """A saved model with random weights, a version made of it, and rows of a log."""

    config: RecapConfig
    model: Path
    version: Path
    rows: Path


def prepare(config: RecapConfig, rows: int, folder: Path) -> Place:
    """Write the model, its version, and the rows as one Parquet file."""
    torch.manual_seed(0)
    place = Place(config, folder / "model", folder / "version", folder / "rows.parquet")
    save_model(create_ranking_model(data_spec(config), config, "cpu").eval(), place.model, config)
    table = random_rows(config, rows)
    package(
        place.model,
        table.select(config.features.columns()).slice(0, 3),
        config,
        place.version,
        lambda out: None,
    )
    pq.write_table(table, place.rows, row_group_size=65_536)
    return place


def tensors(rows: pa.Table, config: RecapConfig) -> RecapBatch:
    """What the net is given for these rows."""
    groups = read_groups(rows, config.features, "rows")
    return RecapBatch(**{name: torch.from_numpy(array.copy()) for name, array in groups.items()})


def eager(model: MultiTaskRankingModel, batch: RecapBatch) -> None:
    """The bare net, from tensors to probabilities and the score."""
    with torch.inference_mode():
        model(batch)


def batch_speeds(place: Place, rounds: int, scratch: Path) -> dict[str, list[float]]:
    """Rows a second of the bare net and of files, taken in turns."""
    model = load_model(place.model)
    rows = pq.read_table(place.rows)
    batches = [tensors(rows.slice(start, BATCH), place.config) for start in range(0, len(rows), BATCH)]

    def bare() -> None:
        for batch in batches:
            eager(model, batch)

    def files() -> None:
        source = Source(place.model, f"round {time.monotonic_ns()}")
        score_files(source, str(place.rows), scratch, {}, lambda done, name: None)

    speeds: dict[str, list[float]] = {"bare net": [], "recap score, Parquet to Parquet": []}
    for turn in range(rounds + 1):
        for name, run in zip(speeds, (bare, files), strict=True):
            began = time.perf_counter()
            run()
            if turn:
                speeds[name].append(len(rows) / (time.perf_counter() - began))
    return speeds


def ways(place: Place, candidates: int, server: str) -> dict[str, Run]:
    """Every way to have a request's rows scored."""
    model, loaded = load_model(place.model), mlflow.pyfunc.load_model(str(place.version))
    rows = pq.read_table(place.rows).slice(0, candidates).select(place.config.features.columns())
    batch, frame = tensors(rows, place.config), rows.to_pandas()
    record_batch = rows.combine_chunks().to_batches()[0]
    arrays = {
        name: np.stack(values.to_list()) if values.dtype == object else values.to_numpy()
        for name, values in frame.items()
    }
    raw = loaded.get_raw_model()
    json_body = f'{{"dataframe_split": {frame.to_json(orient="split", index=False)}}}'
    parquet_body = frame.to_parquet()
    session = requests.Session()

    def post(body: str | bytes, kind: str) -> None:
        answer = session.post(server, data=body, headers={"Content-Type": kind}, timeout=60)
        assert len(answer.json()["predictions"]) == candidates, answer.text

    return {
        "plain eager model, tensors": lambda: eager(model, batch),
        "in process, Arrow": lambda: raw.predict(record_batch),
        "in process, dict of arrays": lambda: raw.predict(arrays),
        "in process, pandas frame": lambda: raw.predict(frame),
        "in process, pandas frame through MLflow's checks": lambda: loaded.predict(frame),
        "server, Parquet": lambda: post(parquet_body, "application/vnd.apache.parquet"),
        "server, JSON": lambda: post(json_body, "application/json"),
    }


def latencies_ms(runs: dict[str, Run], count: int) -> dict[str, list[float]]:
    """Milliseconds of so many requests of each way, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(count + 3):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if turn >= 3:
                taken[name].append((time.perf_counter() - began) * 1e3)
    return taken


def tables(name: str, rounds: int, count: int, rows: int, folder: Path) -> None:
    """Measure one model, and print."""
    place = prepare(load_config(CONFIGS[name]), rows, folder)
    speeds = {
        way: statistics.median(values) for way, values in batch_speeds(place, rounds, folder / "out").items()
    }
    print(f"\n{name}: {rows:,} rows, batches of {BATCH:,}\n\n| | rows/s | of the bare net |\n|---|---|---|")
    for way, speed in speeds.items():
        print(f"| {way} | {speed:,.0f} | {speed / speeds['bare net']:.0%} |")
    with served(str(place.version), folder) as server:
        taken = {
            candidates: latencies_ms(
                ways(place, candidates, server), count if candidates < 1000 else count // 5
            )
            for candidates in CANDIDATES
        }
    print(
        f"\n{name}: p50 / p99 of a request, ms\n\n| candidates |{'|'.join(map(str, CANDIDATES))}|\n|---|---|---|---|"
    )
    for way in next(iter(taken.values())):
        cells = [
            f"{np.percentile(taken[candidates][way], 50):.1f} / {np.percentile(taken[candidates][way], 99):.1f}"
            for candidates in CANDIDATES
        ]
        print(f"| {way} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print two tables for each model."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scoring", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--rows", type=int, default=16_384)
    parser.add_argument("--sets", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    arguments = parser.parse_args()
    for name in arguments.sets:
        with tempfile.TemporaryDirectory() as folder:
            tables(name, arguments.rounds, arguments.requests, arguments.rows, Path(folder))


if __name__ == "__main__":
    main()
