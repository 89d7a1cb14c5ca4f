"""The benchmarks are not run with the tests, but they must still start."""

import importlib
import pkgutil
from pathlib import Path

import pytest

from recap_model.data.dataset.reader import DatasetReader
from tests import benchmarks
from tests.benchmarks.random_sets import narrow_config, write_set

MODULES = [module.name for module in pkgutil.walk_packages(benchmarks.__path__, "tests.benchmarks.")]


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_can_be_imported(name: str):
    assert importlib.import_module(name).__doc__


def test_every_benchmark_is_in_the_index():
    index = (Path(benchmarks.__file__).parent / "README.md").read_text()
    packages = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.ispkg]
    assert len(packages) > 5
    assert [name for name in packages if f"tests.benchmarks.{name}`" not in index] == []


def test_a_random_set_is_one_that_training_reads(tmp_path: Path):
    config = narrow_config()
    write_set(tmp_path / "train", config, rows=300)
    reader = DatasetReader(tmp_path / "train", list(config.tasks), 100, config=config, seed=0)
    assert sum(len(batch) for batch in reader.batches()) == reader.rows == 300
