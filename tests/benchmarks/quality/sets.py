"""The real data sets: imported, and built into the three sets of their configs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.prepare.prepare import prepare_datasets
from components.resolve.resolve import resolve_run
from components.validate.validate import validate_snapshot
from pipeline.importers.census import import_census
from pipeline.importers.kuairand import import_kuairand
from pipeline.importers.movielens import import_movielens
from recap_model.config import RecapConfig, load_config
from recap_model.data.dataset.manifest import DatasetManifest

CONFIGS = Path(__file__).parents[3] / "pipeline" / "configs"
IMPORTERS: dict[str, tuple[str, Callable]] = {
    "census": ("census_income", import_census),
    "kuairand": ("kuairand", import_kuairand),
    "kuairand_history": ("kuairand", import_kuairand),
    "movielens": ("movielens_latest_small", import_movielens),
}
HISTORIES = ("kuairand_history", "movielens")


@dataclass(frozen=True)
class Built:
    """Folders that the pipeline's steps wrote for one data set and one config."""

    folder: Path
    config: RecapConfig

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshot"


@dataclass(frozen=True)
class Columns:
    """One set's rows: continuous (NaN is missing), binary and discrete inputs, and labels, each (rows, width)."""

    continuous: NDArray[np.float64]
    binary: NDArray[np.float64]
    discrete: NDArray[np.int64]
    labels: NDArray[np.float64]


def import_set(name: str, data: Path, folder: Path) -> Path:
    """Write the log of a data set under ``folder``; returns its root."""
    subfolder, importer = IMPORTERS[name]
    importer(data / subfolder, folder / "log")
    return folder / "log"


def build_set(config_file: Path, log: Path, folder: Path) -> Built:
    """Resolve, validate and prepare a log with the pipeline's own steps."""
    uri = f"sqlite:///{folder.parent / 'mlflow.db'}"
    resolve_run(config_file, str(log), folder / "snapshot", tracking_uri=uri, run_id=folder.name)
    validate_snapshot(folder / "snapshot", folder / "validated", folder / "data.html")
    sets = (folder / name for name in ("train", "calibration", "test"))
    prepare_datasets(folder / "snapshot", folder / "validated", *sets)
    return Built(folder, load_config(config_file))


def read_columns(built: Built, *sets: str) -> Columns:
    """All rows of some of the sets, as the baselines take them."""
    tables = []
    for name in sets:
        manifest = DatasetManifest.read(built.folder / name)
        tables += [
            pa.ipc.open_file(f"{manifest.rows_root}/{file.path}").read_all() for file in manifest.files
        ]
    table = pa.concat_tables(tables)

    def group(name: str, kind: type) -> NDArray:
        if name not in table.column_names:
            return np.zeros((len(table), 0), dtype=kind)
        column = table[name].combine_chunks()
        return column.flatten().to_numpy().reshape(len(table), -1).astype(kind)

    return Columns(
        group("continuous", float), group("binary", float), group("discrete", int), group("labels", float)
    )
