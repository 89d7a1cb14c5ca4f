"""A version's artifacts: the saved model as an MLflow pyfunc, with the code that loads it, and its digests."""

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

import recap_model
from components.common.registry import MODEL_PATH, write_digests
from components.common.runtime.atomic_output import MARK_NAME
from recap_model import serving
from recap_model.config import RecapConfig
from recap_model.config.fields.names import SCORE
from recap_model.file_digests import CACHE
from recap_model.scoring import optional_columns

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_NEEDED = ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "safetensors", "torch")


def package(
    model: Path, example: pa.Table, config: RecapConfig, out: Path, add: Callable[[Path], None]
) -> str:
    """Write a folder that ``mlflow.pyfunc.load_model`` reads; loading it executes no pickle.

    Args:
        model: what `recap_model.save_model` wrote.
        example: rows of the log, with the model's feature columns only.
        config: the model's.
        out: the folder; it must not be there yet.
        add: called with the folder, to put more into it before digests are taken.

    Returns:
        The digest of the folder's content, see `write_digests`.
    """
    import mlflow.pyfunc

    staging = out.parent / f"{out.name}.staging"
    shutil.copytree(model, staging / Path(MODEL_PATH).name, ignore=shutil.ignore_patterns(MARK_NAME))
    mlflow.pyfunc.save_model(
        path=str(out),
        loader_module=serving.__name__,
        data_path=str(staging / Path(MODEL_PATH).name),
        code_paths=[str(Path(recap_model.__file__).parent)],
        signature=signature(example.schema, config),
        input_example=_readable(example),
        pip_requirements=requirements(),
    )
    shutil.rmtree(staging)
    _prevent_caches(out / "code")
    add(out)
    return write_digests(out)


def _prevent_caches(code: Path) -> None:
    """Put an empty file where Python would write bytecode.

    MLflow loads a version of a local store in place. A cache that came with that could not be told from one that
    somebody planted, and Python would trust it instead of the code whose digest was checked.
    """
    for folder in {path.parent for path in code.rglob("*.py")}:
        (folder / CACHE).touch()


def requirements() -> list[str]:
    """Packages that scoring imports, pinned to what this process runs; a build's local tag is left out."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in _NEEDED]


def signature(columns: pa.Schema, config: RecapConfig) -> "ModelSignature":
    """One input for each feature column, one output for each task, the score, and the score's weights.

    A derived column may be given, or the columns that it is derived from, which are then not required.

    The parameter ``weights`` replaces any of the weights at call time: ``{"weights": {"like": 2.0}}``. Float columns
    are doubles. Others are of any type: MLflow refuses whole numbers for a double, and numbers with a missing value
    for an integer, both of which the model reads; it checks them itself.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType, Object, ParamSchema, ParamSpec, Property

    features = config.features
    sources = {source for column in features.derived.values() for source in column.of}
    optional = {*optional_columns(features), *sources, *features.derived}
    weights = {name: task.score_weight for name, task in config.tasks.items()}
    inputs = [
        ColSpec(
            DataType.double if pa.types.is_floating(field.type) else AnyType(),
            field.name,
            required=field.name not in optional,
        )
        for field in columns
    ]
    inputs += [ColSpec(AnyType(), name, required=False) for name in features.derived]
    outputs = [ColSpec(DataType.float, name) for name in (*weights, SCORE)]
    # Of any type, too: MLflow refuses 2 for a double.
    kind = Object([Property(task, AnyType(), required=False) for task in weights])
    parameters = ParamSchema([ParamSpec("weights", kind, weights)])
    return ModelSignature(Schema(inputs), Schema(outputs), parameters)


def _readable(rows: pa.Table) -> object:
    """Rows as a pandas frame that MLflow can write as JSON."""
    frame = rows.to_pandas()
    for field in rows.schema:
        if pa.types.is_nested(field.type):
            frame[field.name] = rows.column(field.name).to_pylist()
    return frame
