"""What the pipelines' graphs share: adding the steps' tasks in order, and the exit handler of a run on a cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kfp import dsl

from components.notify.component import notify
from components.steps import NOTIFY, Step

Configure = Callable[[Any, Step], None]


def add_steps(tasks: Iterator[Any], steps: tuple[Step, ...], configure: Configure, until: str = "") -> None:
    """Add the tasks of the steps up to ``until``, or all, and pass each, with its step, to ``configure``.

    Args:
        tasks: adds a task for each of the steps, in their order, when asked for the next one.
    """
    for step in steps:
        configure(next(tasks).set_display_name(step.title), step)
        if step.name == until:
            return


def configure_local_task(task: Any, step: Step) -> None:
    """Set the caching and the retries of a step on this machine."""
    # Most steps read a registry or a log that changes, so no result comes from kfp's cache.
    task.set_caching_options(enable_caching=False)
    if step.local_retries:
        task.set_retry(num_retries=step.local_retries)


@contextmanager
def exit_handler(name: str, configure: Configure) -> Iterator[None]:
    """Add the tasks in this context to a group, after which, however it ends, notify reports how the run ended."""
    report = notify(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, run_name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER)
    configure(report.set_display_name(NOTIFY.title), NOTIFY)
    with dsl.ExitHandler(report, name=name):
        yield
