"""Groups of files read in pods of their own, and joined: the same bytes as in one."""

import builtins
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl, local

from components.prepare.component import prepare_group as group_component
from components.prepare.component import prepare_join as join_component
from components.prepare.fan_out import join_groups, prepare_group
from components.prepare.prepare import prepare_datasets
from recap_model.data.dataset.manifest import DatasetManifest
from tests.components.prepare.conftest import grouped_config
from tests.components.snapshots import snapshot_of
from tests.datasets import mark_validated
from tests.tiny import write_tiny_log

SETS = ("train", "calibration", "test")


@pytest.fixture(scope="module")
def frozen(log: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A snapshot, and what says that it is valid."""
    folder = tmp_path_factory.mktemp("frozen")
    snapshot = snapshot_of(log, grouped_config(), folder / "snapshot")
    return snapshot, mark_validated(snapshot, folder / "validated")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files in the training set of so few rows."""
    monkeypatch.setattr("components.prepare.prepare._ROWS_PER_SHARD", 500)


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def parts_of(frozen: tuple[Path, Path], folder: Path, groups: int) -> list[Path]:
    parts = [folder / f"part-{group}" for group in range(groups)]
    for group, part in enumerate(parts):
        prepare_group(*frozen, part, group, groups)
    return parts


def joined(snapshot: Path, parts: list[Path], folder: Path) -> dict[str, bytes]:
    join_groups(snapshot, parts, *(folder / name for name in SETS))
    return contents(folder)


@pytest.mark.parametrize("groups", [1, 2, 5, 20])
def test_any_number_of_pods_makes_the_bytes_of_one(frozen: tuple[Path, Path], tmp_path: Path, groups: int):
    prepare_datasets(*frozen, *(tmp_path / "one" / name for name in SETS), groups=1)
    parts = parts_of(frozen, tmp_path, groups)
    assert joined(frozen[0], parts[::-1], tmp_path / "joined") == contents(tmp_path / "one")
    assert sum("train.rows/part-" in name for name in contents(tmp_path / "one")) == 3


def test_joining_again_makes_the_same_sets_again(frozen: tuple[Path, Path], tmp_path: Path):
    parts = parts_of(frozen, tmp_path, 2)
    first = joined(frozen[0], parts, tmp_path / "joined")
    assert joined(frozen[0], parts, tmp_path / "joined") == first


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("lost", r"part-1/_manifest.json: not there; run the group's step again"),
        ("left out", r"groups 0, 2 of 3: each group is needed exactly once"),
        ("twice", r"groups 0, 1, 1 of 3: each group is needed exactly once"),
        ("countless", r"groups 0, 1, 2 of 1000000000000: each group is needed exactly once"),
        ("torn", r"part-1/_manifest.json: not what the group's step writes: "),
        ("cut off", r"-of-group-00001.arrows: has 100 bytes, its group's manifest says \d+; run the"),
        ("altered", r"-of-group-00001.arrows: changed since its group's manifest was written; run the"),
        ("removed", r"-of-group-00001.arrows: not there, as its group's manifest says; run the"),
        ("no statistics", r"part-1/gathered.npz: not there; run the group's step again"),
        ("pickled", r"part-1/gathered.npz: not what prepare writes"),
        ("other snapshot", r"group 0: of another snapshot \([0-9a-f]{12}\); run its step again"),
    ],
)  # fmt: skip
def test_groups_that_do_not_make_a_whole_are_refused_in_one_line(
    frozen: tuple[Path, Path], tmp_path: Path, harm: str, message: str
):
    snapshot = frozen[0]
    parts = parts_of(frozen, tmp_path, 3)
    part = max((tmp_path / "part-1.rows" / "train").iterdir())
    match harm:
        case "lost":
            (parts[1] / "_manifest.json").unlink()
        case "left out":
            del parts[1]
        case "twice":
            parts[2] = parts[1]
        case "countless":
            for place in parts:
                manifest = json.loads((place / "_manifest.json").read_text())
                (place / "_manifest.json").write_text(json.dumps(manifest | {"groups": 10**12}))
        case "torn":
            (parts[1] / "_manifest.json").write_text('{"group": 1')
        case "cut off":
            part.write_bytes(part.read_bytes()[:100])
        case "altered":
            part.write_bytes(part.read_bytes()[:-100] + bytes(100))
        case "removed":
            part.unlink()
        case "no statistics":
            (parts[1] / "gathered.npz").unlink()
        case "pickled":
            with (parts[1] / "gathered.npz").open("wb") as file:
                np.savez(file, counts=np.array([{}], dtype=object))
        case "other snapshot":
            snapshot = snapshot_of(write_tiny_log(tmp_path / "log"), grouped_config(), tmp_path / "snapshot")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        join_groups(snapshot, parts, *(tmp_path / "joined" / name for name in SETS))
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "joined").exists() or not list((tmp_path / "joined").iterdir())


def test_a_group_is_one_of_those_there_are(frozen: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(ValueError, match="group 3 of 3: groups are numbered from 0 to 2"):
        prepare_group(*frozen, tmp_path / "part", 3, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_group_that_cannot_be_read_leaves_nothing(frozen: tuple[Path, Path], log: Path, tmp_path: Path):
    shutil.copytree(log, tmp_path / "log")
    snapshot = snapshot_of(tmp_path / "log", grouped_config(), tmp_path / "snapshot")
    validated = mark_validated(snapshot, tmp_path / "validated")
    file = sorted((tmp_path / "log").rglob("*.parquet"))[0]
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"date=2026-03-01/part-00000.parquet: "):
        prepare_group(snapshot, validated, tmp_path / "out" / "part", 0, 2)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.filterwarnings("ignore:::kfp")
def test_kubeflow_hands_the_parts_of_a_parallel_loop_to_the_task_that_joins_them(
    frozen: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def imported(path: Path) -> dsl.PipelineTask:
        return dsl.importer(artifact_uri=str(path), artifact_class=dsl.Dataset)

    @dsl.pipeline(name="groups")
    def by_groups() -> dsl.Dataset:
        snapshot, validated = (imported(path).output for path in frozen)
        with dsl.ParallelFor([0, 1, 2]) as group:
            part = group_component(snapshot=snapshot, validated=validated, group=group, groups=3)
        joined = join_component(snapshot=snapshot, parts=dsl.Collected(part.outputs["part"]))
        return joined.outputs["train_set"]

    # kfp indents what is printed, and of tasks in threads may leave it so.
    monkeypatch.setattr(builtins, "print", print)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    found = DatasetManifest.read(by_groups().output.path)
    prepare_datasets(*frozen, *(tmp_path / "one" / name for name in SETS), groups=1)
    expected = DatasetManifest.read(tmp_path / "one" / "train")
    assert (found.rows, found.counts) == (expected.rows, expected.counts)
