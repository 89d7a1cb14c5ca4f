"""A version's artifacts: the saved model as an MLflow pyfunc, with the code that loads it, and its digests."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from recap_model.scoring import history_columns, optional_columns

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
        out: the folder; it must not exist.
        add: called with the folder, to add files before digests are computed.

    Returns:
        The digest of the folder's content, see `write_digests`.
    """
    import mlflow.pyfunc

    staging = out.parent / f"{out.name}.staging"
    shutil.copytree(model, staging / Path(MODEL_PATH).name, ignore=shutil.ignore_patterns(MARK_NAME))
    with _without_check_of_requirements():
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

    MLflow loads a version of a local store in place. The bytecode that Python writes there could not be distinguished
    from malicious bytecode, which Python would run instead of the code whose digest was verified.
    """
    for folder in {path.parent for path in code.rglob("*.py")}:
        (folder / CACHE).touch()


def requirements() -> list[str]:
    """Packages that scoring imports, pinned to this process's releases without local version labels."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in _NEEDED]


def requirements_text() -> str:
    """`requirements` as in a version's ``requirements.txt``."""
    return "\n".join(requirements())


@contextmanager
def _without_check_of_requirements() -> Iterator[None]:
    """Keep MLflow from comparing the requirements with the installed packages, from which `requirements` reads them.

    To warn of a difference, it lists the files of every installed package, which takes a second.
    """
    from mlflow.utils import environment

    check = environment.warn_dependency_requirement_mismatches
    environment.warn_dependency_requirement_mismatches = lambda requirements: None
    try:
        yield
    finally:
        environment.warn_dependency_requirement_mismatches = check


def signature(columns: pa.Schema, config: RecapConfig) -> "ModelSignature":
    """Inputs: the feature columns. Outputs: the tasks and the score. Parameter: the score's weights.

    A request gives a derived column or its source columns, so neither is required.

    The parameter ``weights`` replaces any of the weights at call time: ``{"weights": {"like": 2.0}}``. The parameter
    ``history`` gives the columns of a history once for all rows, so these are not required either. Float columns
    are doubles. Others have any type, because MLflow refuses integers for a double and missing values for an integer,
    which the model reads; the model checks the types itself.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType, Object, ParamSchema, ParamSpec, Property

    features = config.features
    sources = {source for column in features.derived.values() for source in column.of}
    optional = {*optional_columns(features), *sources, *features.derived, *history_columns(features)}
    weights = config.score_weights()
    inputs = [
        ColSpec(
            DataType.double if pa.types.is_floating(field.type) else AnyType(),
            field.name,
            required=field.name not in optional,
        )
        for field in columns
    ]
    inputs += [ColSpec(AnyType(), name, required=False) for name in features.derived]
    histories = history_columns(features)
    inputs += [ColSpec(AnyType(), name, required=False) for name in histories if name not in columns.names]
    outputs = [ColSpec(DataType.float, name) for name in (*config.tasks, SCORE)]
    # Any type, because MLflow refuses 2 for a double.
    kind = Object([Property(task, AnyType(), required=False) for task in weights])
    parameters = [ParamSpec("weights", kind, weights)]
    if histories:
        lists = Object([Property(name, AnyType(), required=False) for name in histories])
        parameters.append(ParamSpec("history", lists, {}))
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(parameters))


def _readable(rows: pa.Table) -> object:
    """Rows as a pandas frame that MLflow can write as JSON."""
    frame = rows.to_pandas()
    for field in rows.schema:
        if pa.types.is_nested(field.type):
            frame[field.name] = rows.column(field.name).to_pylist()
    return frame
