"""Groups of files read by processes or pods side by side: the same bytes, and the same lines, as read by one."""

import builtins
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from kfp import dsl, local

from components.resolve.resolve import resolve_run
from components.validate.component import validate_group as group_component
from components.validate.component import validate_join as join_component
from components.validate.fan_out import join_groups, validate_group
from components.validate.validate import ValidationFailed, validate_snapshot
from tests.components.registries import new_registry
from tests.components.snapshots import snapshot_of
from tests.components.validate.broken import BROKEN, replaced, write_broken
from tests.components.validate.serving_log import serve
from tests.components.validate.shop import shop_config, write_shop_log
from tests.tiny import tiny_config, write_tiny_log

OUTPUTS = {
    ".recap-output",
    "_manifest.json",
    "docs.html",
    "expectation_suite.json",
    "profile.parquet",
    "verdict.json",
}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in [*(folder / "validated").glob("*"), folder / "docs.html"]
    }


def parts_of(snapshot: Path, folder: Path, groups: int) -> list[Path]:
    parts = [folder / f"part-{group}" for group in range(groups)]
    for group, part in enumerate(parts):
        validate_group(snapshot, part, group, groups)
    return parts


def in_pods(snapshot: Path, folder: Path, groups: int) -> None:
    join_groups(
        snapshot, parts_of(snapshot, folder, groups)[::-1], folder / "validated", folder / "docs.html"
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of seven days that another unit was served for, with an expectation that the sample answers."""
    folder = tmp_path_factory.mktemp("served")
    log = write_shop_log(folder / "log", 2, 7, 600)
    pattern = serve(log, folder / "served", replaced("temperature", lambda c: pc.divide(c, 1000.0)))
    own = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "category", "value_set": [1]}}
    config = shop_config(drift={"serving_log": f"{pattern}/*/*.parquet"}, expectations=[own])
    (folder / "config.yaml").write_text(config.to_yaml())
    uri = new_registry(folder)
    resolve_run(
        folder / "config.yaml", str(log), folder / "snapshot", tracking_uri=uri, run_id="run-1", days=7
    )
    return folder / "snapshot"


@pytest.mark.parametrize("groups", [2, 5])
def test_any_number_of_groups_makes_the_bytes_of_one(served: Path, tmp_path: Path, groups: int):
    for count in (1, groups):
        folder = tmp_path / str(count)
        validate_snapshot(served, folder / "validated", folder / "docs.html", groups=count)
    assert set(contents(tmp_path / "1")) == OUTPUTS
    assert contents(tmp_path / str(groups)) == contents(tmp_path / "1")


@pytest.mark.parametrize("groups", [1, 2, 5, 20])
def test_any_number_of_pods_makes_the_bytes_of_one_process(
    served: Path, tmp_path: Path, groups: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("components.validate.profile.row_sample.SAMPLE_ROWS", 300)
    validate_snapshot(served, tmp_path / "one/validated", tmp_path / "one/docs.html", groups=1)
    in_pods(served, tmp_path, groups)
    assert contents(tmp_path) == contents(tmp_path / "one")


@pytest.mark.parametrize("request_id", [None, "request_id"])
@pytest.mark.parametrize("most", [1, 30])
def test_the_sample_does_not_depend_on_groups_where_requests_are_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_id: str | None, most: int
):
    monkeypatch.setattr("components.validate.profile.row_sample.SAMPLE_ROWS", most)
    features = tiny_config().features.model_dump(exclude_none=True)
    features["ids"] = {**features["ids"], "request": request_id}
    own = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "likes", "value_set": [-1]}}
    config = tiny_config(features=features, validation={"expectations": [own]})
    log = write_tiny_log(tmp_path / "log", rows=100)
    for path in log.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        if "request_id" not in table.schema.names:
            table = table.append_column("request_id", pa.array([row // 60 for row in range(len(table))]))
        pq.write_table(table, path, row_group_size=40)
    snapshot = snapshot_of(log, config, tmp_path / "snapshot")
    for groups in (1, 3):
        (tmp_path / str(groups)).mkdir()
        in_pods(snapshot, tmp_path / str(groups), groups)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _words(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    place = table.schema.names.index("user_id")
    pq.write_table(table.set_column(place, "user_id", pc.cast(table["user_id"], pa.string())), path)


def _labels(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    place = table.schema.names.index("like")
    pq.write_table(table.set_column(place, "like", pa.array([3] * len(table), pa.int8())), path)


@pytest.mark.parametrize("harm", [_torn, _words, _labels])
def test_what_is_wrong_is_said_alike_by_any_number_of_pods(tmp_path: Path, harm: Callable[[Path], None]):
    log = write_broken(tmp_path / "log")
    for day in (BROKEN, "date=2026-03-05/part-00000.parquet"):
        harm(log / day)
    snapshot = snapshot_of(log, tiny_config(), tmp_path / "snapshot")
    said = set()
    for groups in (1, 2, 5):
        folder = tmp_path / str(groups)
        with pytest.raises(ValidationFailed) as raised:
            in_pods(snapshot, folder, groups)
        assert not (folder / "validated").exists()
        said.add((str(raised.value), (folder / "docs.html").read_text()))
    with pytest.raises(ValidationFailed) as raised:
        validate_snapshot(snapshot, tmp_path / "validated", tmp_path / "docs.html")
    said.add((str(raised.value), (tmp_path / "docs.html").read_text()))
    assert len(said) == 1


def test_a_process_that_is_killed_ends_the_step_in_one_line(tmp_path: Path):
    snapshot = snapshot_of(write_tiny_log(tmp_path / "log", rows=200), tiny_config(), tmp_path / "snapshot")

    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        os.kill(children[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(
        ChildProcessError, match=r"^a process that reads the log was killed, probably out of memory"
    ):
        validate_snapshot(snapshot, tmp_path / "validated", tmp_path / "docs.html", groups=4)
    killer.join()
    assert not (tmp_path / "validated").exists()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("lost", r"part-1/_manifest.json: not there; run the group's step again"),
        ("left out", r"groups 0, 2 of 3: each group is needed exactly once"),
        ("torn", r"part-1/_manifest.json: not what the group's step writes: "),
        ("altered", r"part-1: changed since its group's manifest was written; run its step again"),
        ("removed", r"part-1: changed since its group's manifest was written; run its step again"),
        ("other snapshot", r"group 0: of another snapshot \([0-9a-f]{12}\); run its step again"),
    ],
)
def test_groups_that_do_not_make_a_whole_are_refused_in_one_line(tmp_path: Path, harm: str, message: str):
    config = tiny_config()
    snapshot = snapshot_of(write_tiny_log(tmp_path / "log"), config, tmp_path / "snapshot")
    parts = parts_of(snapshot, tmp_path, 3)
    manifest, profile = parts[1] / "_manifest.json", parts[1] / "log" / "profile.parquet"
    match harm:
        case "lost":
            manifest.unlink()
        case "left out":
            parts.pop(1)
        case "torn":
            manifest.write_bytes(manifest.read_bytes()[:50])
        case "altered":
            profile.write_bytes(profile.read_bytes()[:-1] + b"x")
        case "removed":
            profile.unlink()
        case "other snapshot":
            snapshot = snapshot_of(write_tiny_log(tmp_path / "more", days=6), config, tmp_path / "other")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        join_groups(snapshot, parts, tmp_path / "validated", tmp_path / "docs.html")
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="group 3 of 3: groups are numbered from 0 to 2"):
        validate_group(snapshot, tmp_path / "part", 3, 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::kfp")
def test_kubeflow_hands_the_parts_of_a_parallel_loop_to_the_task_that_judges_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = snapshot_of(write_tiny_log(tmp_path / "log"), tiny_config(), tmp_path / "snapshot")

    @dsl.pipeline(name="groups")
    def by_groups() -> dsl.Dataset:
        snapshot = dsl.importer(artifact_uri=str(folder), artifact_class=dsl.Dataset).output
        with dsl.ParallelFor([0, 1]) as group:
            part = group_component(snapshot=snapshot, group=group, groups=2)
        joined = join_component(snapshot=snapshot, parts=dsl.Collected(part.outputs["part"]))
        return joined.outputs["validated"]

    # kfp indents what is printed, and of tasks in threads may leave it so.
    monkeypatch.setattr(builtins, "print", print)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    found = Path(by_groups().output.path)
    validate_snapshot(folder, tmp_path / "validated", tmp_path / "docs.html")
    assert (found / "profile.parquet").read_bytes() == (tmp_path / "validated/profile.parquet").read_bytes()
