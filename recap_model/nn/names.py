"""Task names as keys of a ModuleDict."""

from torch import nn


def sanitize(task: str) -> str:
    """A task's name without dots, which a key of a ``ModuleDict`` may not hold.

    >>> sanitize("recap.engagement.is_replied")
    'recap__engagement__is_replied'
    """
    return task.replace(".", "__")


def unsanitize(key: str) -> str:
    """The task's name that `sanitize` was given.

    >>> unsanitize("recap__engagement__is_replied")
    'recap.engagement.is_replied'
    """
    return key.replace("__", ".")


def module_key(task: str) -> str:
    """The key that a task's modules have in a ``ModuleDict``: the sanitized name.

    A name that is an attribute of every ``ModuleDict`` (``type``, ``train``, ``apply``) could not be a key;
    it gets one ``_`` more, and so does that name followed by ``_``: two tasks never share a key.

    >>> module_key("apply"), module_key("apply_"), module_key("is_applied")
    ('apply_', 'apply__', 'is_applied')
    """
    key = sanitize(task)
    return key + "_" if hasattr(nn.ModuleDict(), key.rstrip("_")) else key
