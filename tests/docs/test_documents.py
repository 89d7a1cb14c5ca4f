"""What the documents speak of is there: commands, modules, files, fields of the config."""

import importlib.util
import re
import types
import typing
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from pydantic import BaseModel

from pipeline.cli.app import app
from pipeline.cluster.settings import ClusterSettings
from recap_model.config import RecapConfig

ROOT = Path(__file__).parents[2]
PACKAGES = ("components", "containers", "docs", "pipeline", "recap_model", "tests")
DOCUMENTS = [
    str(path.relative_to(ROOT))
    for folder in (ROOT, *(ROOT / name for name in PACKAGES))
    for path in sorted(folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
    if path.name != "CHANGELOG.md"  # which tells of what was
]
COMMAND = re.compile(r"^recap ([a-z].*)$", re.MULTILINE)
MODULE = re.compile(r"python -m ([a-z_.]+)")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
CODE = re.compile(r"`([^`\n]+)`")
_THEIRS = {"mlflow", "pytest"}  # modules of others
_SOURCE_NAMES = {path.name for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
_EXAMPLES = {"expectations.py"}  # a file of an artifact


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def shown(document: str) -> list[list[str]]:
    """The words of each ``recap`` command in the blocks of a document."""
    blocks = re.findall(r"```\n(.*?)```", text_of(document), re.DOTALL)
    return [line.split("#")[0].split() for block in blocks for line in COMMAND.findall(block)]


def is_there(path: str, document: str) -> bool:
    """Whether a path, or a pattern of paths, is one from the top or from the document's folder."""
    path = path.rstrip("/")
    return any(
        any(folder.glob(path)) for folder in (ROOT, (ROOT / document).parent) if not path.startswith("/")
    )


def has_field(model: Any, path: list[str]) -> bool:
    """Whether a section has a field; a mapping has any name."""
    if not path:
        return True
    origin = typing.get_origin(model)
    if origin in (typing.Union, types.UnionType, typing.Annotated, list, typing.Literal):
        return any(has_field(inner, path) for inner in typing.get_args(model))
    if origin is dict:
        return has_field(typing.get_args(model)[1], path[1:])
    if isinstance(model, type) and issubclass(model, BaseModel):
        field = model.model_fields.get(path[0])
        return field is not None and has_field(field.annotation, path[1:])
    return False


def test_the_documents_are_found():
    assert {"README.md", "docs/operate.md", "components/validate/README.md"} <= set(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_and_option_exists(document: str):
    for words in shown(document):
        command = typer.main.get_command(app)
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        runs = not hasattr(command, "commands") or command.invoke_without_command
        assert runs, f"{document}: recap … {' '.join(words)}"
        known = {name for parameter in command.params for name in parameter.opts}
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        assert given <= known, f"{document}: {given - known}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_file_and_module_is_there(document: str):
    text = text_of(document)
    links = [link for link in LINK.findall(text) if "://" not in link]
    paths = [
        code
        for code in CODE.findall(text)
        if re.match(rf"({'|'.join(PACKAGES)})/[\w./*-]*$", code) and "NAME" not in code
    ]
    assert [path for path in (*links, *paths) if not is_there(path, document)] == []
    modules = [name for name in MODULE.findall(text) if name.split(".")[0] not in _THEIRS]
    assert [name for name in modules if importlib.util.find_spec(name.rstrip(".")) is None] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_source_file_named_without_its_folder_exists(document: str):
    named = {code for code in CODE.findall(text_of(document)) if re.fullmatch(r"[a-z_]\w*\.py", code)}
    assert named - _SOURCE_NAMES - _EXAMPLES == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_field_of_the_config_is_one(document: str):
    sections = "|".join(RecapConfig.model_fields)
    named = [
        code
        for code in CODE.findall(text_of(document))
        if re.fullmatch(rf"({sections})(\.\w+)+", code) and not code.endswith((".json", ".jsonl"))
    ]
    assert [code for code in named if not has_field(RecapConfig, code.split("."))] == []


def test_a_field_that_is_none_is_told_apart():
    assert has_field(RecapConfig, ["tasks", "X", "given"])
    assert has_field(RecapConfig, ["evaluation", "gate", "floors", "min_auc"])
    assert not has_field(RecapConfig, ["evaluation", "gate", "floors", "min_luck"])
    assert not has_field(RecapConfig, ["training", "batch_size", "more"])


def test_the_clusters_file_that_is_shown_is_one():
    block = re.search(r"```yaml\n(.*?)```", text_of("docs/cluster.md"), re.DOTALL)
    assert block is not None
    settings = ClusterSettings.model_validate(yaml.safe_load(block[1]))
    assert settings.pod("train") == ClusterSettings().pod("train")


def test_the_manifests_that_are_shown_are_what_kubernetes_takes():
    blocks = re.findall(r"```yaml\n(.*?)```", text_of("docs/cluster.md"), re.DOTALL)
    manifests = [one for block in blocks for one in yaml.safe_load_all(block) if "apiVersion" in one]
    kinds = {one["kind"]: one for one in manifests}
    assert {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "PersistentVolumeClaim"} == set(kinds)
    for manifest in manifests:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    for binding in (kinds["RoleBinding"], kinds["ClusterRoleBinding"]):
        assert binding["roleRef"]["name"] == kinds[binding["roleRef"]["kind"]]["metadata"]["name"]
