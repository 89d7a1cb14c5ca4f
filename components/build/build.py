"""Training, calibration and test sets out of the log: rectified, split, sampled, shuffled."""

import hashlib
import json
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pyarrow.fs import FileSystem, LocalFileSystem

from components.artifacts.door import progress
from components.artifacts.log import open_root
from components.artifacts.output import whole_folder
from components.artifacts.snapshot import Snapshot
from components.build.rows import columns_to_read, read_file, to_rows
from components.build.sampling import NegativeSampler
from components.build.split import SPLITS, Splitter
from components.build.statistics import StatisticsBuilder
from components.build.writer import SetWriter
from recap_model.config import RecapConfig
from recap_model.data.manifest import MANIFEST_NAME, DatasetManifest
from recap_model.data.statistics import STATISTICS_NAME

_ROWS_PER_SHARD = 250_000
_MAX_SHARDS = 16

log = logging.getLogger(__name__)


def build_datasets(
    snapshot: str | Path,
    validated: str | Path,
    train_out: str | Path,
    calibration_out: str | Path,
    test_out: str | Path,
    rows_roots: Mapping[str, str | None] | None = None,
) -> dict[str, DatasetManifest]:
    """Write the three sets of a validated snapshot; their rows lie beside each in ``<out>.rows``, or elsewhere.

    Memory is bounded by a few record batches, never by rows. The sets follow from the snapshot alone.

    Args:
        snapshot: what resolve wrote.
        validated: what validate wrote for the same snapshot.
        train_out, calibration_out, test_out: folders for the manifests, and the training set's statistics.
        rows_roots: for ``train``, ``calibration`` and ``test`` a URI (s3://, gs://) that the rows are streamed to;
            beside the manifest where there is none.

    Raises:
        FileNotFoundError, ValueError: an input is missing, of another run, or cannot be read as the config says;
            a set is empty, or training has no positive or no negative of a task.
    """
    frozen, config = Snapshot.read(snapshot)
    _check_validated(validated, frozen)
    outs = dict(zip(SPLITS, (Path(train_out), Path(calibration_out), Path(test_out)), strict=True))
    with ExitStack() as stack:
        folders = {split: stack.enter_context(whole_folder(out)) for split, out in outs.items()}
        roots = {split: (rows_roots or {}).get(split) for split in SPLITS}
        places = {split: _place(roots[split], out, stack) for split, out in outs.items()}
        writers, sampler, statistics = _fill(frozen, config, places)
        manifests = {}
        for split, out in outs.items():
            rows_root = roots[split] or f"../{out.name}.rows"
            manifest = _manifest(split, frozen, config, writers[split], rows_root, sampler)
            _check(manifest)
            manifests[split] = manifest
        (folders["train"] / STATISTICS_NAME).write_text(statistics.result().model_dump_json())
        for split, manifest in manifests.items():
            (folders[split] / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))
    log.info(" ".join(f"{split}_rows={manifest.rows}" for split, manifest in manifests.items()))
    return manifests


def _place(rows_root: str | None, out: Path, stack: ExitStack) -> tuple[FileSystem, str]:
    """Where a set's rows are written; a folder that is there whole or not at all, where it can be."""
    if rows_root is not None:
        return open_root(rows_root)
    return LocalFileSystem(), str(stack.enter_context(whole_folder(out.with_name(f"{out.name}.rows"))))


def _check_validated(validated: str | Path, snapshot: Snapshot) -> None:
    path = Path(validated) / MANIFEST_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not there, so this log did not pass validation; run validate")
    try:
        digest = json.loads(path.read_text())["snapshot"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: not what validate writes; run validate again") from None
    if digest != snapshot.digest:
        raise ValueError(f"{path}: belongs to another snapshot ({digest[:12]}); run validate on this one")


def _fill(
    snapshot: Snapshot, config: RecapConfig, places: Mapping[str, tuple[FileSystem, str]]
) -> tuple[dict[str, SetWriter], NegativeSampler, StatisticsBuilder]:
    tasks, total = list(config.tasks), snapshot.rows
    shards = min(_MAX_SHARDS, -(-total // _ROWS_PER_SHARD))
    writers = {split: SetWriter(*places[split], tasks) for split in SPLITS[1:]}
    writers["train"] = SetWriter(*places["train"], tasks, shards, config.data.seed)
    sampler, statistics = NegativeSampler(config), StatisticsBuilder(config)
    splitter, columns, done = Splitter(snapshot, config), columns_to_read(config), 0
    for partition in snapshot.partitions:
        for file in partition.files:
            for batch in read_file(snapshot, file, columns):
                codes = splitter.codes(batch, partition, file)
                rows = to_rows(batch, config, file.path, done)
                train = sampler(rows.take(codes == 0))
                statistics.add(train)
                writers["train"].add(train)
                for code, split in enumerate(SPLITS[1:], start=1):
                    writers[split].add(rows.take(codes == code))
                done += len(rows)
            progress(done, total, f"{done:,} of {total:,} rows")
    return writers, sampler, statistics


def _manifest(
    split: str,
    snapshot: Snapshot,
    config: RecapConfig,
    writer: SetWriter,
    rows_root: str,
    sampler: NegativeSampler,
) -> DatasetManifest:
    files, counts = writer.close()
    content = hashlib.sha256(json.dumps([split, [file.sha256 for file in files]]).encode())
    return DatasetManifest.model_validate(
        {
            "split": split,
            "rows_root": rows_root,
            "files": [file.model_dump() for file in files],
            "rows": writer.rows,
            "groups": writer.groups,
            "sparse": config.features.sparse,
            "tasks": list(config.tasks),
            "counts": {task: count.model_dump() for task, count in counts.items()},
            "sampling": {task: rates.model_dump() for task, rates in sampler.rates().items()}
            if split == "train"
            else {},
            "window": (snapshot.first_day.isoformat(), snapshot.last_day.isoformat()),
            "snapshot": snapshot.digest,
            "fingerprint": content.hexdigest(),
        }
    )


def _check(manifest: DatasetManifest) -> None:
    if not manifest.rows:
        raise ValueError(
            f"the {manifest.split} set is empty; data.split leaves no row for it between {manifest.window[0]} and "
            f"{manifest.window[1]}; widen the window (data.days) or change data.split"
        )
    if manifest.split != "train":
        return
    for task, counts in manifest.counts.items():
        for kind, number in (("positive", counts.positives), ("negative", counts.rows - counts.positives)):
            if not number:
                raise ValueError(
                    f"task {task} has no {kind} among {manifest.rows:,} training rows of {manifest.window[0]} to "
                    f"{manifest.window[1]}; widen the window (data.days) or remove the task"
                )
