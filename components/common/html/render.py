"""Render HTML pages from Jinja2 templates, which escape every value. Pages need no network and no script."""

import re
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined


def render(template_name: str, **values: object) -> str:
    """Render the template ``package/file``, which lies in the package's ``templates`` folder.

    Raises:
        jinja2.UndefinedError: the template uses a value that is not given.
    """
    return _environment.get_template(template_name).render(values)


def split_name(text: str) -> list[str]:
    """Split a name where a line may break: after an underscore or a dot between letters.

    >>> split_name("is_good<1.5")
    ['is_', 'good<1.5']
    """
    return re.split(r"(?<=[a-z][_.])(?=[a-z])", text, flags=re.IGNORECASE)


def _load(template_name: str) -> str:
    package, _, file = template_name.rpartition("/")
    return files(package).joinpath("templates", file).read_text(encoding="utf-8")


_environment = Environment(
    loader=FunctionLoader(_load),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["split_name"] = split_name
_environment.policies["json.dumps_kwargs"] = {"default": str}
