"""How many threads read a process's rows."""

import pytest
import torch

from components.train import data
from recap_model.training import ProcessGroup


def test_one_thread_reads_where_the_cpu_trains():
    assert data._reading_threads(ProcessGroup()) == 1


@pytest.mark.parametrize(("cores", "processes", "threads"), [(16, 1, 8), (16, 4, 4), (2, 8, 1)])
def test_the_processes_of_a_node_of_gpus_share_its_cores(
    cores: int, processes: int, threads: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(data, "cores", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert data._reading_threads(ProcessGroup(size=processes, device=torch.device("cuda"))) == threads
