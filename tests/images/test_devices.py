"""Mixed precision, which layers are compiled, and the hardware that is chosen."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import accelerate
import psutil
import pytest
import torch

from sbgm import MLP, RefineNet
from sbgm.apps.train import make_accelerator
from sbgm.images import devices
from sbgm.images.devices import PRECISIONS, autocast, compiled, fast_precision, find_device, hardware, idle_cores
from seeds import seeded
from small_run import assert_same_run, changed, run

# --- precision -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("bf16", torch.bfloat16),
        ("fp16", torch.float16),
        ("fp32", torch.float32),
        ("auto", PRECISIONS[fast_precision()]),
    ],
)
def test_layers_run_in_the_precision_and_the_score_has_the_dtype_of_x(precision, dtype):
    network, x, seen = MLP(width=8, generator=seeded()), torch.rand(4, 2, generator=seeded()), []
    expected = network(x)
    network.layers[0].register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    result = autocast(network, precision)(x, 0.1)
    assert (seen, result.dtype) == ([dtype or torch.float32], torch.float32)
    torch.testing.assert_close(result, expected, rtol=0.02, atol=0.02)
    result.sum().backward()
    assert network.layers[0].weight.grad.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"neon": True, "bf16": True}, "bf16"),
        ({"avx512_bf16": False, "avx512_vnni": True, "bf16": False}, "fp32"),
    ],
)
def test_a_processor_is_fast_in_bfloat16_if_its_instructions_multiply_it(instructions, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    assert fast_precision("cpu") == expected
    assert fast_precision("mps") == "fp32"


def test_a_torch_that_cannot_tell_the_instructions_computes_in_fp32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert fast_precision("cpu") == "fp32"
    assert hardware().startswith(platform.machine())


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((6, 1), "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")],
)
def test_a_gpu_is_judged_by_its_capability_since_torch_also_counts_emulation(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fast_precision("cuda:1") == precision


# --- compiled --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "shape", "part"), [(RefineNet([1.0, 0.1], 4, 1), (2, 1, 8, 8), "output"), (MLP(), (4, 2), "_call_impl")]
)
def test_the_layers_of_a_network_are_compiled_in_place(network, shape, part, monkeypatch):
    """Of a RefineNet these alone: what looks σ up in the ladder would break the graph."""
    seen = []
    monkeypatch.setattr(torch, "compile", lambda part, **_: seen.append(part.__name__) or part)
    x = torch.rand(shape, generator=seeded())
    expected = network(x, 1.0)
    assert compiled(network) is network
    torch.testing.assert_close(network(x, 1.0), expected)
    assert seen == [part]


@pytest.mark.parametrize(
    ("processor", "known", "expected"),
    [("AVX512", ["cpp.march"], {"cpp.march": devices.MARCH}), ("AVX512", [], {}), ("AVX2", ["cpp.march"], {})],
)
def test_a_fault_of_gcc_is_avoided_where_torch_has_the_option(processor, known, expected, monkeypatch):
    seen = []
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    monkeypatch.setattr(torch._inductor, "list_options", lambda: known)
    monkeypatch.setattr(torch, "compile", lambda part, options: seen.append(options) or part)
    compiled(MLP())
    assert seen == [expected]


def test_the_comparison_leaves_the_training_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda part, **_: part)
    compared, plain = (run(tmp_path / str(i), changed(compile=i == 0)) for i in range(2))
    assert compared == plain
    assert_same_run(tmp_path / "0", tmp_path / "1")


# --- hardware --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cuda", "mps", "processes", "name", "expected"),
    [
        (False, False, "1", None, "cpu"),
        (True, False, "1", None, "cuda"),
        (True, False, "2", None, "cuda"),
        (False, True, "1", None, "mps"),
        (False, True, "2", None, "cpu"),
        (True, True, "1", "cpu", "cpu"),
    ],
)
def test_the_gpu_computes_if_there_is_one_unless_told_otherwise(cuda, mps, processes, name, expected, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", processes)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    there = torch.device("cuda" if cuda else "mps")
    monkeypatch.setattr(
        accelerate,
        "Accelerator",
        lambda cpu, **_: SimpleNamespace(cpu=cpu, device=torch.device("cpu") if cpu else there),
    )
    assert find_device(name) == expected
    assert make_accelerator(name).cpu is (expected == "cpu")


@pytest.mark.parametrize(
    ("busy", "most", "expected"), [(0, 8, 8), (100, 8, 1), (50, 8, 4), (20, 2, 2), (99, 1, 1), (45, 4, 4)]
)
def test_threads_are_as_many_as_cores_are_idle(busy, most, expected, monkeypatch):
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: float(busy))
    monkeypatch.setattr(psutil, "cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: most)
    assert idle_cores() == expected


@pytest.mark.parametrize(("own", "expected"), [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_a_waiting_thread_gives_its_core_up_before_torch_is_loaded(own, expected, tmp_path, monkeypatch):
    """Only the command line sets it, and not over the user's own."""
    (tmp_path / "torch.py").write_text("import os\nraise SystemExit(os.environ['GOMP_SPINCOUNT'])")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)} | own
    done = subprocess.run([sys.executable, "-m", "sbgm", "train"], capture_output=True, text=True, env=environment)
    assert done.stderr.split() == [expected]
