"""Score Parquet files with a model of the registry: one output file per input file, written atomically."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem, FileType, LocalFileSystem

from components.common.artifacts.snapshot import LogFile, TableVersion
from components.common.runtime.atomic_output import atomic_file
from components.common.storage.log_files import check_no_table, choose_files, list_folder, shorten
from components.common.storage.parquet import batches_of, open_log_file, open_root
from components.common.storage.retrying import get_file_info
from components.common.storage.table_file import TableFile
from components.common.storage.tables.listing import list_table
from recap_model.config.reading.errors import in_one_line

if TYPE_CHECKING:
    from torch import Tensor

    from recap_model.model.ranking_model import MultiTaskRankingModel

MANIFEST_NAME = "_manifest.json"
_MOST_ROWS = 8192
_META = b"recap.scores"
_FORMAT = "recap-scores/1"

log = logging.getLogger(__name__)

OnProgress = Callable[[int, str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A model's folder, and the name that outputs record."""

    folder: Path
    name: str


def find_model(model: str, tracking_uri: str, scratch: Path) -> Source:
    """Resolve a model's folder, ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS`` of the registry.

    Args:
        scratch: where a version is downloaded to.

    Raises:
        FileNotFoundError: it is neither a folder nor such a name.
        ValueError: the registry does not answer, has no such version or alias, or the version was altered.
    """
    if Path(model).is_dir():
        return Source(Path(model), str(Path(model).resolve()))
    if not model.startswith("models:/"):
        raise FileNotFoundError(
            f"{model}: no such folder; give a model's folder, models:/NAME/VERSION or models:/NAME@ALIAS"
        )
    from components.common import registry

    client = registry.connect(tracking_uri)
    name, version = registry.find_named_version(client, model)
    return Source(registry.download(client, name, version, scratch / "model"), f"models:/{name}/{version}")


def score_files(
    source: Source, data: str, out: Path, weights: Mapping[str, float], on_progress: OnProgress
) -> int:
    """Score every Parquet file under ``data`` into a file of the same name under ``out``; returns the rows.

    A file's columns are the config's ids, each task's calibrated probability, and ``score``, float32; its metadata
    record the model, the score weights and the input file. An existing output of the same model, weights, and input
    size and time is kept, so an interrupted call resumes. ``_manifest.json`` is written last. Memory is bounded by a
    few batches of rows.

    Args:
        data: a file, a folder, or a URI; the same files are read, ignored or rejected as in a log.
        weights: override the model's score weights of these tasks.
        on_progress: called with the number of scored rows and the current file.

    Raises:
        FileNotFoundError: there is no Parquet file.
        FileExistsError: a file of ``out`` that would be replaced was not written by scoring.
        ValueError: the folders of rows and scores overlap; a file is not Parquet, or corrupt; or a column is missing
            or has the wrong type. The message names file and column.
    """
    from recap_model import load_model
    from recap_model.scoring import config_of, score_weights

    model = load_model(source.folder)
    try:
        config_of(model)
    except ValueError as error:
        raise ValueError(f"{source.folder}: {error}") from None
    chosen = score_weights(model, weights)
    listed = list_files(data)
    names = [file.path for file, _ in listed.files]
    if isinstance(listed.filesystem, LocalFileSystem):
        folder = Path(listed.root if listed.table else open_root(data)[1])
        _check_disjoint(folder, Path(listed.root), names, out)
    if listed.not_read:
        log.warning("%s: not read: %s", data, shorten(listed.not_read, 20))
    done, files = 0, {}
    _refuse_other_files(out, names)
    for file, mtime_ns in listed.files:
        name = file.path
        provenance = {
            "model": source.name,
            "weights": dict(weights),
            "input": {"bytes": file.bytes, "mtime_ns": mtime_ns},
        }
        target = out / name
        if not _is_up_to_date(target, provenance):
            rows = open_log_file(listed.filesystem, listed.root, file, listed.table)
            now = done
            for count in _score_file(model, rows, chosen, name, target, provenance):
                now += count
                on_progress(now, name)
        files[name] = pq.read_metadata(target).num_rows
        done += files[name]
    content = {"format": _FORMAT, "model": source.name, "weights": dict(weights), "files": files}
    with atomic_file(out / MANIFEST_NAME) as partial:
        partial.write_text(json.dumps(content | {"rows": done}, indent=1))
    return done


def _score_file(
    model: "MultiTaskRankingModel",
    rows: pq.ParquetFile | TableFile,
    weights: "Tensor | None",
    name: str,
    target: Path,
    provenance: dict[str, Any],
) -> Iterator[int]:
    """Score one file; yields the rows written per batch. Reading, scoring and writing overlap."""
    from components.common.storage.rows_at_once import rows_at_once
    from recap_model.config.fields.names import SCORE
    from recap_model.data.log.schema import (
        check_columns,
        check_request,
        log_columns,
        select_columns,
        sequence_columns,
    )
    from recap_model.scoring import config_of, history_columns, score_rows

    columns, model_config = rows.schema_arrow, config_of(model)
    features = model_config.features
    there = columns.names
    ids = (features.ids.request, features.ids.user, features.ids.candidate)
    kept = list(dict.fromkeys(column for column in ids if column is not None and column in there))
    read = {*kept, *features.columns(), *features.derived, *history_columns(features)}
    wanted = [column for column in dict.fromkeys(there) if column in read]
    check_request(columns, model_config, name)
    check_columns(
        columns, [one for one in select_columns(log_columns(model_config), kept) if one.role == "id"], name
    )
    schema = _schema(columns, kept, [*model.tasks, SCORE], provenance)
    histories = [
        column
        for sequence_name, sequence in features.all_sequences().items()
        for column in sequence_columns(sequence, f"features.sequences.{sequence_name}")
    ]
    batches = _batches(rows, rows_at_once(rows, histories, _MOST_ROWS), wanted, name)

    def scored(batch: pa.RecordBatch) -> pa.RecordBatch:
        scores = score_rows(model, batch, weights, where=name)
        return pa.record_batch([*map(batch.column, kept), *map(pa.array, scores.T)], schema=schema)

    with atomic_file(target) as partial, pq.ParquetWriter(partial, schema) as writer:
        for batch in _prefetch(map(scored, _prefetch(batches))):
            writer.write_batch(batch)
            yield batch.num_rows


def _batches(
    rows: pq.ParquetFile | TableFile, at_once: int, columns: list[str], name: str
) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches_of(rows, at_once, columns)
    except (pa.ArrowException, OSError) as error:
        reason = in_one_line(error)
        raise ValueError(f"{name}: cannot be read ({reason}); write the file again") from None


def _prefetch(items: Iterator[T]) -> Iterator[T]:
    """Yield the items; a thread computes the next one while the current one is used."""
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = thread.submit(next, items, None)
            yield item


class ScoredInput(NamedTuple):
    """Parquet files to score in order, each with its modification time; and the ignored files."""

    filesystem: FileSystem
    root: str
    files: list[tuple[LogFile, int | None]]
    not_read: list[str]
    table: TableVersion | None = None


def list_files(data: str) -> ScoredInput:
    """List the Parquet files of a file, a folder or a table. Raises as `score_files` and `list_table`."""
    if (listing := list_table(data)) is not None:
        current: list[tuple[LogFile, int | None]] = [
            (listing.check_readable(one).file, None) for one in listing.files
        ]
        return ScoredInput(*open_root(listing.root), current, [], listing.table)
    filesystem, path = open_root(data)
    try:
        info = get_file_info(filesystem, path)
        if info.type == FileType.File:
            folder, _, name = info.path.rpartition("/")
            check_no_table(filesystem, folder)
            file = LogFile(path=name, bytes=info.size)
            return ScoredInput(filesystem, folder, [(file, info.mtime_ns)], [])
        if info.type == FileType.Directory:
            check_no_table(filesystem, path)
            files, not_read = choose_files(filesystem, path, list_folder(filesystem, path))
            if files:
                listed = [(LogFile(path=one.path, bytes=one.size), one.mtime_ns) for one in files]
                return ScoredInput(filesystem, path, listed, not_read)
    except OSError as error:
        raise ConnectionError(f"{data}: cannot be listed: {in_one_line(error)}") from None
    raise FileNotFoundError(f"{data}: no Parquet file there; give a file, or a folder of *.parquet")


def _check_disjoint(data: Path, root: Path, names: list[str], out: Path) -> None:
    """Raise ValueError if the scores would be written among the rows, where the next call would read them."""
    rows, scores = data.resolve(), out.resolve()
    if rows.is_relative_to(scores):
        raise ValueError(f"{out}: holds the rows ({data}); give another folder for the scores")
    for path in (rows, *((root / name).resolve() for name in names)):
        if scores.is_relative_to(path) or path.is_relative_to(scores):
            raise ValueError(
                f"{out}: the scores would lie among the rows ({path}); give another folder for them"
            )


def _is_up_to_date(target: Path, provenance: dict[str, Any]) -> bool:
    return _read_provenance(target) == _canonical_json(provenance)


def _read_provenance(target: Path) -> bytes | None:
    """Provenance in the metadata of a score file; None if it is not one."""
    if not target.is_file():
        return None
    try:
        return (pq.read_schema(target).metadata or {}).get(_META)
    except (pa.ArrowException, OSError):
        return None


def _refuse_other_files(out: Path, names: list[str]) -> None:
    """Raise FileExistsError if scoring would replace a file that it did not write."""
    manifest = out / MANIFEST_NAME
    others = [out / name for name in names if (out / name).exists() and _read_provenance(out / name) is None]
    if manifest.exists() and not (manifest.is_file() and _FORMAT.encode() in manifest.read_bytes()):
        others.append(manifest)
    if others:
        raise FileExistsError(f"{others[0]}: is there already and holds no scores; give another --out")


def _schema(rows: pa.Schema, ids: list[str], scores: list[str], provenance: dict[str, Any]) -> pa.Schema:
    fields = [rows.field(name) for name in ids] + [pa.field(name, pa.float32()) for name in scores]
    return pa.schema(fields, metadata={_META: _canonical_json(provenance)})


def _canonical_json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode()
