"""Derived columns through the whole pipeline, and in requests under the log's own columns."""

from pathlib import Path

import mlflow.pyfunc
import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.common import registry
from tests.integration.conftest import Recap
from tests.recap_model.data.log.derived_config import with_derived


@pytest.mark.slow
def test_a_model_of_derived_columns_is_trained_proved_and_scores_the_logs_rows(
    recap: Recap, workplace: Path, monkeypatch: pytest.MonkeyPatch
):
    (workplace / "derived.yaml").write_text(with_derived().to_yaml())
    done = recap("run", "--config", "derived.yaml", "--data", "log", "--workspace", "workspace")
    assert done.returncode == 0, done.stdout + done.stderr
    uri = registry.default_tracking_uri(workplace / "workspace")
    client = registry.connect(uri)
    [version] = registry.versions(client, "tiny")
    assert version.tags["recap.proof"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    model = mlflow.pyfunc.load_model(f"models:/tiny/{version.version}")
    file = max((workplace / "log").rglob("*.parquet"))
    columns = [*with_derived().features.columns(), "user_embedding"]
    frame = pq.read_table(file, columns=list(dict.fromkeys(columns))).to_pandas()
    scores = model.predict(frame)
    given = frame.assign(likes_per_reply=frame["likes"].astype(float) / frame["replies"]).drop(
        columns="replies"
    )
    pd.testing.assert_frame_equal(model.predict(given), scores)
    with pytest.raises(ValueError, match="input: no column replies; the model reads it as a feature"):
        model.predict(frame.drop(columns="replies"))
    arguments = ("--model", f"models:/tiny/{version.version}", "--in", str(file), "--out", "scores")
    done = recap("score", *arguments, "--workspace", "workspace")
    assert done.returncode == 0, done.stdout + done.stderr
    written = pq.read_table(next((workplace / "scores").rglob("*.parquet"))).to_pandas()
    pd.testing.assert_frame_equal(written[["like", "reply"]], scores[["like", "reply"]], atol=1e-6)
