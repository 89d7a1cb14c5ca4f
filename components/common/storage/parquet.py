"""Opening, reading and hashing Parquet files on any filesystem that pyarrow or fsspec supports."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

import pyarrow as pa
from pyarrow import RecordBatch
from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem
from pyarrow.lib import ArrowException
from pyarrow.parquet import FileMetaData, ParquetFile, read_metadata

from components.common.artifacts.snapshot import LogFile, Snapshot, TableVersion
from components.common.storage.identity import (
    REQUESTS_AT_ONCE,
    FileChangedError,
    keeps_versions,
    open_unchanged,
)
from components.common.storage.retrying import open_input
from components.common.storage.table_file import TableFile
from recap_model.config.fields.uris import without_secret
from recap_model.config.reading.errors import in_one_line
from recap_model.data.log.columns import decoded_rows, plain_type

_PYARROW_SCHEMES = ("file", "s3", "gs", "gcs", "hdfs")
# Arrow's GCS client retries for 15 minutes by default.
_GCS_RETRY_S = 20
_DIGEST_CHUNK_BYTES = 8 << 20
# What Arrow's clients of stores say of a request that was refused.
_DENIED = (
    "AWS Error ACCESS_DENIED",
    "AWS Error INVALID_ACCESS_KEY_ID",
    "AWS Error SIGNATURE",
    "PermissionDenied",
)
_ARROW_SCHEMA = b"ARROW:schema"  # the key in a Parquet file's metadata


def open_root(data_root: str) -> tuple[FileSystem, str]:
    """The filesystem of a data root, and the root's path on it.

    Raises:
        ValueError: the scheme is unknown, or the address holds a password.
        ConnectionError: the store does not answer.
    """
    without_secret(data_root, "the data root")
    scheme, separator, _ = data_root.partition("://")
    try:
        if not separator:
            from pathlib import Path

            return FileSystem.from_uri(Path(data_root).resolve().as_uri())
        if scheme in _PYARROW_SCHEMES:
            return _connect(_with_limit(scheme, data_root), os.getpid())
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(data_root)
        return PyFileSystem(FSSpecHandler(filesystem)), path
    except (ArrowException, ValueError, ImportError, RuntimeError) as error:  # a loop of links is the last
        raise ValueError(f"{data_root}: cannot be opened as a data root: {in_one_line(error)}") from None
    except OSError as error:  # Arrow asks for the region of a bucket if none is given
        raise ConnectionError(
            f"{data_root}: the store does not answer, or refuses ({in_one_line(error)}); check its address "
            "(AWS_ENDPOINT_URL), the credentials and the network"
        ) from None


@lru_cache(maxsize=16)
def _connect(uri: str, process: int) -> tuple[FileSystem, str]:
    """One client of a store for all files that a process reads, with its connections; none survives a fork."""
    opened: tuple[FileSystem, str] = FileSystem.from_uri(uri)
    return opened


def _with_limit(scheme: str, uri: str) -> str:
    if scheme not in ("gs", "gcs") or "retry_limit_seconds" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}retry_limit_seconds={_GCS_RETRY_S}"


def rows_uri(uri: str) -> str | None:
    """URI for the rows of a dataset whose artifact has this URI; None for a local artifact, whose rows lie beside it.

    The orchestrator moves only the artifact, which is the manifest: uploading and downloading whole datasets does
    not scale. Kubeflow's scheme for its own S3 store is ``minio``.

    >>> rows_uri("minio://mlpipeline/v2/artifacts/run/prepare/train_set")
    's3://mlpipeline/v2/artifacts/run/prepare/train_set.rows'
    """
    scheme, separator, path = uri.partition("://")
    if not separator or scheme == "file":
        return None
    return f"{'s3' if scheme == 'minio' else scheme}://{path.rstrip('/')}.rows"


def open_parquet(snapshot: Snapshot, file: LogFile) -> "ParquetFile | TableFile":
    """Open one file of a snapshot's log.

    Raises:
        FileNotFoundError: it was removed since resolve listed it.
        FileChangedError: its size or its store's version of it is not what resolve froze.
        ValueError: it is truncated, or not Parquet.
        ConnectionError: the store no longer responds.
    """
    return open_log_file(*open_root(snapshot.data_root), file, snapshot.table)


def open_log_file(
    filesystem: FileSystem, root: str, file: LogFile, table: TableVersion | None
) -> "ParquetFile | TableFile":
    """Open a listed file, of a table as the table's columns; the errors are those of `open_parquet`."""
    try:
        parquet = open_parquet_at(filesystem, root, file.path, file)
    except FileNotFoundError:
        if table is None:
            raise
        raise FileNotFoundError(
            f"{file.path}: no such file any more under {root}: vacuumed or expired since version {table.version} of "
            f"{table.address}; run the pipeline again, and let the table keep its files for longer than a run"
        ) from None
    return parquet if table is None else TableFile(parquet, file, table)


def batches_of(
    parquet: "ParquetFile | TableFile", rows: int, columns: list[str], use_threads: bool = True
) -> Iterator[RecordBatch]:
    """Read columns of a file in batches of at most ``rows`` rows, holding about one row group in memory.

    Reading all row groups in one call, pyarrow keeps its read-ahead until the end of the file.
    """
    for row_group in range(parquet.num_row_groups):
        batches = parquet.iter_batches(rows, [row_group], columns=columns, use_threads=use_threads)
        yield from map(decoded_rows, batches)


def open_parquet_at(
    filesystem: FileSystem, root: str, path: str, frozen: LogFile | None = None
) -> ParquetFile:
    """Open ``path`` under ``root``; as a snapshot froze it, if that is given. Errors are those of `open_parquet`."""
    with _errors_of(path, root):
        if frozen is None:
            source = open_input(filesystem, f"{root}/{path}")
        else:
            source = open_unchanged(filesystem, root, frozen)
        # Read in nanoseconds, Arrow's default, the year 9999 of Spark's and Hive's INT96 becomes 1816.
        options = {"coerce_int96_timestamp_unit": "ms"}
        file = ParquetFile(source, **options)
        if _has_null_lists(file):
            return ParquetFile(source, metadata=_without_arrow_schema(file), **options)
        return file


@contextmanager
def _errors_of(path: str, root: str) -> Iterator[None]:
    """Raise the errors of `open_parquet` for those of a filesystem and of Arrow."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file under {root}; run resolve again") from None
    except (ArrowException, OSError) as error:
        reason = in_one_line(error)
        if isinstance(error, PermissionError) or any(said in reason for said in _DENIED):
            raise PermissionError(
                f"{path}: no permission to read it under {root}; check its permissions, or the store's credentials "
                "(on Spark the executors')"
            ) from None
        if isinstance(error, ConnectionError | TimeoutError) or "AWS Error" in reason:
            raise ConnectionError(f"{path}: the store stopped answering ({reason}); run it again") from None
        raise ValueError(f"{path}: truncated or not Parquet ({reason}); write the file again") from None


def _has_null_lists(file: ParquetFile) -> bool:
    """Whether a fixed-size list column may contain nulls, which PyArrow cannot read (arrow #35692)."""
    fixed = tuple(
        f"{field.name}." for field in file.schema_arrow if pa.types.is_fixed_size_list(plain_type(field.type))
    )
    for leaf in range(file.metadata.num_columns if fixed else 0):
        if file.schema.column(leaf).path.startswith(fixed):
            for group in range(file.metadata.num_row_groups):
                statistics = file.metadata.row_group(group).column(leaf).statistics
                if statistics is None or not statistics.has_null_count or statistics.null_count:
                    return True
    return False


def _without_arrow_schema(file: ParquetFile) -> FileMetaData:
    """The file's metadata without the embedded Arrow schema, so that lists are read with variable length."""
    sink = pa.BufferOutputStream()
    file.metadata.write_metadata_file(sink)
    renamed = sink.getvalue().to_pybytes().replace(_ARROW_SCHEMA, b"X" * len(_ARROW_SCHEMA))
    return read_metadata(pa.BufferReader(renamed))


def digest(filesystem: FileSystem, path: str) -> tuple[str, int]:
    """SHA-256 and size of a file, in one pass. Raises what the filesystem raises."""
    with open_input(filesystem, path) as stream:
        return _digest(stream)


def _digest(stream: pa.NativeFile) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(_DIGEST_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def hash_content(snapshot: Snapshot, file: LogFile) -> str:
    """SHA-256 of a file whose store keeps no version of it; empty for the others, which are not read.

    Raises as `open_parquet`, and FileChangedError if it is not the content that validate read.
    """
    if keeps_versions(file):
        return ""
    filesystem, root = open_root(snapshot.data_root)
    with _errors_of(file.path, root), open_unchanged(filesystem, root, file) as stream:
        sha256, _ = _digest(stream)
    if file.sha256 not in ("", sha256):
        raise FileChangedError(file.path)
    return sha256


def read_schemas(snapshot: Snapshot) -> list[pa.Schema]:
    """The columns of each file, read by many threads. Raises as `open_parquet`."""
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return list(pool.map(lambda file: open_parquet(snapshot, file).schema_arrow, snapshot.files))


def count_rows(snapshot: Snapshot) -> Snapshot:
    """The snapshot with the number of rows of each file, from the footers, read by many threads.

    A file that cannot be read counts none: whoever reads its rows reports it.
    """
    (filesystem, root), files = open_root(snapshot.data_root), snapshot.files

    def count(file: LogFile) -> int:
        if file.row_count is not None:
            return file.row_count
        try:
            return int(open_parquet_at(filesystem, root, file.path, file).metadata.num_rows)
        except (OSError, ValueError):
            return 0

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        rows = {file.path: count for file, count in zip(files, pool.map(count, files), strict=True)}
    return snapshot.with_files(lambda file: file.model_copy(update={"row_count": rows[file.path]}))
