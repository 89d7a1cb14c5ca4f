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

# What steps import only when they use it, by their image: MLflow with its database, and torch's optimizers.
_IMPORTED_LATE = {
    "registry": (
        "mlflow.pyfunc",
        "mlflow.store.db.utils",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.model_registry.sqlalchemy_store",
        "alembic.command",
    ),
    "trainer": ("torch._dynamo",),
}


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
    for module in ("kfp.dsl.executor_main", f"components.{name}.{name}", *_IMPORTED_LATE.get(step.image, ())):
        # An import error is reported by the step, which imports the module again.
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            importlib.import_module(module)
    # A step that draws: its renderer takes longer to start than a chart to draw.
    if charts := sys.modules.get("components.common.html.charts.vega"):
        charts.start()


if __name__ == "__main__":
    main(sys.argv[1])
