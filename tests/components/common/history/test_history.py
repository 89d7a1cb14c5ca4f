"""The history's page: everything that happened, the newest first, in one file; and what cannot be read, said."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from components.common import registry
from components.common.history import History, history_page, read_history
from components.common.registry.promotion.promotion_log import record_name
from components.common.runtime.cost import CostMeter, cost_metrics, read_metadata, read_metrics
from components.promote.promote import promote_version
from tests.components.common.history.months import month
from tests.components.registries import NAME, PROOF, new_registry, register, run_outputs


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


def text_of(page: str) -> str:
    parser = _Text()
    parser.feed(page)
    return " ".join(filter(None, parser.text))


def test_the_page_shows_versions_moves_watched_days_and_costs_the_newest_first():
    page = history_page(month())
    text = text_of(page)
    assert "30 versions, 10 promotions, 1 rollback, 29 watched days; version 28 is champion." in text
    assert "complaints since Tuesday" in text
    assert "watched days not OK 1, the last 2026-03-26" in text
    assert "asked for a retraining" in text
    assert text.index("30 2026-03-31 HOLD") < text.index("29 2026-03-30 HOLD")
    titles = ("RCE on watched days", "predicted / observed at registration", "Duration of a run")
    for title in (*titles, "Evidence that the champion decayed"):
        assert f">{title}<" in page
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page), "one file, without network"


def test_a_model_without_versions_has_a_page():
    text = text_of(history_page(History("new", (), (), {})))
    assert "No version has been registered yet." in text


def test_what_cannot_be_read_of_a_version_stands_in_its_row():
    history = month(3)
    broken = replace(history.versions[1], evaluation=None, problem="a file was altered")
    text = text_of(
        history_page(replace(history, versions=(history.versions[0], broken, history.versions[2])))
    )
    assert "a file was altered" in text


@pytest.mark.parametrize("altered", [False, True])
def test_the_history_of_a_registry_has_its_promotion_and_the_cost_of_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, altered: bool
):
    monkeypatch.setattr("components.register.register.load_and_score", lambda *_: PROOF)
    uri = new_registry(tmp_path / "workspace")
    inputs = run_outputs(tmp_path / "1", uri)
    version = register(inputs, tmp_path / "1/version")
    client = registry.connect(uri)
    page = tmp_path / "history.html"
    promote_version(tmp_path / "1/version", inputs.evaluation, tmp_path / "out", page, CostMeter())
    if altered:
        source = client.get_model_version_download_uri(NAME, "1").removeprefix("file://")
        (Path(source) / "evaluation/metrics.json").write_text("{}")
    history = read_history(client, NAME)
    (found,), (move,) = history.versions, history.moves
    assert (found.number, found.outcome, str(found.last_day)) == ("1", "PROMOTE", "2026-03-02")
    assert (move.to, move.who, move.is_rollback) == ("1", "pipeline run run-1", False)
    assert found.reason == ("" if altered else "the gate said PROMOTE.")
    assert found.costs.keys() == {"promote"}
    assert "altered" in found.problem if altered else found.problem == ""
    assert "1 version, 1 promotion, 0 rollbacks" in text_of(page.read_text())
    assert record_name(NAME) not in page.read_text()
    assert version.version == "1"


def test_a_meter_counts_this_process_and_its_children_and_travels_as_metadata():
    meter = CostMeter()
    meter.rows, meter.gpus = 1000, 2
    sum(range(2_000_000))
    figures = read_metadata(meter.metadata() | {"display_name": "a set"})
    assert figures.keys() == {"wall_s", "cpu_s", "peak_memory_mib", "rows_per_s", "gpu_hours"}
    assert 0 < figures["cpu_s"] <= figures["wall_s"] + 1
    assert figures["peak_memory_mib"] > 20
    metrics = {name: value for name, value, _ in cost_metrics("train", figures)}
    assert read_metrics(metrics | {"auc/like": 0.7}) == {"train": figures}
