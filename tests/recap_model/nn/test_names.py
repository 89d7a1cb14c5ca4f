"""Tasks as keys of modules."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import nn

from recap_model import sanitize, unsanitize
from recap_model.config.fields.names import TaskName
from recap_model.nn.names import module_key

TASK = TypeAdapter(TaskName)


@given(st.text(alphabet="ab._", max_size=8))
def test_every_name_that_the_config_takes_survives_sanitizing(name):
    try:
        TASK.validate_python(name)
    except ValidationError:
        assume(False)
    assert unsanitize(sanitize(name)) == name


@pytest.mark.parametrize("task", ["type", "train", "keys", "forward", "training", "apply", "_modules", "a.b"])
def test_any_name_can_be_a_key(task):
    modules = nn.ModuleDict({module_key(task): nn.Linear(1, 1)})
    assert [name for name, _ in modules.named_parameters()] == [
        f"{module_key(task)}.weight",
        f"{module_key(task)}.bias",
    ]


def test_no_two_names_share_a_key():
    names = ["apply", "apply_", "apply_x", "like", "like_"]
    assert len({module_key(name) for name in names}) == len(names)
