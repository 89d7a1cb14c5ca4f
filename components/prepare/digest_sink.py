"""A file that is written once, here or in an object store, and knows its size and digest without being read again."""

import hashlib
from types import TracebackType

from pyarrow.fs import FileSystem


class DigestSink:
    """What Arrow's writers take for a file: counts the bytes that go through it and takes their SHA-256.

    Args:
        path: on the filesystem; the folder exists, where folders do.
    """

    def __init__(self, filesystem: FileSystem, path: str) -> None:
        self._stream = filesystem.open_output_stream(path)
        self._digest = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """Of all bytes so far."""
        return self._digest.hexdigest()

    @property
    def closed(self) -> bool:
        """Whether it takes no more."""
        return bool(self._stream.closed)

    def write(self, data: bytes) -> int:
        """Take bytes; returns their number."""
        self._digest.update(data)
        self._stream.write(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing: an object store has nothing to show before the end."""

    def close(self) -> None:
        """End the file. In an object store it is there from now on."""
        self._stream.close()

    def __enter__(self) -> "DigestSink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
