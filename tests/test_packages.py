"""The project asks for the packages that it imports, and for no others; a wheel of it has all that it reads."""

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
# torch's exporter takes the first two; the last one runs what was exported.
_WITHOUT_IMPORT = {"onnx", "onnxscript", "onnxruntime"}


def name_of(requirement: str) -> str:
    """A package's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ]", requirement)[0]).lower()


def imported() -> set[str]:
    """Top-level modules that the product's source imports, anywhere in it."""
    found = set()
    for package in ("recap_model", "components", "pipeline"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {one.name.partition(".")[0] for one in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.partition(".")[0])
    return found


def test_every_package_that_is_asked_for_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: wanted for name, wanted in project["optional-dependencies"].items() if name != "dev"}
    asked = {name_of(one) for wanted in (project["dependencies"], *extras.values()) for one in wanted}
    sources = packages_distributions()
    used = {name_of(one) for module in imported() for one in sources.get(module, ())}
    assert asked - used - _WITHOUT_IMPORT - {"recap"} == set()


def test_a_wheel_has_every_template():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    data = {
        path
        for package, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for path in (ROOT / package).glob(pattern)
    }
    templates = {
        path
        for package in ("components", "pipeline")
        for suffix in ("html", "css")
        for path in (ROOT / package).rglob(f"*.{suffix}")
    }
    assert templates
    assert templates <= data
