"""Opening, reading and hashing Parquet files on any filesystem that pyarrow or fsspec supports."""

import hashlib
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import RecordBatch
from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem
from pyarrow.lib import ArrowException
from pyarrow.parquet import FileMetaData, ParquetFile, read_metadata

from components.common.artifacts.snapshot import LogFile, Snapshot
from components.common.storage.retrying import get_file_info, open_input
from recap_model.config.fields.uris import without_secret
from recap_model.config.reading.errors import in_one_line
from recap_model.data.log.columns import decoded_rows, plain_type

_PYARROW_SCHEMES = ("file", "s3", "gs", "gcs", "hdfs")
# Arrow's GCS client retries for 15 minutes by default.
_GCS_RETRY_S = 20
_DIGEST_CHUNK_BYTES = 8 << 20
_ARROW_SCHEMA = b"ARROW:schema"  # the key in a Parquet file's metadata


def open_root(data_root: str) -> tuple[FileSystem, str]:
    """The filesystem of a data root, and the root's path on it.

    Raises ValueError for an unknown scheme, or an address that holds a password.
    """
    without_secret(data_root, "the data root")
    scheme, separator, _ = data_root.partition("://")
    try:
        if not separator:
            from pathlib import Path

            return FileSystem.from_uri(Path(data_root).resolve().as_uri())
        if scheme in _PYARROW_SCHEMES:
            return FileSystem.from_uri(_with_limit(scheme, data_root))
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(data_root)
        return PyFileSystem(FSSpecHandler(filesystem)), path
    except (ArrowException, ValueError, ImportError, RuntimeError) as error:  # a loop of links is the last
        raise ValueError(f"{data_root}: cannot be opened as a data root: {in_one_line(error)}") from None


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


def open_parquet(snapshot: Snapshot, file: LogFile) -> ParquetFile:
    """Open one file of a snapshot's log.

    Raises:
        FileNotFoundError: it was removed since resolve listed it.
        ValueError: it is truncated, or not Parquet.
        ConnectionError: the store no longer responds.
    """
    filesystem, root = open_root(snapshot.data_root)
    return open_parquet_at(filesystem, root, file.path)


def batches_of(
    parquet: ParquetFile, rows: int, columns: list[str], use_threads: bool = True
) -> Iterator[RecordBatch]:
    """Read columns of a file in batches of at most ``rows`` rows, holding about one row group in memory.

    Reading all row groups in one call, pyarrow keeps its read-ahead until the end of the file.
    """
    for row_group in range(parquet.num_row_groups):
        batches = parquet.iter_batches(rows, [row_group], columns=columns, use_threads=use_threads)
        yield from map(decoded_rows, batches)


def open_parquet_at(filesystem: FileSystem, root: str, path: str) -> ParquetFile:
    """Open ``path`` under ``root``; the errors are those of `open_parquet`."""
    try:
        # Read in nanoseconds, Arrow's default, the year 9999 of Spark's and Hive's INT96 becomes 1816.
        source, options = open_input(filesystem, f"{root}/{path}"), {"coerce_int96_timestamp_unit": "ms"}
        file = ParquetFile(source, **options)
        if _has_null_lists(file):
            return ParquetFile(source, metadata=_without_arrow_schema(file), **options)
        return file
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file under {root}; run resolve again") from None
    except PermissionError:
        raise PermissionError(f"{path}: no permission to read it under {root}") from None
    except (ArrowException, OSError) as error:
        reason = in_one_line(error)
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
    found, size = hashlib.sha256(), 0
    with open_input(filesystem, path) as stream:
        while chunk := stream.read(_DIGEST_CHUNK_BYTES):
            found.update(chunk)
            size += len(chunk)
    return found.hexdigest(), size


def describe_file(filesystem: FileSystem, root: str, path: str) -> LogFile:
    """Snapshot entry of a Parquet file under a root; the errors are those of `open_parquet`."""
    rows = open_parquet_at(filesystem, root, path).metadata.num_rows
    sha256, size = digest(filesystem, f"{root}/{path}")
    return LogFile(path=path, rows=rows, bytes=size, sha256=sha256)


def check_unchanged(snapshot: Snapshot, file: LogFile) -> None:
    """Check that a file's content is what resolve froze.

    Raises:
        FileNotFoundError: it was removed.
        ValueError: it has another size or content, or cannot be read.
    """
    filesystem, root = open_root(snapshot.data_root)
    try:
        size = get_file_info(filesystem, f"{root}/{file.path}").size
        found = digest(filesystem, f"{root}/{file.path}") if size == file.bytes else ("", size)
    except FileNotFoundError:
        raise FileNotFoundError(f"{file.path}: no such file under {root}; run resolve again") from None
    except PermissionError:
        raise PermissionError(f"{file.path}: no permission to read it under {root}") from None
    except OSError as error:
        raise ValueError(f"{file.path}: cannot be read ({in_one_line(error)})") from None
    if size is None:
        raise FileNotFoundError(f"{file.path}: no such file under {root}; run resolve again")
    if found != (file.sha256, file.bytes):
        raise ValueError(f"{file.path}: changed since resolve froze the log; run the pipeline again")
