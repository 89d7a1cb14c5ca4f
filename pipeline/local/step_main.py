"""The process of a local step: ``python -m pipeline.local.step_main STEP`` imports what the step runs, and waits.

Torch, MLflow and Great Expectations take seconds to import, which pass while the step before is still at work.
"""

import contextlib
import importlib
import json
import os
import sys
import warnings

from components.steps import STEP_OF_NAME


def main(name: str) -> None:
    """Import ahead, then run kfp's executor as a line of JSON on standard input says: its arguments, and variables.

    Without such a line the run has ended, and so does this process.
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
        # What cannot be imported is an error of the step, which imports it again and says so.
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            importlib.import_module(module)


if __name__ == "__main__":
    main(sys.argv[1])
