"""What all tests share: a quiet environment, their order, and one sample log."""

import os

# Before anything imports them: one thread for the numerics.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.simulator import write_log

# How long an example takes says more of what else the machine does than of ours.
settings.register_profile("recap", deadline=None)
settings.load_profile("recap")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that none of them begins when the other workers have nothing left to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def sample_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample log of 5,000 rows over 5 days, with its truth under ``_truth``. Read it; do not change it."""
    out = tmp_path_factory.mktemp("sample") / "log"
    write_log(out, rows=5_000, days=5, truth=True)
    return out
