"""The SQLite database of a registry: its URI, its path, and its atomic creation."""

import glob
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from components.common.runtime.atomic_output import atomic_file
from components.common.runtime.locks import locked_folder

_SCHEME = "sqlite:///"
_SPECIAL = frozenset("%?#")


def sqlite_uri(path: str | Path) -> str:
    """The URI of a database file.

    SQLAlchemy decodes percent-encoding, so a path with a reserved character is encoded, slashes included: MLflow
    creates the parent folder of the path in the URI without decoding it.

    >>> sqlite_uri("/work/mlflow.db"), sqlite_uri("/50%/mlflow.db")
    ('sqlite:////work/mlflow.db', 'sqlite:///%2F50%25%2Fmlflow.db')
    """
    text = str(path)
    return f"{_SCHEME}{quote(text, safe='') if _SPECIAL & set(text) else text}"


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite URI; None for a URI of anything else, or of a database in memory.

    >>> sqlite_path("sqlite:///%2F50%25%2Fmlflow.db"), sqlite_path("http://mlflow:5000")
    (PosixPath('/50%/mlflow.db'), None)
    """
    scheme, _, rest = uri.partition(":///")
    name = unquote(rest.partition("?")[0])
    return Path(name) if scheme == "sqlite" and name not in ("", ":memory:") else None


def create_database(path: Path) -> None:
    """Create MLflow's tables in a file that does not exist or is empty; any other file is left as it is.

    MLflow creates them in about fifty separately committed statements: if it is interrupted, or two processes run it
    at once, it leaves a database that it cannot open. Here one process at a time creates them in a temporary file and
    renames it.

    Raises OSError, SQLAlchemyError or MlflowException if the file cannot be created.
    """
    if _has_content(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked_folder(path.parent):
        if _has_content(path):
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        # Of a process that was killed here: SQLite's journals, beside the partial files that `atomic_file` removes.
        for journal in path.parent.glob(f".{glob.escape(path.name)}.partial-*-journal"):
            journal.unlink()
        with atomic_file(path) as partial:
            artifacts = (path.resolve().parent / "artifacts").as_uri()
            with _without_syncs():
                SqlAlchemyStore(sqlite_uri(partial), artifacts).engine.dispose()
            with partial.open("rb") as database:
                os.fsync(database.fileno())


@contextmanager
def _without_syncs() -> Iterator[None]:
    """Keep SQLite from waiting for the disk after each of the statements: `create_database` does so once."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def set_pragma(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", set_pragma)
    try:
        yield
    finally:
        event.remove(Engine, "connect", set_pragma)


def is_incomplete(path: Path) -> bool:
    """Whether a database has some of MLflow's tables only, and nothing in them: its creation was interrupted."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            tables = {
                name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            used = tables & {"runs", "registered_models", "model_versions"}
            return "experiments" in tables and not any(
                database.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone() for name in used
            )
    except sqlite3.Error:
        return False


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
