"""Steps on an object store, in a process of its own: Arrow reads the store's address when it is first loaded."""

import json
import sys
from pathlib import Path

import pyarrow.fs as fs
import pytest

from components.common.artifacts.snapshot import Snapshot
from components.common.engine.local import LocalEngine
from components.common.storage.parquet import open_root
from components.prepare.prepare import prepare_datasets
from components.resolve.resolve import resolve_run
from tests.datasets import mark_validated
from tests.tiny import tiny_config


def copy_log(log: str, bucket: str) -> None:
    """Make a bucket and put a log into it as ``log``."""
    store, _ = fs.FileSystem.from_uri(f"s3://{bucket}?allow_bucket_creation=true")
    store.create_dir(bucket)
    fs.copy_files(log, f"{bucket}/log", destination_filesystem=store)


def resolve_only(folder: str, data_root: str) -> Snapshot:
    """Resolve, with a new registry."""
    work = Path(folder)
    work.mkdir()
    (work / "config.yaml").write_text(tiny_config().to_yaml())
    uri = f"sqlite:///{work}/mlflow.db"
    return resolve_run(work / "config.yaml", data_root, work / "snapshot", tracking_uri=uri, run_id="run-1")


def resolve_and_build(folder: str, data_root: str) -> None:
    """Resolve, and prepare without validating, in two processes."""
    work = Path(folder)
    resolve_only(folder, data_root)
    validated = mark_validated(work / "snapshot", work / "validated")
    outs = [work / name for name in ("train", "calibration", "test")]
    with LocalEngine(2) as engine:
        prepare_datasets(work / "snapshot", validated, *outs, engine=engine)


def change_after_resolve(folder: str, data_root: str) -> None:
    """Resolve, then replace a file by others of the same size: validate and prepare refuse it."""
    from components.validate.validate import ValidationFailed, validate_snapshot

    work, frozen = Path(folder), resolve_only(folder, data_root)
    assert all(file.identity.startswith("etag:") for file in frozen.files)
    validated = mark_validated(work / "snapshot", work / "validated")
    store, root = open_root(data_root)
    path = frozen.files[-1].path
    with store.open_output_stream(f"{root}/{path}") as stream:
        stream.write(b"0" * frozen.files[-1].bytes)
    outs = [work / name for name in ("train", "calibration", "test")]
    with pytest.raises(ValueError, match=rf"^{path}: changed since resolve froze the log; run the pipeline"):
        prepare_datasets(work / "snapshot", validated, *outs)
    with pytest.raises(ValidationFailed, match=rf"^file_unchanged: file {path} changed"):
        validate_snapshot(work / "snapshot", work / "validated", work / "data.html")


def build_and_train(folder: str, data_root: str, rows: str) -> None:
    """Resolve, validate, prepare and train; rows go to ``rows/SPLIT.rows``, beside the manifests if empty."""
    # The processes that read files import this module, and would load these libraries too.
    from components.train.train import train_model
    from components.validate.validate import validate_snapshot
    from tests.components.registries import new_registry

    work = Path(folder)
    work.mkdir()
    (work / "config.yaml").write_text(tiny_config().to_yaml())
    resolve_run(
        work / "config.yaml", data_root, work / "snapshot", tracking_uri=new_registry(work), run_id="run-1"
    )
    validate_snapshot(work / "snapshot", work / "validated", work / "data.html")
    roots = {split: f"{rows}/{split}.rows" if rows else None for split in ("train", "calibration", "test")}
    outs = [work / name for name in ("train", "calibration", "test")]
    # Two processes for a store, which spill rows and write the files in parallel.
    with LocalEngine(2 if rows else 1) as engine:
        manifests = prepare_datasets(
            work / "snapshot", work / "validated", *outs, rows_roots=roots, engine=engine
        )
    train_model(work / "snapshot", work / "train", work / "model")
    (work / "fingerprints.json").write_text(
        json.dumps({split: manifest.fingerprint for split, manifest in manifests.items()})
    )


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
