"""Compare what two versions predicted for the traffic of one stage, by the prediction log."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileSystem, FileType

from components.common.storage.parquet import open_root
from recap_model.metrics import population_stability_index

_SERVED_AT, _VERSION, _PREDICTION = "served_at", "model_version", "prediction."
_CLASSES = 10
# With equal versions the expected PSI is (classes - 1) (1/n + 1/m): 0.18, even where all rows of a request are equal,
# and n and m are requests.
_LEAST_REQUESTS = 100


def compare_served_scores(root: str, before: str, after: str, since: datetime, max_psi: float) -> str:
    """Why a version's predictions are not like those of the version before; an empty text if they are.

    The traffic is split at random, so equal models have equal distributions. The population stability index of each
    output is taken over the deciles of the version before.

    Args:
        root: the prediction log, folder or URI.
        before, after: ``models:/NAME/VERSION``.
        since: rows served earlier are not read.

    Raises:
        ConnectionError, ValueError: the log cannot be opened or read.
    """
    rows = pa.concat_tables(list(_read_rows(root, since)), promote_options="permissive")
    samples = []
    for model in (before, after):
        version = model.rpartition("/")[2]
        sample = rows.filter(pc.equal(rows[_VERSION], version))
        requests = len(sample[_SERVED_AT].unique())
        if requests < _LEAST_REQUESTS:
            return f"{requests} requests of version {version} are in the prediction log; {_LEAST_REQUESTS} are needed"
        samples.append(sample)
    for name in rows.column_names:
        if not name.startswith(_PREDICTION) or samples[0][name].null_count == len(samples[0]):
            continue
        p, q = (sample[name].to_numpy().astype(np.float64) for sample in samples)
        if not np.isfinite(q).all():
            return f"{name.removeprefix(_PREDICTION)} of {after} is not finite in some rows"
        bounds = np.unique(np.quantile(p, np.linspace(0, 1, _CLASSES + 1)[1:-1]))
        counts = [np.bincount(np.searchsorted(bounds, v), minlength=len(bounds) + 1) for v in (p, q)]
        psi = population_stability_index(counts[0].astype(np.float64), counts[1].astype(np.float64))
        if not psi <= max_psi:
            return (
                f"{name.removeprefix(_PREDICTION)} has other predictions than before (PSI {psi:.2g}, allowed "
                f"{max_psi:g}; mean {p.mean():.4g}, now {q.mean():.4g})"
            )
    return ""


def _read_rows(root: str, since: datetime) -> Iterator[pa.Table]:
    """Versions and predictions of the rows that were served since a time."""
    filesystem, path = open_root(root)
    yield pa.table({_SERVED_AT: pa.array([], pa.timestamp("ms", "UTC")), _VERSION: pa.array([], pa.string())})
    first_ms = math.floor(since.timestamp() * 1000)
    days = (datetime.now(UTC).date() - since.date()).days
    for day in (since.date() + timedelta(days=offset) for offset in range(days + 1)):
        for file in _list(filesystem, f"{path}/date={day}"):
            # A file's name begins with the time of its writing.
            written = file.rpartition("/")[2].partition("-")[0]
            if not (file.endswith(".parquet") and written.isdigit() and int(written) >= first_ms):
                continue
            with filesystem.open_input_file(file) as source:
                parquet = pq.ParquetFile(source)
                names = [name for name in parquet.schema_arrow.names if name.startswith(_PREDICTION)]
                table = parquet.read([_SERVED_AT, _VERSION, *names])
            yield table.filter(pc.greater_equal(table[_SERVED_AT], pa.scalar(since)))


def _list(filesystem: FileSystem, folder: str) -> list[str]:
    entries = filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
    return [info.path for info in entries if info.type == FileType.File]
