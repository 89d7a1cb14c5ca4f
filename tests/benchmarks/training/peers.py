"""The narrow net by torch-rechub and DeepCTR-Torch, which start from arrays in memory."""

import contextlib
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from recap_model.data.dataset.manifest import DatasetManifest
from tests.benchmarks.random_sets import CATEGORICAL, DENSE, EMBEDDING, IDS, TASKS
from tests.benchmarks.training.ours import Trained, mean_auc

TRUNK, TOWER = [512, 256, 128], [64]


def arrays(folder: Path) -> tuple[Any, Any, Any]:
    """All rows of a set: dense columns, ids, labels."""
    manifest = DatasetManifest.read(folder)
    parts: list[list[Any]] = [[], [], []]
    for file in manifest.files:
        reader = pa.ipc.open_file(pa.memory_map(f"{manifest.rows_root}/{file.path}"))
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            for part, name in zip(parts, ("continuous", "discrete", "labels"), strict=True):
                part.append(batch.column(name).flatten().to_numpy().reshape(batch.num_rows, -1))
    dense, ids, labels = (np.concatenate(part) for part in parts)
    return np.sign(dense) * np.log1p(np.abs(dense)), ids, labels


def rechub(kind: str, batch_size: int, train_set: Path, test_set: Path | None) -> Trained:
    """One epoch of torch-rechub's trainer, all dense columns as one feature, which is its faster way."""
    from torch_rechub.basic.features import DenseFeature, SparseFeature
    from torch_rechub.models.multi_task import MMOE, SharedBottom
    from torch_rechub.trainers import MTLTrainer
    from torch_rechub.utils.data import TorchDataset

    torch.manual_seed(0)
    features = [DenseFeature("dense", embed_dim=DENSE)]
    features += [SparseFeature(f"id{number}", IDS, EMBEDDING) for number in range(CATEGORICAL)]
    types, towers = ["classification"] * TASKS, [{"dims": TOWER} for _ in range(TASKS)]
    if kind == "share_all":
        model = SharedBottom(features, types, {"dims": TRUNK}, towers)
    else:
        model = MMOE(features, types, 4, {"dims": TRUNK}, towers)

    def inputs(dense: Any, ids: Any) -> dict[str, Any]:
        columns = {f"id{number}": ids[:, number].copy() for number in range(CATEGORICAL)}
        return {"dense": dense.astype(np.float32), **columns}

    dense, ids, labels = arrays(train_set)
    loader = torch.utils.data.DataLoader(
        TorchDataset(inputs(dense, ids), labels), batch_size=batch_size, shuffle=True
    )
    with tempfile.TemporaryDirectory() as folder, quiet():
        trainer = MTLTrainer(model, types, optimizer_params={"lr": 1e-3}, n_epoch=1, model_path=folder)
        began = time.perf_counter()
        trainer.train_one_epoch(loader)
    speed = len(labels) / (time.perf_counter() - began)
    if test_set is None:
        return Trained(speed, None, None)
    dense, ids, labels = arrays(test_set)
    rows = {name: torch.from_numpy(column) for name, column in inputs(dense, ids).items()}
    with torch.no_grad():
        scores = model.eval()(rows)
    return Trained(speed, None, mean_auc(scores, torch.from_numpy(labels)))


def deepctr(kind: str, batch_size: int, train_set: Path, test_set: Path | None) -> Trained:
    """One epoch of DeepCTR-Torch's fit, without its penalties on weights, which would slow it down."""
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import MMOE, SharedBottom

    columns = [SparseFeat(f"id{number}", IDS, EMBEDDING) for number in range(CATEGORICAL)]
    columns.append(DenseFeat("dense", DENSE))
    names = [f"task{number}" for number in range(TASKS)]
    settings: dict[str, Any] = {
        "tower_dnn_hidden_units": TOWER,
        "l2_reg_embedding": 0,
        "l2_reg_linear": 0,
        "task_types": ["binary"] * TASKS,
        "task_names": names,
    }
    if kind == "share_all":
        model = SharedBottom(columns, bottom_dnn_hidden_units=TRUNK, **settings)
    else:
        experts = {"num_experts": 4, "expert_dnn_hidden_units": TRUNK, "gate_dnn_hidden_units": ()}
        model = MMOE(columns, **experts, **settings)
    model.compile(torch.optim.Adam(model.parameters(), 1e-3), ["binary_crossentropy"] * TASKS)

    def inputs(dense: Any, ids: Any) -> dict[str, Any]:
        return {"dense": dense.astype(np.float32)} | {f"id{n}": ids[:, n] for n in range(CATEGORICAL)}

    dense, ids, labels = arrays(train_set)
    with quiet():
        began = time.perf_counter()
        model.fit(inputs(dense, ids), labels, batch_size=batch_size, epochs=1, verbose=0)
    speed = len(labels) / (time.perf_counter() - began)
    if test_set is None:
        return Trained(speed, None, None)
    dense, ids, labels = arrays(test_set)
    scores = model.predict(inputs(dense, ids), 8192)
    return Trained(speed, None, mean_auc(torch.from_numpy(np.asarray(scores)), torch.from_numpy(labels)))


@contextlib.contextmanager
def quiet() -> Any:
    """Without the libraries' progress."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(open(os.devnull, "w")),
    ):
        yield
