"""``recap prune``: old runs go, the newest, those still going, and the registry stay."""

import fcntl
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from typer.testing import CliRunner

from components.common.runtime.atomic_output import atomic_directory
from pipeline.cli.app import app
from pipeline.local.run_folders import new_run, newest_run, prune_runs


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Four runs of a kilobyte each, a day apart, the oldest first, beside a registry."""
    (tmp_path / "mlflow.db").write_text("registry")
    made = []
    for day in range(1, 5):
        path = tmp_path / "runs" / f"2026-03-0{day}T10-00-00-000000"
        (path / "steps").mkdir(parents=True)
        (path / "steps" / "rows").write_bytes(bytes(1024))
        made.append(path)
    return made


def _left(workspace: Path) -> list[str]:
    return sorted(path.name for path in (workspace / "runs").iterdir())


def test_the_newest_runs_and_the_registry_stay(runs: list[Path], tmp_path: Path):
    assert prune_runs(tmp_path, keep=2) == [(runs[0], 1024), (runs[1], 1024)]
    assert _left(tmp_path) == [run.name for run in runs[2:]]
    assert (tmp_path / "mlflow.db").is_file()


def test_a_run_that_is_still_going_stays(runs: list[Path], tmp_path: Path):
    with new_run(tmp_path) as going, new_run(tmp_path) as newest:
        names = [going.path.name, newest.path.name]
        prune_runs(tmp_path, keep=1)
        assert _left(tmp_path) == names
    prune_runs(tmp_path, keep=1)
    assert _left(tmp_path) == names[1:]


def test_a_run_after_the_clock_was_set_back_is_the_newest(runs: list[Path], tmp_path: Path):
    ahead = tmp_path / "runs" / "2199-12-31T23-59-59-999999"
    (ahead / "reports").mkdir(parents=True)
    with new_run(tmp_path) as run:
        run.reports.mkdir()
        (run.reports / "evaluation.html").touch()
        assert run.path.name == "2200-01-01T00-00-00-000000"
    assert newest_run(tmp_path) == run
    prune_runs(tmp_path, keep=1)
    assert _left(tmp_path) == [run.path.name]


def test_a_link_to_a_run_and_a_run_that_cannot_be_removed_do_not_stop_the_others(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    elsewhere = tmp_path / "elsewhere"
    runs[0].rename(elsewhere)
    runs[0].symlink_to(elsewhere)
    remove = shutil.rmtree

    def refuse_second(path: Path) -> None:
        if path.name.endswith(runs[1].name):
            raise PermissionError(13, "Permission denied", str(path))
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", refuse_second)
    with pytest.raises(PermissionError):
        prune_runs(tmp_path, keep=1)
    assert _left(tmp_path) == [f".removed-{runs[1].name}", runs[0].name, runs[3].name]
    assert (elsewhere / "steps" / "rows").is_file()


def test_what_is_no_run_stays_and_counts_for_none(runs: list[Path], tmp_path: Path):
    (tmp_path / "runs" / "zz-notes").mkdir()
    (tmp_path / "runs" / "notes.txt").touch()
    prune_runs(tmp_path, keep=1)
    assert _left(tmp_path) == [runs[3].name, "notes.txt", "zz-notes"]


def test_what_an_interrupted_call_left_is_removed_by_the_next(runs: list[Path], tmp_path: Path):
    runs[0].rename(runs[0].with_name(f".removed-{runs[0].name}"))
    prune_runs(tmp_path, keep=3)
    assert _left(tmp_path) == [run.name for run in runs[1:]]


def test_what_killed_runs_left_in_kept_ones_goes_by_prune_and_by_the_next_run(
    runs: list[Path], tmp_path: Path
):
    def leave(run: Path) -> list[Path]:
        train = run / "steps" / "recap-retrain-1" / "train"
        left = [run / "tmp", train / ".model.partial-abcd1234", train / ".page.html.partial-abcd1234"]
        for folder in left[:2]:
            folder.mkdir(parents=True)
            (folder / "half").write_bytes(bytes(10))
        left[2].write_bytes(bytes(3))
        return left

    left = leave(runs[3])
    with (runs[3] / ".running").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert prune_runs(tmp_path, keep=4) == []
    with atomic_directory(left[1].with_name("other")) as partial:
        assert prune_runs(tmp_path, keep=4, dry_run=True) == list(zip(left, (10, 10, 3), strict=True))
        assert all(path.exists() for path in left)
        assert prune_runs(tmp_path, keep=4) == list(zip(left, (10, 10, 3), strict=True))
        assert partial.is_dir()
    left = leave(runs[0])
    with new_run(tmp_path):
        pass
    assert not any(path.exists() for path in left)


def test_what_no_run_wrote_is_never_removed(runs: list[Path], tmp_path: Path):
    (runs[0] / "notes.txt").write_text("precious")
    link = runs[0].with_name("2026-02-01T10-00-00-000000")
    link.symlink_to(runs[3])
    notes = tmp_path / "checkpoints" / "mine" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("precious")
    os.utime(notes.parent, (0, 0))
    assert prune_runs(tmp_path, keep=1) == [(runs[1], 1024), (runs[2], 1024)]
    assert (runs[0] / "notes.txt").is_file()
    assert link.is_symlink()
    assert notes.is_file()


def test_one_that_prunes_waits_for_another_that_does(runs: list[Path], tmp_path: Path, monkeypatch):
    removing, go_on = Event(), Event()
    remove = shutil.rmtree

    def slowly(path: Path) -> None:
        removing.set()
        assert go_on.wait(30)
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", slowly)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(prune_runs, tmp_path, 2)
        assert removing.wait(30)
        second = threads.submit(prune_runs, tmp_path, 2)
        time.sleep(0.1)
        go_on.set()
        assert [path for path, _ in first.result()] == runs[:2]
        assert second.result() == []


def test_checkpoints_older_than_every_kept_run_go(runs: list[Path], tmp_path: Path):
    for name, age_days in (("stale", 3000), ("fresh", 0)):
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        at = time.time() - age_days * 86_400
        os.utime(folder, (at, at))
    with new_run(tmp_path):
        prune_runs(tmp_path, keep=9)
        assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    prune_runs(tmp_path, keep=9)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["fresh"]


def test_a_dry_run_says_what_would_go_and_removes_nothing(runs: list[Path], tmp_path: Path):
    done = CliRunner().invoke(app, ["prune", "--workspace", str(tmp_path), "--keep", "3", "--dry-run"])
    assert done.stdout.splitlines() == [
        f"would remove runs/{runs[0].name}",
        "would remove 1 path, 0.0 MiB",
    ]
    assert len(_left(tmp_path)) == 4


def test_a_workspace_without_runs_is_said(tmp_path: Path):
    done = CliRunner().invoke(app, ["prune", "--workspace", str(tmp_path)])
    assert isinstance(done.exception, FileNotFoundError)
    assert "no runs; give" in str(done.exception)


def test_temporary_files_of_a_runs_steps_go_with_the_run(tmp_path: Path):
    before = os.environ.get("TMPDIR")
    with new_run(tmp_path) as run, run.temporary_files():
        made = Path(
            subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip()
        )
        assert made.is_relative_to(run.path)
    assert os.environ.get("TMPDIR") == before
    assert [path.name for path in run.path.iterdir()] == [".running"]
