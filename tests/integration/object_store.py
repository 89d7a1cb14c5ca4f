"""Steps on an object store, in a process of its own: Arrow reads the store's address when it is first loaded."""

import json
import sys
from pathlib import Path

import pyarrow.fs as fs

from components.prepare.fan_out import join_groups, prepare_group
from components.prepare.prepare import prepare_datasets
from components.resolve.resolve import resolve_run
from tests.datasets import mark_validated
from tests.tiny import tiny_config


def copy_log(log: str, bucket: str) -> None:
    """Make a bucket and put a log into it as ``log``."""
    store, _ = fs.FileSystem.from_uri(f"s3://{bucket}?allow_bucket_creation=true")
    store.create_dir(bucket)
    fs.copy_files(log, f"{bucket}/log", destination_filesystem=store)


def resolve_and_build(folder: str, data_root: str) -> None:
    """Resolve, and prepare without validating, in two groups."""
    work = Path(folder)
    work.mkdir()
    (work / "config.yaml").write_text(tiny_config().to_yaml())
    uri = f"sqlite:///{work}/mlflow.db"
    resolve_run(work / "config.yaml", data_root, work / "snapshot", tracking_uri=uri, run_id="run-1")
    validated = mark_validated(work / "snapshot", work / "validated")
    outs = [work / name for name in ("train", "calibration", "test")]
    prepare_datasets(work / "snapshot", validated, *outs, groups=2)


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
    # Two groups in a store, which parts of files then go through.
    groups = 2 if rows else 1
    manifests = prepare_datasets(
        work / "snapshot", work / "validated", *outs, rows_roots=roots, groups=groups
    )
    if rows:
        parts = [work / f"part-{group}" for group in range(2)]
        for group, part in enumerate(parts):
            prepare_group(work / "snapshot", work / "validated", part, group, 2, f"{rows}/{part.name}.rows")
        roots = {split: f"{rows}/joined/{split}.rows" for split in roots}
        outs = [work / "joined" / name for name in ("train", "calibration", "test")]
        assert join_groups(work / "snapshot", parts, *outs, rows_roots=roots).keys() == manifests.keys()
    train_model(work / "snapshot", work / "train", work / "model")
    (work / "fingerprints.json").write_text(
        json.dumps({split: manifest.fingerprint for split, manifest in manifests.items()})
    )


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
