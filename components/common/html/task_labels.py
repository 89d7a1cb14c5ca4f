"""Names of tasks as tables show them: a table is narrower without what all names share up to a dot."""

from collections.abc import Collection


def tasks_of(tasks: Collection[str]) -> str:
    """What stands over a table of tasks.

    >>> tasks_of(["recap.engagement.is_replied", "recap.engagement.is_favorited"])
    'Tasks of recap.engagement'
    """
    shared = _family(tasks)
    return f"Tasks of {shared}" if shared else "Tasks"


def within_family(task: str, tasks: Collection[str]) -> str:
    """A task's name in such a table.

    >>> within_family("recap.is_replied", ["recap.is_replied", "recap.is_favorited"])
    'is_replied'
    """
    shared = _family(tasks)
    return task.removeprefix(f"{shared}.") if shared else task


def _family(tasks: Collection[str]) -> str:
    families = {task.rpartition(".")[0] for task in tasks}
    return families.pop() if len(families) == 1 and len(tasks) > 1 else ""
