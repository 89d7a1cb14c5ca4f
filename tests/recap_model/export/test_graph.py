"""Exported graphs score as the model does, with whatever was fitted to it, for any number of rows."""

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

import recap_model
from recap_model import MultiTaskRankingModel, create_ranking_model, export_onnx, export_program
from recap_model.calibration import build_calibrator
from recap_model.config.model.network import ModelConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.manifest import Sampling
from recap_model.export.graph import OPSET, input_names, sequence_input
from recap_model.export.metadata import HISTORY_ROW
from tests.recap_model.models import MLP, TABLES, TOWER, WIDTHS, batch, section
from tests.recap_model.sequences import READERS, sequence_batch, sequence_model
from tests.tiny import tiny_config

NONE = {"multi_task_type": "share_none", "backbone": None}
DLRM = {"dlrm_config": {"bottom_mlp": {"layer_sizes": [4]}, "top_mlp": {"layer_sizes": [3, 1]}}}
MASKNET = {
    "mask_net_config": {"mask_blocks": [{"output_size": 4, "reduction_factor": 0.5}], "use_parallel": True}
}
LISTS = {
    "tables": [
        {"name": name, "num_embeddings": 9, "embedding_dim": 3, "hash": name == "liked"}
        for name in ("seen", "liked", "shared")
    ]
}
CALIBRATORS = [
    {"kind": "piecewise_linear", "knots": [-2.0, 0.0, 1.0], "value": -1.0, "slopes": [0.5, 1.0, 2.0, 0.3]},
    {"kind": "beta", "left": 0.5, "right": 0.9, "bias": 0.1},
]
SECTIONS = {
    "masknet": section(
        backbone=MASKNET, tasks={"like": TOWER | {"affine_map": {"scale": 2.0}}, "type": TOWER}
    ),
    "ple": section(multi_task_type="ple", backbone=None, ple={"expert": MLP, "levels": 2}),
    "dlrm": section(**NONE, tasks={"like": DLRM, "reply": DLRM}),
    "id lists": section(large_embeddings=LISTS),
    "shared tables": section(
        large_embeddings=LISTS,
        tables={
            "both": {"num_embeddings": 7, "embedding_dim": 2, "hash": True, "hashes": 2},
            "counted": {"num_embeddings": 7, "embedding_dim": 3, "min_count": 1},
        },
        ids=[
            {"table": "both", "column": 0},
            {"table": "both", "column": "liked"},
            {"table": "counted", "column": "new"},
        ],
    ),
}


def fitted(config: ModelConfig) -> MultiTaskRankingModel:
    """A model with vocabularies, knots, sampling to undo and calibrators, in evaluation mode."""
    torch.manual_seed(0)
    table = {**TABLES["tables"][0], "min_count": 1}
    changed = {
        "featurization_config": {"piecewise_linear_config": {}},
        "small_embeddings": {"tables": [table, {**table, "name": "hashed", "min_count": None, "hash": True}]},
    }
    model = create_ranking_model(WIDTHS, ModelConfig(**(config.model_dump() | changed)), "cpu")
    assert isinstance(model, MultiTaskRankingModel)
    model.set_sampling({"like": Sampling(positive_rate=1.0, negative_rate=0.1)})
    model.set_calibrators(dict(zip(model.tasks, map(build_calibrator, CALIBRATORS), strict=True)))
    return model.eval()


def rows_of(count: int) -> RecapBatch:
    """Random rows with id lists, each column's of another length, and with values that are not finite."""
    lengths = {"seen": 4, "liked": 1, "shared": 4, "new": 2}
    sparse = {name: torch.randint(-1, 9, (count, length)) for name, length in lengths.items()}
    sparse["liked"][0] = -(2**62)
    rows = batch(count, seed=1, sparse=sparse)
    assert rows.discrete is not None
    rows.discrete[0], rows.discrete[-1] = -77, -(2**63)
    rows.continuous[0, 0], rows.continuous[-1, 1] = float("nan"), float("inf")
    return rows


def groups_of(model: MultiTaskRankingModel, rows: RecapBatch) -> dict[str, torch.Tensor]:
    groups = rows.tensors() | dict(rows.sparse or {})
    for name, sides in (rows.sequences or {}).items():
        groups |= {sequence_input(name, key): tensor for key, tensor in sides.items()}
    groups[HISTORY_ROW] = torch.arange(len(rows)) if rows.history_row is None else rows.history_row
    return {name: groups[name] for name in input_names(model)}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_program_scores_as_the_model(name: str):
    model = fitted(SECTIONS[name])
    program = export_program(model).module()
    for count in (1, 33):
        rows = rows_of(count)
        found = program(groups_of(model, rows))
        for key, expected in model(rows).items():
            torch.testing.assert_close(found[key], expected)


@pytest.mark.parametrize("name", SECTIONS)
def test_onnx_scores_as_the_model(name: str, tmp_path: Path):
    model = fitted(SECTIONS[name])
    export_onnx(model, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [given.name for given in session.get_inputs()] == input_names(model)
    for count in (1, 33):
        rows = rows_of(count)
        feed = {key: tensor.numpy() for key, tensor in groups_of(model, rows).items()}
        found = dict(zip([o.name for o in session.get_outputs()], session.run(None, feed), strict=True))
        for key, expected in model(rows).items():
            torch.testing.assert_close(torch.from_numpy(found[key]), expected.detach(), rtol=1e-5, atol=1e-5)


HISTORIES = [(1, 1, False), (33, 20, False), (40, 7, True), (1, 7, True)]


@pytest.mark.parametrize("reader", READERS)
def test_a_program_reads_a_history_once_for_all_rows(reader: str):
    model = sequence_model(reader)
    program = export_program(model).module()
    for count, longest, shared in HISTORIES:
        rows = sequence_batch(count, longest, shared=shared)
        found = program(groups_of(model, rows))
        for key, expected in model(rows).items():
            torch.testing.assert_close(found[key], expected)


@pytest.mark.parametrize("reader", ["din", "transformer"])
def test_onnx_reads_a_history_once_for_all_rows(reader: str, tmp_path: Path):
    model = sequence_model(reader)
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [given.name for given in session.get_inputs()] == input_names(model)
    for count, longest, shared in HISTORIES:
        rows = sequence_batch(count, longest, shared=shared)
        feed = {key: tensor.numpy() for key, tensor in groups_of(model, rows).items()}
        (score,) = session.run(["score"], feed)
        torch.testing.assert_close(
            torch.from_numpy(score), model(rows)["score"].detach(), rtol=1e-5, atol=1e-5
        )


def test_the_graph_is_of_its_opset_and_multiplies_a_task_given_another(tmp_path: Path):
    config = tiny_config(tasks={"like": {}, "reply": {"given": "like"}})
    model = create_ranking_model(recap_model.data_spec(config), config, "cpu").eval()
    export_onnx(model, tmp_path / "model.onnx")
    assert {item.domain: item.version for item in onnx.load(tmp_path / "model.onnx").opset_import}[
        ""
    ] == OPSET
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    rows = batch()
    feed = {name: getattr(rows, name).numpy() for name in input_names(model)}
    (found,) = session.run(["probabilities"], feed)
    assert (found[:, 1] < found[:, 0]).all()
    torch.testing.assert_close(torch.from_numpy(found), model(rows)["probabilities"].detach())


def test_exporting_leaves_a_model_in_training_as_it_was(tmp_path: Path):
    model = fitted(SECTIONS["ple"]).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_onnx(model, tmp_path / "model.onnx")
    assert model.training
    assert all(module.training for module in model.modules())
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0.0, atol=0.0)
