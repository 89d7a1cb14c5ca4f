"""The program of docs/serving.md scores rows from nothing but the exported file, as the pyfunc does."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pandas as pd
import pytest
import torch

from recap_model import create_ranking_model, data_spec, export_onnx, save_model
from recap_model.config import parse_config
from recap_model.serving import RecapPyfunc
from tests.tiny import tiny_config

PAGE = (Path(__file__).parents[2] / "docs/serving.md").read_text()
PROGRAM = next(
    block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "onnxruntime" in block
)
TABLES = [
    {"name": name, "index": index, "num_embeddings": 50, "embedding_dim": 4, "hash": True}
    for index, name in enumerate(("brand", "shelf", "pair"))
]
FEATURES = {
    "continuous": ["price", "ratio", "less", "times", "hours"],
    "binary": ["on_sale"],
    "discrete": ["brand", "shelf", "pair", "hour", "weekday"],
    "user_embedding": {"column": "embedding", "width": 4, "slices": [[3, 4], [0, 2]]},
    "sparse": ["seen"],
    "longest_list": 3,
    "timestamps": {"impressed": "seen_ms"},
    "sequences": {
        "bought": {
            "columns": {
                "brand": "bought_brands",
                "how": {"column": "bought_how", "kind": "actions", "values": ["shop", "web"]},
                "paid": {"column": "bought_paid", "kind": "number"},
                "time": {"column": "bought_ms", "kind": "time"},
            },
            "max_length": 3,
            "order": "oldest_first",
        }
    },
    "derived": {
        "ratio": {"kind": "ratio", "of": ["price", "usual"]},
        "less": {"kind": "difference", "of": ["price", "usual"]},
        "times": {"kind": "product", "of": ["price", "usual"]},
        "hours": {"kind": "hours_between", "of": ["published_ms", "seen_ms"]},
        "hour": {"kind": "hour_of_day", "of": ["seen_ms"]},
        "weekday": {"kind": "day_of_week", "of": ["seen_ms"]},
        "pair": {"kind": "cross", "of": ["brand", "shelf"], "buckets": 40},
    },
}
SEQUENCES = {
    "tables": {"brand": {"num_embeddings": 50, "embedding_dim": 4, "hash": True, "hashes": 2}},
    "sequences": {
        "bought": {
            "inputs": {"brand": {"table": "brand"}, "how": {}, "paid": {}, "time": {}},
            "candidate": {"brand": "brand"},
            "reader": {"din_config": {}},
        }
    },
}
SEEN_MS = 1_772_668_800_123
HISTORY: dict[str, Any] = {
    "bought_brands": ["other", None, "Größe", "Größe"],
    "bought_how": [["web"], ["shop", "web"], [], None],
    "bought_paid": [1.0, None, -3.5, 1e39],
    "bought_ms": [SEEN_MS - 10**9, None, SEEN_MS - 4_000_000, SEEN_MS],
}
SHORT = {name: values[:1] for name, values in HISTORY.items()}
ROW: dict[str, Any] = HISTORY | {
    "price": 19.5,
    "usual": 25.0,
    "published_ms": SEEN_MS - 5_000_000,
    "seen_ms": SEEN_MS,
    "on_sale": 1.0,
    "brand": "Größe",
    "shelf": 7,
    "embedding": [0.5, -1.0, 2.0, 3.0],
    "seen": [3, 9, 4, 8],
}
ROWS = [
    ROW,
    {**ROW, **SHORT, "price": None, "brand": "other", "on_sale": None, "seen": []},
    {**ROW, "usual": 0.0, "shelf": -77, "brand": None, "embedding": None, "seen": None}
    | dict.fromkeys(HISTORY),
    {**ROW, "price": 1e39, "shelf": 2**62, "published_ms": None, "seen_ms": SEEN_MS + 90_000_000},
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved ``model``, ``model.onnx``, and the page's program as ``score.py``."""
    folder = tmp_path_factory.mktemp("serving")
    content = tiny_config().model_dump(exclude_none=True)
    lists = [{"name": "seen", "num_embeddings": 10, "embedding_dim": 3}]
    tables = {"small_embeddings": {"tables": TABLES}, "large_embeddings": {"tables": lists}} | SEQUENCES
    config = parse_config({**content, "features": FEATURES, "model": content["model"] | tables})
    torch.manual_seed(1)
    model = create_ranking_model(data_spec(config), config, "cpu").eval()
    save_model(model, folder / "model", config)
    export_onnx(model, folder / "model.onnx", {"model": "shop"})
    (folder / "score.py").write_text(PROGRAM)
    return folder


def test_the_program_scores_as_the_pyfunc_does(place: Path):
    expected = RecapPyfunc(str(place / "model")).predict({key: [row[key] for row in ROWS] for key in ROW})
    assert len({round(score, 4) for score in expected["score"]}) == len(ROWS)
    pd.testing.assert_frame_equal(run_program(place, ROWS), expected, check_dtype=False, atol=1e-5)


def test_the_program_reads_a_history_once_for_all_rows(place: Path):
    history = HISTORY | {"seen_ms": SEEN_MS}
    rows = [{name: value for name, value in row.items() if name not in HISTORY} for row in ROWS]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    expected = RecapPyfunc(str(place / "model")).predict(columns, {"history": history})
    found = run_program(place, {"rows": rows, "history": history})
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, atol=1e-5)


def run_program(place: Path, request: object) -> pd.DataFrame:
    command = [sys.executable, "-P", "score.py", "model.onnx"]
    done = subprocess.run(
        command, cwd=place, input=json.dumps(request), capture_output=True, text=True, check=True
    )
    return pd.DataFrame(json.loads(done.stdout))


def test_the_program_needs_nothing_of_this_project():
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(PROGRAM))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        )
    }
    assert imported == {"hashlib", "json", "sys", "numpy", "onnxruntime"}


def test_the_file_says_what_it_is(place: Path):
    entries = {entry.key: entry.value for entry in onnx.load(place / "model.onnx").metadata_props}
    about = {
        key.removeprefix("recap."): json.loads(value) for key, value in entries.items() if "recap." in key
    }
    assert about["format"] == "recap-onnx/1"
    assert about["tasks"] == ["like", "reply"]
    assert about["score_weights"] == {"like": 1.0, "reply": 10.0}
    assert about["inputs"][0] == {
        "name": "continuous",
        "width": 5,
        "missing": "nan",
        "columns": FEATURES["continuous"],
    }
    assert about["versions"].keys() == {"recap", "torch", "opset"}
    assert about["origin"] == {"model": "shop"}
