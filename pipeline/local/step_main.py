"""The process of a local step: ``python -m pipeline.local.step_main STEP`` preloads its modules, then waits.

Importing torch, MLflow and Great Expectations takes seconds, which overlap with the previous step.
"""

import contextlib
import importlib
import json
import os
import sys
import warnings

from components.steps import STEP_OF_NAME


def main(name: str) -> None:
    """Preload modules, then run kfp's executor with the arguments and environment read as JSON from standard input.

    End of input means that the run has ended.
    """
    _preload_modules(name)
    request = sys.stdin.readline()
    if not request:
        return
    from kfp.dsl.executor_main import executor_main

    sys.argv[1:], variables = json.loads(request)
    os.environ.update(variables)
    executor_main()


def _preload_modules(name: str) -> None:
    step = STEP_OF_NAME.get(name)
    if step is None:
        return
    modules = ["kfp.dsl.executor_main", f"components.{name}.{name}"]
    if step.image == "registry":
        modules.append("mlflow")
    for module in modules:
        # An import error is reported by the step, which imports the module again.
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            importlib.import_module(module)


if __name__ == "__main__":
    main(sys.argv[1])
