"""What an audit says of known vulnerabilities, with packages as pip-audit describes them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

CONTAINERS = Path(__file__).parents[2] / "containers"
SOUND = {"name": "numpy", "version": "2.4.6", "vulns": []}
FAULTY = {
    "name": "jinja2",
    "version": "3.1.2",
    "vulns": [{"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["3.1.3"]}],
}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", CONTAINERS / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_known_vulnerability_is_told_with_what_mends_it(audit: ModuleType):
    told = audit.unaccepted([SOUND, FAULTY, UNKNOWN], {})
    assert told == ["jinja2 3.1.2: PYSEC-2026-1; fixed in: 3.1.3"]


@pytest.mark.parametrize("name", ["PYSEC-2026-1", "CVE-2026-1"])
def test_one_that_is_accepted_by_any_of_its_names_is_not(audit: ModuleType, name: str):
    assert audit.unaccepted([FAULTY], {name: "the template is ours"}) == []


def test_what_is_accepted_needs_a_reason(audit: ModuleType, tmp_path: Path):
    file = tmp_path / "accepted.txt"
    file.write_text("# an id a line\nCVE-2026-1 the template is ours  # see the report\n")
    assert audit.accepted(file) == {"CVE-2026-1": "the template is ours"}
    file.write_text("CVE-2026-1\n")
    with pytest.raises(ValueError, match=r"CVE-2026-1: give the reason"):
        audit.accepted(file)


def test_every_lock_is_audited(audit: ModuleType):
    assert {f"{name}.txt" for name in audit.LOCKS} == {path.name for path in (CONTAINERS / "locks").iterdir()}
