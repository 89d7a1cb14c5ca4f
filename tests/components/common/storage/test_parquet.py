"""What a store says of a file that cannot be read is one line with what to do."""

import pytest
from pyarrow.fs import LocalFileSystem

from components.common.storage import parquet


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            OSError("When reading 'b/a': AWS Error ACCESS_DENIED during HeadObject operation: No response"),
            PermissionError,
            r"^a: no permission to read it under b; check .*credentials \(on Spark the executors'\)$",
        ),
        (PermissionError(13, "Permission denied"), PermissionError, "^a: no permission to read it under b"),
        (OSError("AWS Error SLOW_DOWN during GetObject"), ConnectionError, "the store stopped answering"),
        (
            FileNotFoundError(2, "not there"),
            FileNotFoundError,
            "^a: no such file under b; run resolve again$",
        ),
    ],
)
def test_a_file_that_a_store_refuses(
    error: Exception, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(parquet, "open_input", refuse)
    with pytest.raises(kind, match=message):
        parquet.open_parquet_at(LocalFileSystem(), "b", "a")
