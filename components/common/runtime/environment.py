"""Environment variables: set for a while, and those of a Python process that is started."""

import os
import site
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set these in the block; after it each is what it was, or is gone if it was not there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def python_environment() -> dict[str, str]:
    """Variables of a Python process that imports this package, and nothing from its working folder.

    A module there named as one of ours, or of the standard library (``random.py``), would take its place. An empty
    entry of ``PYTHONPATH`` is the working folder too. Text is UTF-8 in any locale.
    """
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    # A checkout that is not installed is found by this process's path alone.
    on_path = _ROOT in {Path(entry).resolve() for entry in sys.path}
    if on_path and str(_ROOT) not in [*path, *site.getsitepackages()]:
        path.append(str(_ROOT))
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path), "PYTHONUTF8": "1"}
