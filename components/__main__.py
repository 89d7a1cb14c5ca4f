"""``python -m components STEP …``: check that this environment can run the steps; the default command of an image."""

import importlib
import os
import sys

from components.steps import STEPS, WATCH


def main(steps: list[str]) -> int:
    """Import the steps' modules and kfp's executor, which starts them; returns the exit status."""
    known = [step.name for step in (*STEPS, WATCH)]
    unknown = [step for step in steps if step not in known]
    if unknown or not steps:
        print(f"python -m components: give one or more of {', '.join(known)}", file=sys.stderr)  # noqa: T201
        return 2
    importlib.import_module("kfp.dsl.executor_main")
    for step in steps:
        importlib.import_module(f"components.{step}.component")
        importlib.import_module(f"components.{step}.{step}")
    revision = os.environ.get("RECAP_SOURCE_REVISION", "unknown")
    print(f"ready: {', '.join(steps)}; revision {revision}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
