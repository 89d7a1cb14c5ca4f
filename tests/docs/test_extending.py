"""The changes that docs/extending.md shows still apply, and what they add works."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fork_server import run_python
from tests.tiny import tiny_config, write_tiny_log

ROOT = Path(__file__).parents[2]
_COPIED = ("recap_model", "components", "pipeline", "tests")


def changed(folder: Path, patch: str) -> Path:
    """A copy of the project with one of the patches."""
    copy = folder / "copy"
    for name in _COPIED:
        ignored = shutil.ignore_patterns("__pycache__", "benchmarks", "integration", "golden")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    subprocess.run(["git", "apply", "--unidiff-zero", ROOT / "docs/examples" / patch], cwd=copy, check=True)
    return copy


def run(copy: Path, *words: str | Path) -> str:
    """What Python prints, with the copy instead of the project."""
    done = run_python(*map(str, words), cwd=copy, environment=os.environ | {"PYTHONPATH": str(copy)})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


CALIBRATOR = """
import numpy as np, torch
from recap_model import create_ranking_model, data_spec, load_model, save_model
from recap_model.calibration import LogitHistogram, calibrated_logit, fit_task
from tests.tiny import tiny_config
config = tiny_config(calibration={"method": "shift"})
random = np.random.default_rng(0)
logits = random.normal(size=(20_000, 2))
labels = random.random(logits.shape) < 1 / (1 + np.exp(-(logits - 1.5)))
histogram = LogitHistogram(["like", "reply"], 5)
histogram.add(logits, labels.astype(float), np.ones_like(logits), np.arange(20_000) % 5)
fitted = [fit_task(histogram, task, config.calibration) for task in ("like", "reply")]
assert [one.method for one in fitted] == ["shift", "shift"]
assert all(abs(one.calibrator.bias.item() + 1.5) < 0.05 for one in fitted)
model = create_ranking_model(data_spec(config), config, "cpu")
model.set_calibrators({one.task: one.calibrator for one in fitted})
save_model(model, "model", config)
print(load_model("model").calibrators["like"].bias.item())
"""

BLOCK = """
import torch
from recap_model import create_ranking_model, data_spec, load_model, save_model
from recap_model.data.dataset.batch import RecapBatch
from tests.tiny import tiny_config
section = tiny_config().model.model_dump(exclude_none=True)
block = {"residual_config": {"width": 12, "output_size": 16}}
config = tiny_config(model={**section, "backbone": block})
model = create_ranking_model(data_spec(config), config, "cpu")
rows = RecapBatch(torch.randn(32, 3), torch.ones(32, 1), torch.zeros(32, 2, dtype=torch.int64), torch.randn(32, 4))
optimizer = torch.optim.Adam(model.parameters(), 0.01)
losses = []
for _ in range(100):
    optimizer.zero_grad()
    logits, labels = model(rows)["logits"][:, 0], (rows.continuous[:, 0] > 0).float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < 0.5 * losses[0], losses[::20]
save_model(model, "model", config)
model.eval()
assert torch.equal(load_model("model")(rows)["logits"], model(rows)["logits"])
print("trained", losses[-1])
"""


def test_a_calibrator_is_added_fitted_and_saved_with_the_model(tmp_path: Path):
    copy = changed(tmp_path, "calibrator.patch")
    assert float(run(copy, "-c", CALIBRATOR)) == pytest.approx(-1.5, abs=0.05)


def test_a_block_is_added_trained_and_saved(tmp_path: Path):
    assert run(changed(tmp_path, "block.patch"), "-c", BLOCK).startswith("trained")


@pytest.mark.slow
def test_a_step_is_added_and_runs_with_the_others(tmp_path: Path):
    copy = changed(tmp_path, "step.patch")
    (copy / "tiny.yaml").write_text(tiny_config().to_yaml())
    write_tiny_log(copy / "log")
    main = "import sys; from pipeline.cli import main; sys.argv[0] = 'recap'; main()"
    run(copy, "-c", main, "run", "--config", "tiny.yaml", "--data", "log", "--workspace", "ws")
    (found,) = (copy / "ws").rglob("importance/importances")
    measured = json.loads(found.read_text())
    assert measured.keys() == {"continuous", "binary", "discrete", "user_embedding"}
    assert measured["continuous"]["like"] > 0.01 > abs(measured["discrete"]["like"])
    run(copy, "-c", main, "compile")
    assert "Measure what inputs are worth" in (copy / "pipeline/compiled/retrain.yaml").read_text()
