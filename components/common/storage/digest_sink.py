"""An output file that is written once, counted and hashed, and visible only when it is complete."""

import hashlib
import uuid
from types import TracebackType

from pyarrow.fs import FileSystem

PARTIAL = ".partial"


class DigestSink:
    """An output file for Arrow's writers that counts its bytes and computes their SHA-256.

    A store shows a file only when it is closed. On a local filesystem it is written under another name, ending in
    `PARTIAL`, and renamed, so that two processes may write the same file, as when Spark repeats a task.

    Args:
        path: on the filesystem, in an existing folder.
    """

    def __init__(self, filesystem: FileSystem, path: str) -> None:
        self._filesystem = filesystem
        self._path = path
        local = filesystem.type_name == "local"
        self._written = f"{path}.{uuid.uuid4().hex}{PARTIAL}" if local else path
        self._stream = filesystem.open_output_stream(self._written)
        self._digest = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far."""
        return self._digest.hexdigest()

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return bool(self._stream.closed)

    def write(self, data: bytes) -> int:
        """Write bytes; returns their number."""
        self._digest.update(data)
        self._stream.write(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: the file is visible only when it is closed."""

    def close(self) -> None:
        """Close the file, which makes it visible under its name."""
        if self.closed:
            return
        self._stream.close()
        if self._written != self._path:
            self._filesystem.move(self._written, self._path)

    def __enter__(self) -> "DigestSink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
