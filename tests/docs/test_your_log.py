"""A newcomer who does what docs/your-log.md says, word for word, has a champion and scores."""

import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.fork_server import run_python, run_recap

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/your-log.md").read_text()


def blocks(kind: str) -> list[str]:
    """The page's fenced blocks of a kind."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == kind]


@pytest.mark.slow
def test_the_pages_commands_lead_to_a_champion_and_scores(tmp_path: Path):
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    run = {"recap": run_recap, "python": run_python}
    said = ""
    for line in "".join(blocks("sh")).splitlines():
        program, *words = shlex.split(line)
        done = run[program](*words, cwd=tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said += " ".join(done.stdout.split()) + "\n"
    (decision,) = [block.strip() for block in blocks("") if "Decision" in block]
    assert decision in said
    (serve,) = [block.strip() for block in blocks("") if block.startswith("mlflow models serve")]
    assert serve in said
    (shown,) = blocks("yaml")
    assert (
        yaml.safe_load(shown)["features"] == yaml.safe_load((tmp_path / "shop.yaml").read_text())["features"]
    )
    scores = pq.read_table(tmp_path / "scores")
    assert scores.num_rows == 4000
    assert {"page_view", "clicked", "bought", "score"} <= set(scores.column_names)
