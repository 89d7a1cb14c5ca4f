"""A Spark of two threads on this machine, for the tests of what runs on an engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.common.engine import Engine
from components.common.engine.spark import SparkEngine


@contextmanager
def local_spark() -> Iterator[Engine]:
    """An engine whose Python processes can import the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        with SparkEngine("local[2]", {"spark.driver.memory": "1g"}) as engine:
            yield engine
