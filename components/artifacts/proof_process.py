"""The fresh process of a proof: load a version by MLflow alone, score its stored rows, measure.

Run as a script with a version's folder, a Parquet file of rows, and a folder for the results. It imports nothing
of this project, so that what is loaded is the code inside the version.
"""

import json
import resource
import sys
import time
from pathlib import Path

_REPEATS = 10


def main(version: Path, rows: Path, out: Path) -> None:
    import mlflow.pyfunc
    import pandas as pd

    frame = pd.read_parquet(rows)
    start = time.perf_counter()
    model = mlflow.pyfunc.load_model(str(version), suppress_warnings=True)
    load_s = time.perf_counter() - start
    latencies_ms = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        scores = model.predict(frame)
        latencies_ms.append((time.perf_counter() - start) * 1e3)
    scores.to_parquet(out / "scores.parquet")
    measured = {
        "load_s": load_s,
        "median_latency_ms": sorted(latencies_ms)[_REPEATS // 2],
        "worst_latency_ms": max(latencies_ms),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    (out / "measured.json").write_text(json.dumps(measured))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
