"""What is read from outside, and by whom."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from components.calibrate.calibrate import calibrate_model
from components.common.artifacts.decision import Decision
from components.common.artifacts.model_manifest import ModelManifest
from components.common.artifacts.registered_version import RegisteredVersion
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import read_validation_result
from components.evaluate.evaluate import evaluate_model
from components.evaluate.gate.replay import replay_gate
from components.prepare.prepare import prepare_datasets
from components.register.load_test_rows import scored_rows
from components.register.run_outputs import read_outputs
from components.register.tracking import evaluation_metrics
from components.resolve.resolve import resolve_run
from components.serve.payload import ARROW, JSON, PARQUET, read_request
from components.train.train import train_model
from components.validate.profile.profile import Profile
from components.validate.validate import validate_snapshot
from pipeline.cluster.settings import load_cluster
from pipeline.importers.census import import_census
from pipeline.importers.kuairand import FILE as KUAIRAND
from pipeline.importers.kuairand import import_kuairand
from pipeline.importers.movielens import import_movielens
from pipeline.importers.tfrecord import import_tfrecord
from pipeline.local.scoring import Source, score_files
from recap_model import load_model
from recap_model.config import load_config, parse_config
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.data.dataset.reader import DatasetReader
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.serving import RecapPyfunc, _load_pyfunc
from tests.chaos.pipeline_run import PipelineRun
from tests.components.snapshots import snapshot_of
from tests.fuzz.alterations import Altered
from tests.fuzz.contract import held
from tests.fuzz.corpus import CHECKPOINTS
from tests.fuzz.remote import read_database, read_tags, send_to_webhook
from tests.tiny import FIRST_DAY


@dataclass(frozen=True)
class Target:
    """A reader of some files.

    Attributes:
        files: patterns under a folder's folder, of which one file is altered.
        read: reads them, given the folder's folder; may write to its folder ``out``.
        cases: how many the tests try; a round of ``python -m tests.fuzz`` tries twice as many.
    """

    files: tuple[str, ...]
    read: Callable[[Path], object]
    cases: int = 20

    def found(self, folder: Path) -> list[Path]:
        """The files themselves."""
        paths = {path for pattern in self.files for path in folder.glob(pattern)}
        return sorted(path for path in paths if path.is_file())


def read_altered(folder: Path, name: str, file: Path, altered: Altered) -> str:
    """Read a target one of whose files has another content. Returns what was said about it, or "".

    Raises AssertionError as `held` does.
    """
    whole, state = file.read_bytes(), file.stat()
    file.write_bytes(altered.content)
    try:
        return held(f"{name}, {file.relative_to(folder)}, {altered.what}", folder, TARGETS[name].read)
    finally:
        file.write_bytes(whole)
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        shutil.rmtree(folder / "out", ignore_errors=True)
        (folder / "out").mkdir()


def _resolved(config: str) -> Callable[[Path], object]:
    def resolve(folder: Path) -> object:
        uri, log, out = PipelineRun(folder).uri, str(folder / "log"), folder / "out"
        resolve_run(folder / config, log, out / "snapshot", tracking_uri=uri, run_id="run-3")
        return out

    return resolve


def _with_serving_log(folder: Path) -> object:
    _resolved("served.yaml")(folder)
    return validate_snapshot(
        folder / "out" / "snapshot", folder / "out" / "validated", folder / "out" / "data.html"
    )


def _built(folder: Path) -> object:
    _, config = Snapshot.read(folder / "given" / "snapshot")
    out = folder / "out"
    snapshot = snapshot_of(folder / "log", config, out / "snapshot")
    validate_snapshot(snapshot, out / "validated", out / "data.html")
    return prepare_datasets(
        snapshot, out / "validated", *(out / name for name in ("train", "calibration", "test"))
    )


def _own_expectations(folder: Path) -> object:
    try:
        own = json.loads((folder / "own.json").read_bytes())
    except (ValueError, RecursionError):
        return None  # no value that a config could hold, whose own reading is another target
    _, config = Snapshot.read(folder / "given" / "snapshot")
    content = config.model_dump(mode="json", exclude_none=True)
    content["validation"] = {"expectations": own}
    snapshot = snapshot_of(folder / "log", parse_config(content), folder / "out" / "snapshot")
    return validate_snapshot(snapshot, folder / "out" / "validated", folder / "out" / "data.html")


def _rows(folder: Path) -> object:
    _, config = Snapshot.read(folder / "given" / "snapshot")
    reader = DatasetReader(folder / "given" / "train", list(config.tasks), 64, config=config, seed=0)
    return sum(len(batch) for batch in reader.batches())


def _scores(folder: Path) -> object:
    model = load_model(folder / "given" / "calibrated")
    _, config = Snapshot.read(folder / "given" / "snapshot")
    reader = DatasetReader(folder / "given" / "test", model.tasks, 64, config=config)
    with torch.no_grad():
        return model(next(reader.batches()))


def _validated(folder: Path) -> object:
    return validate_snapshot(
        folder / "given" / "snapshot", folder / "out" / "validated", folder / "out" / "data.html"
    )


def _resumed(folder: Path) -> object:
    shutil.copytree(folder / "kept", folder / "out" / CHECKPOINTS)
    return train_model(folder / "given" / "snapshot", folder / "given" / "train", folder / "out" / "model")


def _calibrated(folder: Path) -> object:
    given = folder / "given"
    return calibrate_model(
        given / "snapshot", given / "model", given / "calibration", folder / "out" / "calibrated"
    )


def _verdict(folder: Path) -> object:
    given = folder / "given"
    return read_validation_result(given / "validated", Snapshot.read(given / "snapshot")[0])


def _evaluated(folder: Path) -> object:
    given = folder / "given"
    return evaluate_model(
        given / "snapshot",
        given / "calibrated",
        given / "test",
        given / "validated",
        folder / "out" / "evaluation",
    )


def _replayed(folder: Path) -> object:
    return replay_gate(folder / "given" / "evaluation", load_config(folder / "config.yaml"))


def _registered(folder: Path) -> object:
    given = (
        folder / "given" / name for name in ("snapshot", "calibrated", "evaluation", "validated", "test")
    )
    run = read_outputs(*given, reports={})
    return scored_rows(run, 100), list(evaluation_metrics(run))


def _scored(folder: Path) -> object:
    shutil.copytree(folder / "scored", folder / "out" / "scored")
    source = Source(folder / "given" / "calibrated", "model")
    return score_files(source, str(folder / "input"), folder / "out" / "scored", {}, lambda *_: None)


def _asked_of_the_model(folder: Path) -> object:
    """Requests in every form that a server takes."""
    model = RecapPyfunc(str(folder / "given" / "calibrated"))
    params = json.loads((folder / "request" / "params.json").read_text())
    with pq.ParquetFile(folder / "request" / "a.parquet") as file:
        table = file.read()
    forms: list[Any] = [table, table.to_pydict(), params]
    forms.append({name: np.asarray(values, dtype=object) for name, values in forms[1].items()})
    if len(set(table.column_names)) == table.num_columns:
        forms.append(table.to_pandas())
    refused = []
    for form in forms:
        try:
            model.predict(form, params if isinstance(params, dict) else {"weights": params})
        except ValueError as error:
            refused += [error] * (form is not params)
    if refused:
        raise refused[0]
    return forms


def _readable(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """The same, of files that Arrow can read: who asks a model reads them before."""

    def read_if_readable(folder: Path) -> object:
        try:
            pq.read_table(folder / "request" / "a.parquet", partitioning=None).to_pydict()
            json.loads((folder / "request" / "params.json").read_text())
        except (pa.ArrowException, OSError, ValueError, RecursionError):
            return None
        return read(folder)

    return read_if_readable


def _bodies(folder: Path) -> object:
    """Bodies of requests as `recap serve` reads and scores them."""
    model = RecapPyfunc(str(folder / "given" / "calibrated"))
    scored = []
    for name, kind in (("a.json", JSON), ("a.arrow", ARROW), ("a.parquet", PARQUET)):
        request = read_request((folder / "body" / name).read_bytes(), kind)
        scored.append(model.score(request.rows, request.params))
    return scored


def _imported(convert: Callable[[Path, Path], object], name: str) -> Target:
    def read(folder: Path) -> object:
        return convert(folder / "sources" / name, folder / "out" / "log")

    return Target((f"sources/{name}",), read)


TARGETS = {
    "config": Target(("config.yaml",), lambda folder: load_config(folder / "config.yaml"), 40),
    "cluster": Target(("cluster.yaml",), lambda folder: load_cluster(folder / "cluster.yaml")),
    "resolve": Target(("config.yaml", "log/**/*.parquet"), _resolved("config.yaml"), 6),
    "snapshot": Target(
        ("given/snapshot/*",), lambda folder: Snapshot.read(folder / "given" / "snapshot"), 40
    ),
    "validate": Target(("log/**/*.parquet", "given/snapshot/*"), _validated, 5),
    "serving log": Target(("serving/**/*.parquet", "served.yaml"), _with_serving_log, 4),
    "own expectations": Target(("own.json",), _own_expectations, 8),
    "profile": Target(
        ("given/validated/profile.parquet",),
        lambda folder: Profile.read(folder / "given" / "validated" / "profile.parquet"),
    ),
    "log": Target(("log/**/*.parquet",), _built, 4),
    "dataset": Target(
        ("given/train/_manifest.json",), lambda folder: DatasetManifest.read(folder / "given" / "train")
    ),
    "statistics": Target(
        ("given/train/_statistics.json",), lambda folder: FeatureStatistics.read(folder / "given" / "train")
    ),
    "rows": Target(("given/train/_manifest.json", "given/train.rows/*"), _rows),
    "checkpoint": Target(("kept/*/*.checkpoint",), _resumed, 6),
    "model": Target(
        ("given/model/_manifest.json",), lambda folder: ModelManifest.read(folder / "given" / "model")
    ),
    "scores": Target(("given/calibrated/*",), _scores),
    "calibrate": Target(("given/model/*", "given/calibration/*"), _calibrated, 5),
    "evaluate": Target(("given/calibrated/*", "given/test/*"), _evaluated, 4),
    "verdict": Target(("given/validated/*.json",), _verdict),
    "champion": Target(("workspace/artifacts/**/*",), _evaluated, 4),
    "replay": Target(("given/evaluation/scores.parquet",), _replayed, 10),
    "decision": Target(
        ("given/evaluation/decision.json",), lambda folder: Decision.read(folder / "given" / "evaluation")
    ),
    "register": Target(("given/evaluation/*",), _registered, 20),
    "version": Target(
        ("given/version/version.json",), lambda folder: RegisteredVersion.read(folder / "given" / "version")
    ),
    "database": Target(("workspace/mlflow.db",), read_database, 2),
    "tags": Target(("tags.json",), read_tags, 3),
    "served": Target(
        ("version/digests.json", "version/data/model/*"),
        lambda folder: _load_pyfunc(str(folder / "version" / "data" / "model")),
    ),
    "request": Target(("request/*",), _readable(_asked_of_the_model), 20),
    "body": Target(("body/*",), _bodies, 20),
    "score": Target(("input/*.parquet", "scored/*"), _scored, 15),
    "webhook": Target(("answer",), send_to_webhook, 10),
    "census": _imported(import_census, "census-income.test"),
    "kuairand": _imported(import_kuairand, KUAIRAND),
    "movielens": Target(
        ("sources/ratings.csv", "sources/movies.csv"),
        lambda folder: import_movielens(folder / "sources", folder / "out" / "log"),
    ),
    "tfrecord": _imported(lambda source, out: import_tfrecord(source, out, day=FIRST_DAY), "a.tfrecord"),
}
"""By name."""
