"""Script of a load test's fresh process: load a version by MLflow alone, score its stored rows, measure.

Its argument is the text of the version's requirements, whose packages it imports at once. Then it reads a line: a
version's folder, a Parquet file of rows, and a folder for the results, as JSON. It imports nothing of this project,
so that the code inside the version is what is loaded. Only the packages that the version requires, and their own
requirements, can be imported: an undeclared requirement of the version raises ModuleNotFoundError.
"""

import json
import os
import re
import resource
import select
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from types import ModuleType

_REPEATS = 10
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


def main(requirements: str) -> None:
    threading.Thread(target=_end_with_reader, daemon=True).start()
    pinned = _pinned(requirements)
    hidden = _Hide(_not_required(set(pinned)))
    sys.meta_path.insert(0, hidden)
    import mlflow.pyfunc
    import pandas as pd

    start = time.perf_counter()
    if "torch" in pinned:
        import torch  # noqa: F401 - what takes longest to load
    imported_s = time.perf_counter() - start
    given = sys.stdin.readline()
    if not given:
        return
    version, rows, out = map(Path, json.loads(given))
    hidden.names -= {path.stem for path in (version / "code").glob("*")}
    frame = pd.read_parquet(rows)
    with _path_without_escapes(version) as path:
        start = time.perf_counter()
        model = mlflow.pyfunc.load_model(str(path), suppress_warnings=True)
        load_s = imported_s + time.perf_counter() - start
        latencies_ms = []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            scores = model.predict(frame)
            latencies_ms.append((time.perf_counter() - start) * 1e3)
    scores.to_parquet(out / "scores.parquet")
    measured = {
        "load_s": load_s,
        "median_latency_ms": sorted(latencies_ms)[_REPEATS // 2],
        "worst_latency_ms": max(latencies_ms),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "other_packages": list(_of_other_release(pinned)),
    }
    (out / "measured.json").write_text(json.dumps(measured))


@contextmanager
def _path_without_escapes(version: Path) -> Iterator[Path]:
    """The folder, by a link where its path holds a percent sign: MLflow decodes local paths as if they were URIs."""
    if "%" not in str(version.resolve()):
        yield version
        return
    with tempfile.TemporaryDirectory(prefix="recap-version-", dir="/tmp") as folder:
        # To the parent: MLflow follows a link to the version itself, and refuses it as outside of its folder.
        link = Path(folder) / "versions"
        link.symlink_to(version.resolve().parent)
        yield link / version.name


def _end_with_reader() -> None:
    """Exit when the process that started this one, and reads its output, has ended."""
    gone = select.poll()
    gone.register(1, 0)
    gone.poll()
    os._exit(1)


class _Hide(MetaPathFinder):
    """Refuses to find modules of these top-level names."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: the version does not require it", name=fullname
            )
        return None


def _pinned(requirements: str) -> dict[str, str]:
    """Pinned releases by package."""
    lines = map(_PINNED.match, requirements.splitlines())
    return {_normal(line[1]): line[2] for line in lines if line}


def _not_required(packages: set[str]) -> set[str]:
    """Top-level modules of packages that these do not require."""
    from packaging.requirements import Requirement

    needed: set[str] = set()
    waiting = [(name, "") for name in packages]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        needed.add(name)
        try:
            wanted = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for one in map(Requirement, wanted):
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                waiting += [(_normal(one.name), also) for also in ("", *one.extras)]
    return {
        module
        for module, owners in packages_distributions().items()
        if needed.isdisjoint(map(_normal, owners))
    }


def _of_other_release(pinned: dict[str, str]) -> list[str]:
    mismatches = []
    for name, wanted in pinned.items():
        installed = distribution(name).version.partition("+")[0]
        if installed != wanted:
            mismatches.append(f"{name} {installed} for {wanted}")
    return mismatches


def _normal(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main(sys.argv[1])
