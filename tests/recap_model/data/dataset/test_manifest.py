"""A manifest from elsewhere: paths that lead out of the folder, and what is said of one that is wrong."""

import json
from pathlib import Path

import pytest

from recap_model.data.dataset.manifest import MANIFEST_NAME, DatasetManifest
from tests.datasets import build_tiny
from tests.tiny import tiny_config, write_tiny_log


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("manifest")
    sets = build_tiny(folder, tiny_config(), write_tiny_log(folder / "log", days=5, rows=50))
    return json.loads((sets.train / MANIFEST_NAME).read_text())


def _read(folder: Path, content: dict) -> DatasetManifest:
    (folder / MANIFEST_NAME).write_text(json.dumps(content))
    return DatasetManifest.read(folder)


@pytest.mark.parametrize("path", ["../x.arrow", "/etc/passwd", "a/../../x", "..\\x", "a\0b", ""])
def test_a_path_that_leads_out_of_the_folder_is_refused(path: str, content: dict, tmp_path: Path):
    file = content["files"][0] | {"path": path}
    with pytest.raises(ValueError, match=r"files\.0\.path: .*leads out of its folder") as refused:
        _read(tmp_path, content | {"files": [file]})
    assert str(tmp_path) in str(refused.value)


def test_what_is_wrong_is_named_by_its_field(content: dict, tmp_path: Path):
    with pytest.raises(ValueError, match="rows: 'many': must be a whole number"):
        _read(tmp_path, content | {"rows": "many"})


def test_names_of_files_may_be_unusual(content: dict, tmp_path: Path):
    file = content["files"][0] | {"path": "a b/..c/naïve__x.arrow"}
    assert _read(tmp_path, content | {"files": [file]}).files[0].path == file["path"]
