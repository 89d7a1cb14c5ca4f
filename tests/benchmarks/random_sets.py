"""Training sets of random rows, written as prepare writes them, for the benchmarks of reading and training."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.fs import LocalFileSystem

from components.prepare.rows import Rows
from components.prepare.shards.writer import ShardWriter, counts
from recap_model.config import RecapConfig, data_spec, load_config, parse_config
from recap_model.data.dataset.manifest import MANIFEST_NAME, DatasetManifest
from recap_model.data.log.id_hashing import seeded_hash

PUBLISHED = Path(__file__).parents[2] / "pipeline" / "configs" / "heavy_ranker.yaml"
IDS = 100_000
DENSE, CATEGORICAL, TASKS, EMBEDDING = 100, 26, 4, 16
_CHUNK = 8192


def published_config() -> RecapConfig:
    """The published heavy ranker's."""
    return load_config(PUBLISHED)


def narrow_config(kind: str = "share_all", precision: str = "auto") -> RecapConfig:
    """100 dense and 26 categorical columns, 4 tasks; a shared bottom (share_all) or four experts (mmoe)."""
    trunk = {"mlp_config": {"layer_sizes": [512, 256, 128], "final_layer_activation": True}}
    shared = {"backbone": trunk} if kind == "share_all" else {"mmoe": {"expert": trunk, "num_experts": 4}}
    tables = [
        {"name": f"id{number}", "num_embeddings": IDS, "embedding_dim": EMBEDDING, "index": number}
        for number in range(CATEGORICAL)
    ]
    tasks = [f"task{number}" for number in range(TASKS)]
    return parse_config(
        {
            "features": {
                "continuous": {"column": "dense", "width": DENSE},
                "discrete": {"column": "ids", "width": CATEGORICAL},
            },
            "tasks": {task: {"score_weight": 1.0} for task in tasks},
            "model": {
                "featurization_config": {"log1p_abs_config": {}},
                "multi_task_type": kind,
                "tower": {"mlp_config": {"layer_sizes": [64, 1]}},
                "small_embeddings": {"tables": tables},
                **shared,
            },
            "optimizer": {
                "single_task_learning_rate": {"constant": 1e-3},
                "embeddings": {"algorithm": "rowwise_adagrad", "learning_rate": {"constant": 0.05}},
            },
            "training": {"batch_size": 4096, "precision": precision},
            "registry": {"model_name": "narrow", "experiment": "narrow"},
        }
    )


def write_set(folder: Path, config: RecapConfig, rows: int, split: str = "train", seed: int = 0) -> Path:
    """A set of ``rows`` random rows, with labels that dense columns and ids tell of; returns ``folder``."""
    tasks = list(config.tasks)
    rows_folder = folder.with_name(f"{folder.name}.rows")
    rows_folder.mkdir(parents=True)
    folder.mkdir()
    shards = -(-rows // 250_000)
    writers = [ShardWriter(LocalFileSystem(), str(rows_folder), shard, seed) for shard in range(shards)]
    for chunk in random_rows(config, rows, seed):
        shard_of = seeded_hash(chunk.number, seed + 2) % np.uint64(shards)
        for shard, writer in enumerate(writers):
            writer.add(chunk.take(shard_of == shard))
    written = [found for writer in writers if (found := writer.close())]
    manifest = {
        "split": split,
        "rows_root": f"../{rows_folder.name}",
        "files": [found.file.model_dump() for found in written],
        "rows": rows,
        "groups": data_spec(config),
        "tasks": tasks,
        "counts": {task: count.model_dump() for task, count in counts(tasks, written).items()},
        "window": ("2026-01-01", "2026-01-07"),
        "snapshot": "random",
        "fingerprint": "random",
    }
    checked = DatasetManifest.model_validate(manifest)
    (folder / MANIFEST_NAME).write_text(checked.model_dump_json())
    return folder


def random_rows(config: RecapConfig, rows: int, seed: int) -> Iterator[Rows]:
    """Random rows in chunks, with labels that dense columns and ids tell of."""
    spec, tasks = data_spec(config), len(config.tasks)
    fixed = np.random.default_rng(1234)
    slopes = fixed.normal(size=(spec["continuous"], tasks)) / np.sqrt(spec["continuous"])
    effects = fixed.normal(size=(spec.get("discrete", 0), IDS, tasks)).astype(np.float32) * 0.4
    for start in range(0, rows, _CHUNK):
        random = np.random.default_rng([seed, start])
        count = min(_CHUNK, rows - start)
        groups: dict[str, NDArray[np.generic]] = {}
        for group, width in spec.items():
            groups[group] = random.normal(size=(count, width)).astype(np.float32)
        if "binary" in groups:
            groups["binary"] = (groups["binary"] > 0).astype(np.float32)
        logits = groups["continuous"] @ slopes - 2.0
        if "discrete" in groups:
            ids = (IDS * random.random((count, spec["discrete"])) ** 3).astype(np.int64)
            groups["discrete"] = ids
            for column in range(spec["discrete"]):
                logits += effects[column, ids[:, column]]
        labels = (random.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
        number = np.arange(start, start + count, dtype=np.int64)
        yield Rows(groups=groups, labels=labels, weight=np.ones(count, dtype=np.float32), number=number)


def write_parquet(folder: Path, out: Path, lists: bool = True) -> Path:
    """The rows of a set as one Parquet file, groups as lists or a column for each entry; returns ``out``."""
    import pyarrow.parquet as pq

    manifest = DatasetManifest.read(folder)
    writer = None
    for file in manifest.files:
        with pa.memory_map(f"{manifest.rows_root}/{file.path}") as source:
            reader = pa.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                table = pa.Table.from_batches([batch if lists else _flat(batch)])
                if writer is None:
                    writer = pq.ParquetWriter(out, table.schema, use_dictionary=False)
                writer.write_table(table, row_group_size=65_536)
    assert writer is not None
    writer.close()
    return out


def _flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_fixed_size_list(column.type):
            values = column.flatten().to_numpy().reshape(len(column), -1)
            columns |= {f"{name}_{place}": values[:, place] for place in range(values.shape[1])}
        else:
            columns[name] = column
    return pa.record_batch(columns)
