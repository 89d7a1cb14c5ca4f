"""The pages of a run in one folder: links that lead somewhere, facts, and what a failed run shows."""

import json
import re
from importlib.resources import files
from pathlib import Path

from pipeline.local.run_pages import PAGES, FailedStep, collect_pages

TEMPLATE = files("components.common.html").joinpath("templates/base.html").read_text()  # of all pages
RECORDS = {
    "resolve/snapshot/_manifest.json": {
        "first_day": "2026-03-01",
        "last_day": "2026-03-07",
        "data_root": "s3://log",
        "run_id": "run-9",
        "champion": {"version": "3"},
        "config_digest": "c0ffee",
    },
    "validate/validated/verdict.json": {
        "rows": 1000,
        "rules": [{"success": True}],
        "drift": {"beyond": 1, "compared": 40},
    },
    "calibrate/calibrated_model/_manifest.json": {"steps": 7, "epochs": 2, "rows": 640, "snapshot": "da7a"},
    "calibrate/calibrated_model/calibration_report.json": {
        "like": {"method": "beta"},
        "rare": {"method": "none"},
    },
    "evaluate/evaluation/decision.json": {
        "outcome": "HOLD",
        "reason": "like is worse",
        "rules": [
            {"verdict": "fail", "words": "like: RCE <fell> by 2"},
            {"verdict": "pass", "words": "fine"},
        ],
    },
    "register/version/version.json": {"name": "shop", "version": "4", "model_digest": "0ddba11"},
    "promote/promotion/promotion.json": {
        "to": "3",
        "reason": "shop version 4 is not promoted: like is worse",
    },
}


def _write(outputs: Path, steps: set[str]) -> Path:
    for name, content in RECORDS.items():
        if name.split("/")[0] in steps:
            (outputs / name).parent.mkdir(parents=True, exist_ok=True)
            (outputs / name).write_text(json.dumps(content))
    for step, artifact in PAGES.values():
        if step in steps:
            (outputs / step).mkdir(parents=True, exist_ok=True)
            (outputs / step / artifact).write_text(TEMPLATE)
    return outputs


def _links(page: str) -> list[str]:
    return re.findall(r'href="([^"]+)"', page)


def test_every_page_links_to_every_other_and_the_index_says_what_was_decided_and_why(tmp_path: Path) -> None:
    steps = {name.split("/")[0] for name in RECORDS} | {step for step, _ in PAGES.values()}
    (tmp_path / "reports").mkdir()
    pages = collect_pages(
        _write(tmp_path / "steps", steps), tmp_path / "reports", {"resolve": 1.5, "train": 2.0}
    )
    assert list(pages) == ["run", *PAGES]
    for path in pages.values():
        links = _links(Path(path).read_text())
        assert {"index.html", *(f"{name}.html" for name in PAGES)} == set(links)
        assert all((tmp_path / "reports" / link).is_file() for link in links)
    index = Path(pages["run"]).read_text().replace("<wbr>", "")
    for fact in (
        "HOLD: shop version 4",
        "shop version 4 is not promoted: like is worse.",
        "like: RCE &lt;fell&gt; by 2",
        "2026-03-01 to 2026-03-07",
        "version 3",
        "1,000 rows, every rule holds; 1 of 40 columns drifted",
        "7 steps, 2 epochs, 640 rows",
        "1 of 2 tasks corrected",
        "1 of 2 rules of the gate fail",
        "c0ffee",
        "4 s in all",
        "recap promote 4 --approve",
    ):
        assert fact in index


def test_a_failed_run_shows_its_error_and_the_pages_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    outputs = _write(tmp_path / "steps", {"resolve", "validate"})
    (outputs / "validate/validated/verdict.json").unlink()
    pages = collect_pages(
        outputs, tmp_path / "reports", {"resolve": 1.0}, FailedStep("validate", ["a <column> is gone"])
    )
    assert list(pages) == ["run", "data"]
    index = Path(pages["run"]).read_text().replace("<wbr>", "")
    assert "The run ended at validate" in index
    assert "a &lt;column&gt; is gone" in index
    assert set(_links(index)) == {"index.html", "data.html"}
