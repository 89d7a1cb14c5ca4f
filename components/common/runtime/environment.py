"""Environment variables: temporary changes, and the environment of a child Python process."""

import os
import site
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the block and restore them after it."""
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
    """Environment for a child Python process that imports this package but nothing from its working folder.

    A file in the working folder with the name of a module (``random.py``) would shadow that module. An empty entry of
    ``PYTHONPATH`` means the working folder too. Text is UTF-8 in any locale.
    """
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    # A checkout that is not installed is only on this process's path.
    on_path = _ROOT in {Path(entry).resolve() for entry in sys.path}
    if on_path and str(_ROOT) not in [*path, *site.getsitepackages()]:
        path.append(str(_ROOT))
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path), "PYTHONUTF8": "1"}
