"""Write the training, calibration and test sets of a validated snapshot."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import check_validated
from components.common.runtime.atomic_output import atomic_directory
from components.common.runtime.process_pool import cores, map_processes
from components.common.runtime.step import progress
from components.common.storage.file_groups import FileGroup, split_files
from components.common.storage.parquet import open_root
from components.prepare.duplicates import find_duplicates
from components.prepare.id_forms import IdForms
from components.prepare.read_files import Gathered, Tell, Work, read_group
from components.prepare.rows import columns_to_read
from components.prepare.sampling import NegativeSampler
from components.prepare.shard_parts import join_parts, remove_parts, write_parts
from components.prepare.shard_writer import ShardWriter, Written, counts
from components.prepare.split import SPLITS, Splitter
from recap_model.config import RecapConfig, data_spec
from recap_model.data.dataset.manifest import MANIFEST_NAME, DatasetManifest
from recap_model.data.dataset.statistics import STATISTICS_NAME, report_collisions

_ROWS_PER_SHARD = 250_000
_MAX_SHARDS = 16
_ROWS_PER_PROCESS = 200_000
_GROUPS_PER_PROCESS = 4

Fill = Callable[[Mapping[str, str]], tuple[dict[str, list[Written]], Gathered]]

log = logging.getLogger(__name__)


def prepare_datasets(
    snapshot: str | Path,
    validated: str | Path,
    train_out: str | Path,
    calibration_out: str | Path,
    test_out: str | Path,
    rows_roots: Mapping[str, str | None] | None = None,
    groups: int | None = None,
) -> dict[str, DatasetManifest]:
    """Write the three sets of a validated snapshot; the rows of each lie in ``<out>.rows`` or under ``rows_roots``.

    Memory is bounded by a few record batches per core, independent of the number of rows. The output is a function of
    the snapshot: its bytes do not depend on the number of groups.

    Args:
        snapshot: what resolve wrote.
        validated: what validate wrote for the same snapshot.
        train_out, calibration_out, test_out: folders for the manifests, and the training set's statistics.
        rows_roots: for ``train``, ``calibration`` and ``test`` the URI (s3://, gs://) that the rows are streamed to;
            None for a folder beside the manifest.
        groups: of files that processes read in parallel; chosen by the number of cores if None.

    Raises:
        FileNotFoundError, ValueError: an input is missing, of another run, or cannot be read as the config says;
            a set is empty, or training has no positive or no negative of a task.
    """
    frozen, config = Snapshot.read(snapshot)
    frozen = check_validated(validated, frozen)
    outs = dict(zip(SPLITS, (Path(train_out), Path(calibration_out), Path(test_out)), strict=True))
    return write_sets(frozen, config, outs, rows_roots, lambda roots: _fill(frozen, config, roots, groups))


def write_sets(
    frozen: Snapshot,
    config: RecapConfig,
    outs: Mapping[str, Path],
    rows_roots: Mapping[str, str | None] | None,
    fill: Fill,
) -> dict[str, DatasetManifest]:
    """Write each set's rows by ``fill``, which gets their roots, then statistics and manifests, atomically.

    Raises ValueError if a set is empty, or training has no positive or no negative of a task.
    """
    with ExitStack() as stack:
        folders = {split: stack.enter_context(atomic_directory(out)) for split, out in outs.items()}
        elsewhere = {split: (rows_roots or {}).get(split) for split in SPLITS}
        roots = {split: elsewhere[split] or folder_beside(out, stack) for split, out in outs.items()}
        files, gathered = fill(roots)
        manifests = {}
        for split, out in outs.items():
            rows_root = elsewhere[split] or f"../{out.name}.rows"
            manifest = _manifest(split, frozen, config, files[split], rows_root, gathered.sampler)
            _check(manifest, config)
            manifests[split] = manifest
        statistics = gathered.statistics.result()
        report_collisions(statistics.collisions, config.data.collision_bound)
        (folders["train"] / STATISTICS_NAME).write_text(statistics.model_dump_json())
        for split, manifest in manifests.items():
            (folders[split] / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))
    log.info(" ".join(f"{split}_rows={manifest.rows}" for split, manifest in manifests.items()))
    return manifests


def folder_beside(out: Path, stack: ExitStack) -> str:
    """An atomic folder beside ``out`` for the rows."""
    return str(stack.enter_context(atomic_directory(out.with_name(f"{out.name}.rows"))))


def _fill(
    snapshot: Snapshot, config: RecapConfig, roots: Mapping[str, str], wanted: int | None
) -> tuple[dict[str, list[Written]], Gathered]:
    """Write the rows of every set under its root; returns the files of each."""
    work = plan(snapshot, config)
    groups = split_files(snapshot, wanted or _groups(snapshot))
    if len(groups) == 1:
        places = {split: open_root(root) for split, root in roots.items()}
        writers = {
            (split, shard): ShardWriter(*places[split], shard, _seed(split, config))
            for split, shard in files_of(snapshot)
        }
        gathered = read_group(
            work,
            groups[0],
            lambda split, shard, rows: writers[split, shard].add(rows),
            _teller(snapshot.rows),
        )
        return _by_split(snapshot, [writer.close() for writer in writers.values()]), gathered
    gathered = _read_in_parallel(work, groups, roots)
    sources = {split: [roots[split]] * len(groups) for split in SPLITS}
    return join(snapshot, config, sources, roots, keep=False), gathered


def plan(snapshot: Snapshot, config: RecapConfig) -> Work:
    """Compute what every group needs: splits, duplicates, id forms."""
    splitter, duplicates = Splitter(snapshot, config), find_duplicates(snapshot, config)
    forms = IdForms.read(snapshot, columns_to_read(config))
    return Work(snapshot, config, splitter, duplicates, _shards(snapshot), forms)


def files_of(snapshot: Snapshot) -> list[tuple[str, int]]:
    """All possible files of the sets, as set and shard number."""
    return [(SPLITS[0], shard) for shard in range(_shards(snapshot))] + [(split, 0) for split in SPLITS[1:]]


def join(
    snapshot: Snapshot,
    config: RecapConfig,
    sources: Mapping[str, Sequence[str]],
    roots: Mapping[str, str],
    keep: bool,
) -> dict[str, list[Written]]:
    """Join the parts of each set's files; ``sources`` has the groups' roots for each set."""
    joins = [
        (sources[split], roots[split], shard, _seed(split, config), keep)
        for split, shard in files_of(snapshot)
    ]
    return _by_split(snapshot, list(map_processes(join_parts, joins, cores())))


def _shards(snapshot: Snapshot) -> int:
    return min(_MAX_SHARDS, -(-snapshot.rows // _ROWS_PER_SHARD))


def _by_split(snapshot: Snapshot, written: Sequence[Written | None]) -> dict[str, list[Written]]:
    files: dict[str, list[Written]] = {split: [] for split in SPLITS}
    for (split, _), file in zip(files_of(snapshot), written, strict=True):
        files[split] += [file] if file is not None else []
    return files


def _seed(split: str, config: RecapConfig) -> int | None:
    """Seed of the shuffle; calibration and test rows keep the log's order."""
    return config.data.seed if split == SPLITS[0] else None


def _groups(snapshot: Snapshot) -> int:
    """More groups than processes, to balance their load; one group if starting processes costs more."""
    processes = min(cores(), snapshot.rows // _ROWS_PER_PROCESS)
    return 1 if processes < 2 else processes * _GROUPS_PER_PROCESS


def _read_in_parallel(work: Work, groups: list[FileGroup], roots: Mapping[str, str]) -> Gathered:
    tell, done = _teller(work.snapshot.rows), 0
    found: list[Gathered] = []
    try:
        arguments = [(work, group, dict(roots)) for group in groups]
        for group, (gathered, _) in zip(groups, map_processes(write_parts, arguments, cores()), strict=True):
            if found:
                found[0].merge(gathered)
            else:
                found.append(gathered)
            done += group.rows
            tell(done)
    except BaseException:
        for root in roots.values():
            remove_parts(root, work.shards, len(groups))
        raise
    return found[0]


def _teller(total: int) -> Tell:
    return lambda done: progress(done, total, f"{done:,} of {total:,} rows")


def _manifest(
    split: str,
    snapshot: Snapshot,
    config: RecapConfig,
    written: list[Written],
    rows_root: str,
    sampler: NegativeSampler,
) -> DatasetManifest:
    files = [one.file for one in written]
    content = hashlib.sha256(json.dumps([split, [file.sha256 for file in files]]).encode())
    return DatasetManifest.model_validate(
        {
            "split": split,
            "rows_root": rows_root,
            "files": [file.model_dump() for file in files],
            "rows": sum(file.rows for file in files),
            "groups": data_spec(config) if files else {},
            "sparse": config.features.sparse,
            "sequences": config.features.sequences,
            "tasks": list(config.tasks),
            "counts": {
                task: count.model_dump() for task, count in counts(list(config.tasks), written).items()
            },
            "sampling": {task: rates.model_dump() for task, rates in sampler.rates().items()}
            if split == "train"
            else {},
            "window": (snapshot.first_day.isoformat(), snapshot.last_day.isoformat()),
            "snapshot": snapshot.digest,
            "fingerprint": content.hexdigest(),
        }
    )


def _check(manifest: DatasetManifest, config: RecapConfig) -> None:
    window = f"{manifest.window[0]} to {manifest.window[1]}"
    if not manifest.rows:
        raise ValueError(
            f"the {manifest.split} set is empty; data.split leaves no row for it between {manifest.window[0]} and "
            f"{manifest.window[1]}; widen the window (data.days) or change data.split"
        )
    if manifest.split != "train":
        return
    rules = config.derived_labels()
    for task, found in manifest.counts.items():
        if not found.rows and (condition := config.tasks[task].only_where) is not None:
            raise ValueError(
                f"tasks.{task}.only_where: leaves none of the {manifest.rows:,} training rows of {window} "
                f"({condition}); a task needs rows with a label; change the rule, or widen the window (data.days)"
            )
        for kind, number in (("positive", found.positives), ("negative", found.rows - found.positives)):
            if number:
                continue
            if task in rules:
                never = "never true" if kind == "positive" else "always true"
                raise ValueError(
                    f"tasks.{task}.label: is {never} in the {found.rows:,} training rows of {window} that count "
                    f"({rules[task]}); a task needs positives and negatives; change the rule, or widen the window "
                    "(data.days)"
                )
            raise ValueError(
                f"task {task} has no {kind} among {manifest.rows:,} training rows of {window}; widen the window "
                "(data.days) or remove the task"
            )
