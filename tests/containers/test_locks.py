"""The images' locked packages."""

import re
from pathlib import Path

import pytest

CONTAINERS = Path(__file__).parents[2] / "containers"
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)


def name_of(text: str) -> str:
    """A package's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", text).lower()


def versions(text: str) -> dict[str, str]:
    return {name_of(name): version for name, version in PINNED.findall(text)}


@pytest.mark.parametrize("image", ["data", "data-spark", "trainer", "registry"])
def test_a_lock_holds_every_package_at_the_version_that_the_tests_run_with(image: str):
    tested = versions((CONTAINERS / "constraints.txt").read_text())
    lock = (CONTAINERS / "locks" / f"{image}.txt").read_text()
    assert len(versions(lock)) > 20
    assert {name: version for name, version in versions(lock).items() if tested.get(name) != version} == {}
    assert "torch" not in versions(lock)
    for package in re.split(r"\n(?=\S)", lock.strip()):
        assert "--hash=sha256:" in package, f"{package.splitlines()[0]}: no hash; run containers/lock"
