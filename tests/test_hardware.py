"""Where to compute: Accelerate's own choice in one process, and one that joins several processes without a GPU."""

import accelerate
import pytest
import torch

from sbgm.train.runs import make_accelerator


@pytest.mark.parametrize("n_processes", ["1", None])
@pytest.mark.parametrize("cpu", [True, False])
def test_one_process_computes_where_accelerate_says(n_processes, cpu, monkeypatch):
    """An Apple GPU among others."""
    if n_processes is None:
        monkeypatch.delenv("WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("WORLD_SIZE", n_processes)
    monkeypatch.setattr(accelerate, "Accelerator", lambda cpu: cpu)
    assert make_accelerator(cpu=cpu) is cpu


@pytest.mark.parametrize(("gpu", "cpu", "expected"), [(False, False, True), (True, False, False), (True, True, True)])
def test_several_processes_share_gpus_or_the_cpu(gpu, cpu, expected, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(accelerate, "Accelerator", lambda cpu: cpu)
    assert make_accelerator(cpu=cpu) is expected
