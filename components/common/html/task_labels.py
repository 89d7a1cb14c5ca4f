"""Names of tasks as tables show them: a table is narrower without what all names share up to a dot."""

from collections.abc import Collection, Mapping


def tasks_of(tasks: Collection[str]) -> str:
    """What stands over a table of tasks.

    >>> tasks_of(["recap.engagement.is_replied", "recap.engagement.is_favorited"])
    'Tasks of recap.engagement'
    """
    shared = _family(tasks)
    return f"Tasks of {shared}" if shared else "Tasks"


def within_family(task: str, tasks: Collection[str], populations: Mapping[str, str] | None = None) -> str:
    """A task's name in such a table, with the rows that its figures are of.

    Args:
        populations: in words, the condition on the rows of each task that is not of all rows.

    >>> within_family("recap.is_replied", ["recap.is_replied", "recap.is_favorited"])
    'is_replied'
    >>> within_family("bought", ["click", "bought"], {"bought": "click"})
    'bought, where click'
    """
    shared = _family(tasks)
    name = task.removeprefix(f"{shared}.") if shared else task
    population = (populations or {}).get(task)
    return f"{name}, where {population}" if population else name


def _family(tasks: Collection[str]) -> str:
    families = {task.rpartition(".")[0] for task in tasks}
    return families.pop() if len(families) == 1 and len(tasks) > 1 else ""
