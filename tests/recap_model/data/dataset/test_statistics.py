"""Statistics beside a training set, and files that are none."""

from pathlib import Path

import pytest

from recap_model.data.dataset.statistics import STATISTICS_NAME, FeatureStatistics


def test_what_was_written_is_read(tmp_path: Path):
    statistics = FeatureStatistics(
        log_mean=[1.0], log_std=[2.0], knots=[[0.5, 1.5]], vocabularies={"topic": {7: 3}}
    )
    (tmp_path / STATISTICS_NAME).write_text(statistics.model_dump_json())
    assert FeatureStatistics.read(tmp_path) == statistics


@pytest.mark.parametrize("content", ['{"log_mean": [1.0', '{"log_mean": "high"}', "[]", "\xff"])
def test_a_file_that_build_did_not_write_is_one_line(tmp_path: Path, content: str):
    with pytest.raises(FileNotFoundError, match=r"_statistics.json: not there; run prepare again"):
        FeatureStatistics.read(tmp_path)
    (tmp_path / STATISTICS_NAME).write_bytes(content.encode("latin-1"))
    with pytest.raises(
        ValueError, match=r"_statistics.json: not what prepare writes: .*; run prepare again"
    ) as caught:
        FeatureStatistics.read(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
