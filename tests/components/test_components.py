"""What kfp asks of every component: a body that stands alone, and a module that is cheap to import."""

import builtins
import importlib
import inspect
import subprocess
import symtable
import sys
import textwrap

import pytest

from components.steps import STEP_OF_NAME
from pipeline import tune

COMPONENTS = {
    name: getattr(importlib.import_module(f"components.{name}.component"), name) for name in STEP_OF_NAME
}
OF_STUDIES = {
    name: getattr(tune, name) for name in ("prepare_study", "train_reference", "run_trials", "report_study")
}


@pytest.mark.parametrize("name", [*COMPONENTS, *OF_STUDIES])
def test_a_body_uses_nothing_of_its_module(name: str):
    source = textwrap.dedent(inspect.getsource((COMPONENTS | OF_STUDIES)[name].python_func))
    source = source[source.index("def ") :]
    table = symtable.symtable(source, name, "exec").get_children()[0]
    annotations_and_names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    assert annotations_and_names <= set(dir(builtins))


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_has_a_docstring_a_readme_and_no_postponed_annotations(name: str):
    module = inspect.getmodule(COMPONENTS[name].python_func)
    assert COMPONENTS[name].python_func.__doc__
    assert "from __future__ import annotations" not in inspect.getsource(module)
    readme = (__import__("pathlib").Path(module.__file__).parent / "README.md").read_text()
    assert readme.startswith(f"# {module.__name__.split('.')[1]}\n")


def test_importing_the_pipeline_loads_nothing_heavy():
    code = (
        "import sys, pipeline.retrain, pipeline.watch, pipeline.tune; "
        "print([name for name in ('torch', 'mlflow', 'great_expectations', 'pandas', 'sklearn', 'matplotlib')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
