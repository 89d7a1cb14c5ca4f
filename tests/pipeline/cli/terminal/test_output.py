"""What commands print is what a user named, whole, on the right stream; and a stream that refuses is one line."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.cluster.options import print_table
from pipeline.cli.terminal.arguments import check_encoding
from pipeline.cli.terminal.output import new_console, printable, wrap_field
from pipeline.cli.terminal.run_result import print_result, registry_options
from pipeline.local.run import run_pipeline

RECAP = Path(sys.executable).with_name("recap")
NAMES = ["ws [prod]", "ws [/prod]", ":smile: [bold]x[/bold]", "50%", "http://a/b?c#d"]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_user_named_is_printed_as_it_is(name: str, capsys: pytest.CaptureFixture[str]):
    result = {
        "outcome": "HOLD",
        "promotion": {"name": "shop", "reason": f"see {name}"},
        "reports": {"run": name},
    }
    print_result(result, new_console(), registry_options(Path(name), "a", "a"))
    print_table(("run",), [(name,)])
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == f"Decision: HOLD. see {name}"
    assert f"Pages:    {name}" in printed
    assert printed[-1] == name


def test_where_no_person_reads_no_line_is_wrapped_and_no_code_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "40")
    result = {"outcome": "HOLD", "promotion": {"name": "recap", "reason": "word " * 100}, "reports": {}}
    print_result(result, new_console(), ("", ""))
    print_table(("run", "error"), [("a" * 60, "b" * 200)])
    printed = capsys.readouterr().out
    assert "word " * 100 in printed
    assert f"{'a' * 60}  {'b' * 200}" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize("width", [40, 59, 60, 80, 120, 200])
def test_a_result_wraps_between_words_at_every_width(width: int):
    text = "HOLD. recap version 2 is not promoted: is_replied is worse than version 1 by 2.31, at most 1.0"
    lines = wrap_field("Decision:", text, width)
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()) == f"Decision: {text}"
    assert lines[0] == "Decision:" if width < 60 else lines[0].startswith("Decision: HOLD. ")


def test_a_narrow_terminal_folds_what_it_has_no_room_for(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Terminal())
    print_table(("run", "error"), [("a" * 60, "b" * 60)])
    printed = re.sub("\x1b\\[[0-9;]*m", "", sys.stdout.getvalue())
    assert max(map(len, printed.splitlines())) <= 40
    assert (printed.count("a"), printed.count("b")) == (60, 60)


def test_control_characters_do_not_reach_a_terminal():
    assert printable("a\x1b]0;title\x07b\tc\r\n[d]") == "a\\x1b]0;title\\x07b\tc\\r\n[d]"


def call(*arguments: str | bytes, **streams: object) -> subprocess.CompletedProcess[str]:
    command = [RECAP, *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **streams)


def test_an_output_that_is_refused_is_one_line_and_a_closed_pipe_is_silence():
    with open("/dev/full", "w") as full:
        done = call("config", "show", "sample", stdout=full)
    refused = "recap: standard output: No space left on device; free space there, or redirect the output elsewhere\n"
    assert (done.returncode, done.stderr) == (1, refused)
    reading, writing = os.pipe()
    os.close(reading)
    done = call("config", "show", "sample", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_run_ends_when_its_output_is_refused(tmp_path: Path):
    def refuse(_: object) -> None:
        raise BrokenPipeError("nobody reads")

    nowhere = {"config": "none", "data_root": "none", "tracking_uri": "none", "end_date": "", "days": 0}
    with pytest.raises(BrokenPipeError, match="nobody reads"):
        run_pipeline(nowhere, tmp_path / "steps", tmp_path / "run.log", refuse)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            [b"prune", b"--workspace", b"caf\xe9"],
            "argument 'caf\\udce9' is not UTF-8; rename the file or folder",
        ),
        (["models", "--name", ""], "--name: an empty value; give one, or leave it out"),
        (["prune", "--workspace="], "--workspace: an empty value"),
        (["promote", ""], "argument: an empty value"),
        (["models", "--workspace", __file__], "is a file"),
    ],
)
def test_an_argument_that_no_command_can_take_is_named(arguments: list[str | bytes], words: str):
    done = call(*arguments, stdout=subprocess.PIPE)
    assert words in done.stderr
    assert (done.returncode in (1, 2), done.stdout, "Traceback" in done.stderr) == (True, "", False)


def test_a_working_folder_that_is_not_utf_8_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    monkeypatch.chdir(os.fsdecode(folder))
    with pytest.raises(ValueError, match=r"^working folder '.*caf.udce9' is not UTF-8"):
        check_encoding([])


def test_an_empty_value_that_is_an_options_default_may_be_given():
    done = call(
        "run", "--end-date", "", "--tracking-uri=", "--data", "/nowhere", "--config", "nothing", stdout=-1
    )
    assert "no such config file" in done.stderr
