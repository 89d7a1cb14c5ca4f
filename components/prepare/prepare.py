"""Write the training, calibration and test sets of a validated snapshot."""

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import check_validated
from components.common.engine import Engine, Sink, open_engine
from components.common.engine.scratch import ScratchFile, scratch_folder
from components.common.runtime.atomic_output import atomic_directory
from components.common.runtime.process_pool import cores
from components.common.runtime.step import progress
from components.common.storage.digest_sink import PARTIAL
from components.common.storage.file_groups import FileGroup, split_files
from components.common.storage.parquet import open_root
from components.prepare.histories.join import join_histories
from components.prepare.id_forms import IdForms
from components.prepare.read_files import Gathered, RowsToShards, merge_gathered
from components.prepare.requests import RequestRows, find_changed_rows
from components.prepare.rows import columns_to_read
from components.prepare.sampling import NegativeSampler
from components.prepare.shards.layout import ShardLayout
from components.prepare.shards.writer import ShardWriter, Written, counts
from components.prepare.split import SPLITS, Splitter, TrainingSplitter, cut_times, inner_cut_times
from components.prepare.statistics.vocabularies import (
    Vocabulary,
    VocabularySink,
    merge_vocabularies,
    vocabularies_of,
)
from recap_model.config import RecapConfig, data_spec
from recap_model.data.dataset.manifest import MANIFEST_NAME, DatasetManifest
from recap_model.data.dataset.statistics import STATISTICS_NAME, report_collisions

_ROWS_PER_PROCESS = 200_000

log = logging.getLogger(__name__)


def prepare_datasets(
    snapshot: str | Path,
    validated: str | Path,
    train_out: str | Path,
    calibration_out: str | Path,
    test_out: str | Path,
    rows_roots: Mapping[str, str | None] | None = None,
    engine: Engine | None = None,
    within_training: bool = False,
) -> dict[str, DatasetManifest]:
    """Write the three sets of a validated snapshot; the rows of each lie in ``<out>.rows`` or under ``rows_roots``.

    Memory is bounded by a few record batches per core, independent of the number of rows. The output is a function of
    the snapshot: its bytes do not depend on the engine.

    Args:
        snapshot: what resolve wrote.
        validated: what validate wrote for the same snapshot.
        train_out, calibration_out, test_out: folders for the manifests, and the training set's statistics.
        rows_roots: for ``train``, ``calibration`` and ``test`` the URI (s3://, gs://) that the rows are streamed to;
            None for a folder beside the manifest.
        engine: what reads the log and writes the rows; that of ``data.engine`` if None.
        within_training: split the training rows again into the three sets (`TrainingSplitter`), without the others.

    Raises:
        FileNotFoundError, ValueError: an input is missing, of another run, or cannot be read as the config says;
            a set is empty, or training has no positive or no negative of a task.
        ChildProcessError: a process or an executor was lost.
    """
    frozen, config = Snapshot.read(snapshot)
    frozen = check_validated(validated, frozen)
    outs = dict(zip(SPLITS, (Path(train_out), Path(calibration_out), Path(test_out)), strict=True))
    with ExitStack() as stack:
        folders = {split: stack.enter_context(atomic_directory(out)) for split, out in outs.items()}
        stores = {split: (rows_roots or {}).get(split) for split in SPLITS}
        roots = {split: stores[split] or _folder_beside(out, stack) for split, out in outs.items()}
        if engine is None:
            engine = stack.enter_context(
                _open_engine(frozen, config, stores["train"] or Path(roots["train"]))
            )
        written = _write_rows(engine, frozen, config, roots, within_training)
        manifests = {}
        for split, out in outs.items():
            rows_root = stores[split] or f"../{out.name}.rows"
            files = written.files[split]
            manifest = _manifest(split, frozen, config, files, rows_root, written.gathered.sampler)
            if frozen.purpose == "retrain" or split == "test":
                _check(manifest, config)
            manifests[split] = manifest
        statistics = written.gathered.statistics.result(written.vocabularies)
        report_collisions(statistics.collisions, config.data.collision_bound)
        (folders["train"] / STATISTICS_NAME).write_text(statistics.model_dump_json())
        for split, manifest in manifests.items():
            (folders[split] / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))
    log.info(" ".join(f"{split}_rows={manifest.rows}" for split, manifest in manifests.items()))
    return manifests


def _folder_beside(out: Path, stack: ExitStack) -> str:
    """An atomic folder beside ``out`` for the rows."""
    return str(stack.enter_context(atomic_directory(out.with_name(f"{out.name}.rows"))))


def _open_engine(snapshot: Snapshot, config: RecapConfig, train_root: str | Path) -> Engine:
    processes = min(cores(), max(1, snapshot.rows // _ROWS_PER_PROCESS))
    # On a local disk the spilled rows lie beside the sets, which are about as large.
    spill_folder = train_root if isinstance(train_root, Path) else None
    return open_engine(config.data.engine, processes, spill_folder)


class _WrittenSets(NamedTuple):
    files: dict[str, list[Written]]
    gathered: Gathered
    vocabularies: Mapping[str, dict[int, int]]


def _write_rows(
    engine: Engine,
    snapshot: Snapshot,
    config: RecapConfig,
    roots: Mapping[str, str],
    within_training: bool,
) -> _WrittenSets:
    """Write the rows of every set under its root."""
    groups = split_files(snapshot, engine.item_count)
    with scratch_folder(roots["train"]) as scratch:
        kernel, items = plan(engine, groups, snapshot, config, scratch, within_training)
        vocabularies = vocabularies_of(config)
        exchanged = engine.exchange(
            items,
            kernel,
            kernel.layout.shards,
            functools.partial(make_sink, kernel.layout, dict(roots), config.data.seed, vocabularies),
            merge=merge_gathered,
            done=_report(groups),
        )
    files: dict[str, list[Written]] = {split: [] for split in SPLITS}
    counted = []
    for shard, result in enumerate(exchanged.results):
        file = kernel.layout.split_of(shard)
        if result is not None and file is not None:
            files[file[0]].append(result)
        elif result is not None:
            counted.append(result)
    for root in roots.values():
        _remove_partial(root)
    return _WrittenSets(files, exchanged.state, merge_vocabularies(vocabularies, counted))


def plan(
    engine: Engine,
    groups: Sequence[FileGroup],
    snapshot: Snapshot,
    config: RecapConfig,
    scratch: str,
    within_training: bool = False,
) -> tuple[RowsToShards, list[tuple[FileGroup, ScratchFile | None]]]:
    """Find out what rows depend on besides themselves; returns the kernel that reads the groups, and its items."""
    cuts = cut_times(engine, groups, snapshot, config)
    splitter = Splitter(snapshot, config, cuts)
    if within_training:
        inner_cuts = inner_cut_times(engine, groups, snapshot, config, cuts)
        splitter = TrainingSplitter(snapshot, config, cuts, inner_cuts)
    layout = ShardLayout.of(snapshot, config)
    forms = IdForms.read(snapshot, columns_to_read(config))
    changed: list[ScratchFile | None] = [None] * len(groups)
    if config.features.ids.request is not None:
        keep = config.data.deduplicate.keep if config.data.deduplicate else "first"
        by_request = RequestRows(snapshot, config, splitter, layout)
        changed = find_changed_rows(engine, groups, by_request, layout, keep, scratch)
    histories = join_histories(engine, snapshot, config, forms, scratch)
    kernel = RowsToShards(snapshot, config, splitter, layout, forms, histories)
    return kernel, list(zip(groups, changed, strict=True))


def make_sink(
    layout: ShardLayout, roots: Mapping[str, str], seed: int, vocabularies: list[Vocabulary], shard: int
) -> Sink[Any]:
    """The sink of a shard: a file of a set, or the vocabularies of some ids."""
    file = layout.split_of(shard)
    if file is None:
        return VocabularySink(vocabularies)
    split, number = file
    # Calibration and test rows keep the log's order.
    return ShardWriter(*open_root(roots[split]), number, seed if split == SPLITS[0] else None)


def _report(groups: Sequence[FileGroup]) -> Callable[[int], None]:
    ends = np.cumsum([group.rows for group in groups]).tolist()
    return lambda done: progress(ends[done - 1], ends[-1], f"{ends[done - 1]:,} of {ends[-1]:,} rows")


def _remove_partial(root: str) -> None:
    """Remove what repeated tasks have left of files in a local folder; in a store they leave nothing."""
    if "://" not in root:
        for path in Path(root).glob(f"*{PARTIAL}"):
            path.unlink(missing_ok=True)


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
            "sequences": config.features.all_sequences(),
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
    for task, labels in manifest.counts.items():
        if not labels.rows and (condition := config.tasks[task].only_where) is not None:
            raise ValueError(
                f"tasks.{task}.only_where: leaves none of the {manifest.rows:,} training rows of {window} "
                f"({condition}); a task needs rows with a label; change the rule, or widen the window (data.days)"
            )
        for kind, number in (("positive", labels.positives), ("negative", labels.rows - labels.positives)):
            if number or (kind == "negative" and config.tasks[task].kind == "value"):
                continue
            if task in rules:
                never = "never true" if kind == "positive" else "always true"
                raise ValueError(
                    f"tasks.{task}.label: is {never} in the {labels.rows:,} training rows of {window} that count "
                    f"({rules[task]}); a task needs positives and negatives; change the rule, or widen the window "
                    "(data.days)"
                )
            raise ValueError(
                f"task {task} has no {kind} among {manifest.rows:,} training rows of {window}; widen the window "
                "(data.days) or remove the task"
            )
