"""The small commands: what they print, and how they end."""

from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.cli.terminal.run_result import print_result, registry_options
from pipeline.cli.workspace import CONFIGS, config_path
from pipeline.local.run_folders import new_run, newest_run
from recap_model.config import ConfigError, load_config

RUNNER = CliRunner()


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_config_that_comes_along_is_fine_and_shows_every_section(name: str):
    assert "valid" in RUNNER.invoke(app, ["config", "check", name]).stdout
    shown = RUNNER.invoke(app, ["config", "show", name])
    assert yaml.safe_load(shown.stdout) == load_config(CONFIGS / f"{name}.yaml").model_dump(mode="json")


def test_a_config_that_is_not_there_names_those_that_come_along():
    with pytest.raises(
        FileNotFoundError,
        match="census, heavy_ranker, history, kuairand, kuairand_history, movielens, phoenix",
    ):
        config_path("nothing")


def test_a_wrong_config_is_an_error_of_the_command(tmp_path: Path):
    path = tmp_path / "wrong.yaml"
    path.write_text("features: {continuous: [a]}\n")
    result = RUNNER.invoke(app, ["config", "check", str(path)])
    assert isinstance(result.exception, ConfigError)


def test_a_sample_log_is_made_once_and_extended_by_a_day(tmp_path: Path):
    arguments = ["sample", "--out", str(tmp_path / "log"), "--rows", "2000", "--days", "2"]
    first = RUNNER.invoke(app, [*arguments, "--extend"])
    assert "2,000 rows, 2026-03-01 to 2026-03-02" in first.stdout
    second = RUNNER.invoke(app, [*arguments, "--extend"])
    assert "3,000 rows, 2026-03-01 to 2026-03-03" in second.stdout
    assert len(list((tmp_path / "log").glob("date=*"))) == 3


def test_the_pipeline_is_compiled_where_told(tmp_path: Path):
    result = RUNNER.invoke(app, ["compile", "--out", str(tmp_path)])
    names = ("retrain.yaml", "watch.yaml", "tune.yaml")
    assert result.stdout.split() == [str(tmp_path / name) for name in names]
    assert (tmp_path / "retrain.yaml").is_file()


def test_the_report_is_that_of_the_newest_run_with_an_evaluation(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no run with an evaluation"):
        newest_run(tmp_path)
    with new_run(tmp_path) as finished, new_run(tmp_path) as stopped:
        for run, report in ((finished, "evaluation.html"), (stopped, "data.html")):
            run.reports.mkdir()
            (run.reports / report).touch()
    (tmp_path / "runs" / "zz-latest").symlink_to(finished.path)
    result = RUNNER.invoke(app, ["report", "--workspace", str(tmp_path), "--no-show"])
    assert Path(result.stdout.strip()) == finished.reports / "evaluation.html"


@pytest.mark.parametrize(
    "command", [[], ["run"], ["sample"], ["import"], ["config"], ["models"], ["promote"]]
)
def test_every_command_explains_itself(command: list[str]):
    result = RUNNER.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_a_workspace_without_a_registry_says_what_makes_one(tmp_path: Path):
    result = RUNNER.invoke(app, ["models", "--workspace", str(tmp_path), "--json"])
    assert "no registry yet; recap run creates one" in str(result.exception)


def test_a_run_names_the_commands_that_find_its_model_and_its_report(capsys: pytest.CaptureFixture[str]):
    result = {"outcome": "HOLD", "promotion": {"name": "shop", "reason": "why"}, "reports": {}}
    where = registry_options(Path("my work"), "sqlite:///a", "sqlite:///a")
    print_result(result, Console(), where)
    told = capsys.readouterr().out
    assert "recap models --name shop --workspace 'my work'\n" in told
    assert "recap report --workspace 'my work'\n" in told
    result["promotion"]["name"] = "recap"
    print_result(result, Console(), registry_options(Path(".recap"), "http://a", "sqlite:///a"))
    told = capsys.readouterr().out
    assert "recap models --tracking-uri http://a\n" in told
    assert told.endswith("Browser:  recap report\n")
    stopped = {"outcome": None, "promotion": None, "reports": {}, "until": "train", "outputs": "here"}
    print_result(stopped, Console(width=200), ("", ""))
    assert capsys.readouterr().out == (
        "Stopped after train (--until); not run: calibrate, evaluate, register, promote; nothing was registered. "
        "Outputs: here\n"
    )


def test_an_unknown_step_is_a_usage_error():
    result = RUNNER.invoke(app, ["run", "--data", "log", "--until", "score"])
    assert result.exit_code == 2
    assert "unknown step; steps: resolve, validate," in " ".join(result.output.replace("│", " ").split())
