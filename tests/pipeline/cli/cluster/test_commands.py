"""The cluster's commands, against a server that refuses what the published API does not know."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli.app import app
from pipeline.cluster import client
from pipeline.cluster.compile import compile_pipelines
from pipeline.cluster.settings import ClusterSettings
from pipeline.graphs import Pipeline
from tests.pipeline.cli.cluster.api import PipelinesApi, serving

pytestmark = pytest.mark.filterwarnings("ignore:::kfp", "ignore:::kfp_server_api")

WHERE = ("--data", "s3://logs/impressions", "--tracking-uri", "http://mlflow:5000")


@pytest.fixture(scope="module", autouse=True)
def _compiled_once() -> Iterator[None]:
    """Each placement of the pipeline is compiled once: that takes seconds, and commands run a hundred times here."""
    texts: dict[str, str] = {}

    def compile_once(out: Path, settings: ClusterSettings, pipelines: list[Pipeline]) -> list[Path]:
        (pipeline,) = pipelines
        key = pipeline.name + settings.model_dump_json()
        if key not in texts:
            texts[key] = compile_pipelines(out, settings, pipelines)[0].read_text()
        path = out / pipeline.file
        path.write_text(texts[key])
        return [path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.cluster.compile.compile_pipelines", compile_once)
        yield


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PipelinesApi]:
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving() as running:
        monkeypatch.setenv("KFP_HOST", running.url)
        yield running
    assert running.misfit == []


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def said(result: Result) -> str:
    """What went well with a command."""
    assert result.exit_code == 0, result.output or result.exception
    return result.output


def failure(result: Result) -> str:
    """The one line that a command failed with."""
    assert isinstance(result.exception, ValueError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_a_run_is_submitted_with_its_window_in_its_name(server: PipelinesApi):
    output = said(call("submit", *WHERE, "--end-date", "2026-03-06", "--days", "7"))
    (run,) = server.runs.values()
    assert run["display_name"] == "retrain 2026-03-06 7 days"
    assert run["runtime_config"]["parameters"] == {
        "data_root": "s3://logs/impressions",
        "tracking_uri": "http://mlflow:5000",
        "config": "pipeline/configs/heavy_ranker.yaml",
        "end_date": "2026-03-06",
        "days": 7,
    }
    assert run["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]
    assert f"{server.url}/#/runs/details/{run['run_id']}" in output
    assert "retrain 2026-03-06 7 days" in said(call("runs"))
    assert json.loads(said(call("runs", "--json")))[0]["state"] == "PENDING"


def test_a_backfill_is_a_run_for_each_day_and_can_be_called_again(server: PipelinesApi):
    stretch = ("backfill", *WHERE, "--from", "2026-02-27", "--to", "2026-03-02")
    said(call(*stretch))
    days = ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
    assert [run["runtime_config"]["parameters"]["end_date"] for run in server.runs.values()] == days
    next(iter(server.runs.values()))["state"] = "FAILED"
    assert said(call(*stretch)).count("already exists") == 3
    assert len(server.runs) == 5


def test_a_backfill_knows_its_runs_beyond_the_first_page_of_the_list(
    server: PipelinesApi, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "_PAGE", 2)
    stretch = ("backfill", *WHERE, "--from", "2026-02-27", "--to", "2026-03-03")
    said(call(*stretch))
    assert said(call(*stretch)).count("already exists") == len(server.runs) == 5


def test_a_schedule_runs_the_released_version_one_at_a_time_without_catching_up(server: PipelinesApi):
    said(call("release", "--version", "v1"))
    output = said(call("schedule", "create", "nightly", "--cron", "30 3 * * *", *WHERE))
    (made,) = server.recurring.values()
    assert made["trigger"]["cron_schedule"]["cron"] == "0 30 3 * * *"
    assert (made["no_catchup"], str(made["max_concurrency"]), made["mode"]) == (True, "1", "ENABLE")
    assert (
        made["pipeline_version_reference"]["pipeline_version_id"]
        == server.versions[-1]["pipeline_version_id"]
    )
    assert made["runtime_config"]["parameters"]["end_date"] == ""
    assert output.count(" on data up to ") == 3
    assert len(re.findall(r"^  \S+ 03:30 UTC", output, re.MULTILINE)) == 3
    assert "nightly" in said(call("schedule", "list"))
    said(call("schedule", "pause", "nightly"))
    assert made["mode"] == "DISABLE"
    said(call("schedule", "resume", "nightly"))
    assert made["mode"] == "ENABLE"
    assert "already" in failure(call("schedule", "create", "nightly", "--cron", "30 4 * * *", *WHERE))
    said(call("schedule", "delete", "nightly"))
    assert not server.recurring
    assert "there is none of that name; there are: none" in failure(call("schedule", "delete", "nightly"))


def test_the_watch_is_released_and_scheduled_beside_the_retraining(server: PipelinesApi):
    for pipeline in ("retrain", "watch"):
        said(call("release", "--version", "v1", "--pipeline", pipeline))
        said(call("schedule", "create", pipeline, "--cron", "30 3 * * *", "--pipeline", pipeline, *WHERE))
    by_name = {one["display_name"]: one for one in server.recurring.values()}
    assert by_name["watch"]["runtime_config"]["parameters"] == {
        "data_root": "s3://logs/impressions",
        "tracking_uri": "http://mlflow:5000",
        "config": "pipeline/configs/heavy_ranker.yaml",
        "day": "",
    }
    said(call("release", "--version", "v2", "--pipeline", "watch"))
    moved = {one["display_name"]: one["pipeline_version_reference"] for one in server.recurring.values()}
    released = {one["pipeline_version_id"]: one["display_name"] for one in server.versions}
    assert {name: released[one["pipeline_version_id"]] for name, one in moved.items()} == {
        "retrain": "v1",
        "watch": "v2",
    }


def test_a_release_moves_every_schedule_and_says_what_differs(server: PipelinesApi, tmp_path: Path):
    said(call("release", "--version", "v1"))
    for name in ("nightly", "weekly"):
        said(call("schedule", "create", name, "--cron", "30 3 * * 1", *WHERE))
    said(call("schedule", "pause", "weekly"))
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("images: {tag: v2}")
    output = said(call("release", "--version", "v2", "--cluster", str(cluster)))
    assert "image: recap-data:v2" in output
    newest = server.versions[-1]["pipeline_version_id"]
    assert server.versions[-1]["display_name"] == "v2"
    moved = {one["display_name"]: one for one in server.recurring.values()}
    assert len(server.recurring) == 2
    assert {one["pipeline_version_reference"]["pipeline_version_id"] for one in moved.values()} == {newest}
    assert (moved["nightly"]["mode"], moved["weekly"]["mode"]) == ("ENABLE", "DISABLE")
    assert "already exists" in failure(call("release", "--version", "v2"))
    again = said(call("release", "--version", "v2", "--cluster", str(cluster)))
    assert "v2: identical to v2" in again
    assert {one["display_name"]: one for one in server.recurring.values()} == moved


def _enabled(server: PipelinesApi) -> list[str]:
    return sorted(one["display_name"] for one in server.recurring.values() if one["mode"] == "ENABLE")


def test_a_release_that_breaks_off_anywhere_is_finished_by_the_same_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("images: {tag: v2}")
    release = ("release", "--version", "v2", "--cluster", str(cluster))
    with serving() as released:
        monkeypatch.setenv("KFP_HOST", released.url)
        said(call("release", "--version", "v1"))
        for name in ("nightly", "weekly"):
            said(call("schedule", "create", name, "--cron", "30 3 * * 1", *WHERE))
        said(call("schedule", "pause", "weekly"))
    broken_off = 0
    for requests in range(100):
        with serving(released) as server:
            monkeypatch.setenv("KFP_HOST", server.url)
            before = len(server.versions)
            server.dies_after = requests
            first = call(*release)
            assert _enabled(server) in ([], ["nightly"])
            server.dies_after = None
            broken_off += first.exit_code != 0
            said(call(*release))
            assert _enabled(server) == ["nightly"]
            assert sorted(one["display_name"] for one in server.recurring.values()) == ["nightly", "weekly"]
            newest = server.versions[-1]["pipeline_version_id"]
            versions = {
                one["pipeline_version_reference"]["pipeline_version_id"] for one in server.recurring.values()
            }
            assert (versions, len(server.versions), server.misfit) == (
                {newest},
                before + 1,
                [],
            )
        if first.exit_code == 0:
            break
    assert broken_off > 8


def test_who_shares_a_server_with_others_releases_and_schedules_in_a_namespace(
    server: PipelinesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server.multi_user = True
    cluster = tmp_path / "cluster.yaml"
    for namespace in ("others", "ours"):
        monkeypatch.setenv("KFP_NAMESPACE", namespace)
        for version in ("v1", "v2"):
            cluster.write_text(f"images: {{tag: {version}}}")
            said(call("release", "--version", version, "--cluster", str(cluster)))
            if version == "v1":
                said(call("schedule", "create", "nightly", "--cron", "30 3 * * *", *WHERE))
    said(call("submit", *WHERE))
    assert [one["namespace"] for one in server.pipelines.values()] == ["others", "ours"]
    assert len(server.recurring) == 2
    assert "nightly" in said(call("schedule", "list"))
    assert said(call("runs")).count("retrain ") == 1
    said(call("schedule", "delete", "nightly"))
    monkeypatch.setenv("KFP_NAMESPACE", "others")
    assert "nightly" in said(call("schedule", "list"))
    assert "retrain " not in said(call("runs"))


def test_a_release_goes_back_to_an_older_version_by_its_name(server: PipelinesApi, tmp_path: Path):
    clusters = {}
    for version in ("v1", "v2"):
        clusters[version] = tmp_path / f"{version}.yaml"
        clusters[version].write_text(f"images: {{tag: {version}}}")
        said(call("release", "--version", version, "--cluster", str(clusters[version])))
    said(call("schedule", "create", "nightly", "--cron", "30 3 * * *", *WHERE))
    output = said(call("release", "--version", "v1", "--cluster", str(clusters["v1"])))
    assert "schedule nightly: runs v1" in output
    (schedule,) = server.recurring.values()
    named = {one["pipeline_version_id"]: one["display_name"] for one in server.versions}
    assert named[schedule["pipeline_version_reference"]["pipeline_version_id"]] == "v1"


def test_the_version_that_the_server_makes_with_the_pipeline_is_none_of_ours(server: PipelinesApi):
    said(call("release", "--version", "v1"))
    # Both are of one second, so that either may come first.
    server.versions.reverse()
    assert "runs version v1" in said(call("schedule", "create", "nightly", "--cron", "30 3 * * *", *WHERE))
    assert "v1: identical to v1" in said(call("release", "--version", "v1"))
    assert len(server.recurring) == 1


def test_a_schedule_that_a_person_paused_after_a_release_stays_paused(server: PipelinesApi, tmp_path: Path):
    said(call("release", "--version", "v1"))
    said(call("schedule", "create", "nightly", "--cron", "30 3 * * 1", *WHERE))
    cluster = tmp_path / "cluster.yaml"
    for version in ("v2", "v3"):
        cluster.write_text(f"images: {{tag: {version}}}")
        said(call("release", "--version", version, "--cluster", str(cluster)))
        if version == "v2":
            said(call("schedule", "pause", "nightly"))
    assert _enabled(server) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("submit", "--data", "/logs", "--tracking-uri", "http://mlflow"),
            "--data: '/logs': a cluster's pods cannot read",
        ),
        (
            ("submit", *WHERE, "--end-date", "6.3.2026"),
            "--end-date: '6.3.2026' is not a date; write YYYY-MM-DD",
        ),
        (("submit", *WHERE, "--host", "mlflow:80"), "host: 'mlflow:80' is not an address"),
        (
            ("backfill", *WHERE, "--from", "2026-03-02", "--to", "2026-03-01"),
            "--to: 2026-03-01 is before --from",
        ),
        (
            ("schedule", "create", "x", "--cron", "every day", *WHERE),
            "cron: 'every day' is not a cron expression",
        ),
        (("schedule", "create", "x", "--cron", "* * * * *", *WHERE), "fires more than once an hour"),
        (("schedule", "create", "x", "--cron", "*/30 0 1 * *", *WHERE), "fires more than once an hour"),
        (
            ("schedule", "create", "x", "--cron", "0 3 * * *", "--time-zone", "Mars", *WHERE),
            "--time-zone: 'Mars' is not a time zone",
        ),
        (
            ("schedule", "create", "x", "--cron", "0 3 * * *", *WHERE),
            "no version of the pipeline yet; upload one by",
        ),
    ],
)
def test_what_cannot_be_is_one_line_and_starts_nothing(server: PipelinesApi, arguments, message: str):
    assert message in failure(call(*arguments))
    assert not server.runs
    assert not server.recurring


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "not authenticated (401: because)"),
        (403, "permission denied (many servers need --namespace) (403: because)"),
        (404, "is this the address of the pipelines' API?"),
        (500, "the server rejects the request (500: because)"),
    ],
)
def test_a_refusal_is_one_line_with_what_to_do(server: PipelinesApi, status: int, message: str):
    server.answer = (status, {"error": "because"})
    assert message in failure(call("runs"))


def test_a_token_is_sent_from_its_file(server: PipelinesApi, tmp_path: Path):
    server.tokens = {"Bearer secret"}
    assert "401" in failure(call("runs"))
    token = tmp_path / "token"
    token.write_text("secret\n")
    said(call("runs", "--token-file", str(token)))


def test_a_server_that_is_not_there_or_never_answers_is_one_line(
    server: PipelinesApi, monkeypatch: pytest.MonkeyPatch
):
    assert "the server does not answer" in failure(call("runs", "--host", "http://127.0.0.1:9"))
    monkeypatch.setattr(client, "_TIMEOUTS_S", (0.2, 0.2))
    server.hang = threading.Event()
    assert "the server does not answer" in failure(call("runs"))
    server.hang.set()
