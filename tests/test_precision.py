"""Mixed precision and compiled layers: what runs in bfloat16, what comes back, and that nothing else changes."""

import shutil

import pytest
import torch
from torch import nn
from torch.nn import functional

from sbgm import MLP, RefineNet, geometric_sigmas, ncsn_loss
from sbgm.networks import drawn_from
from sbgm.precision import PRECISIONS, autocast, compiled, fast_precision
from sbgm.refinenet import ChainedPooling, ConditionalInstanceNorm, MultiResolutionFusion
from sbgm.train.images import NCSN, train_ncsn
from sbgm.train.runs import Run, TrainingSettings
from seeds import seeded

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


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be one of 'auto', 'fp32', 'bf16', 'fp16', got 'fp64'"):
        autocast(MLP(), "fp64")


PROCESSORS = {
    "AMD EPYC 9005": ("flags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16 sha_ni", "bf16"),
    "Intel Xeon with AMX": ("flags\t\t: fpu avx2 avx512f avx512_vnni amx_bf16 amx_tile", "bf16"),
    "Intel Xeon without": ("flags\t\t: fpu avx2 avx512f avx512bw avx512_vnni", "fp32"),
    "Intel Core": ("flags\t\t: fpu avx2 avx_vnni", "fp32"),
    "Arm Neoverse V1": ("Features\t: fp asimd fphp asimdhp sve i8mm bf16 dgh", "bf16"),
    "Arm Neoverse N1": ("Features\t: fp asimd fphp asimdhp", "fp32"),
}


@pytest.mark.parametrize(("listed", "expected"), PROCESSORS.values(), ids=PROCESSORS)
def test_a_processor_is_fast_in_bfloat16_if_its_instructions_multiply_it(listed, expected, tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{listed}\n")
    assert fast_precision("cpu", file) == expected
    assert fast_precision("mps", file) == "fp32"


@pytest.mark.parametrize(("amx", "expected"), [(None, "fp32"), (lambda: True, "bf16")])  # torch 2.4 has no test of AMX
def test_where_linux_lists_no_instructions_torch_is_asked(amx, expected, tmp_path, monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    if amx:
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", amx, raising=False)
    assert fast_precision("cpu", tmp_path / "none") == expected


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((6, 1), "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")],
)
def test_a_gpu_is_judged_by_its_capability_since_torch_also_counts_emulation(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fast_precision("cuda:1") == precision


class TwoPart(nn.Linear):
    """A network with its layers in `output`, which is compiled as a whole, and something besides."""

    def output(self, x):
        return super().forward(x)

    def forward(self, x, sigma):
        return self.output(x) / sigma


@pytest.mark.parametrize("network", [lambda: TwoPart(2, 2), MLP])
def test_a_compiled_network_gives_the_same_scores(network, monkeypatch):
    seen, compile_ = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **_: (seen.append(f), compile_(f, backend="eager"))[1])
    monkeypatch.setattr(nn.Module, "compile", lambda self, **_: (seen.append(self.forward), self)[1])
    plain, x = network(), torch.rand(4, 2, generator=seeded())
    expected = plain(x, 0.1)
    assert compiled(plain) is plain
    assert [f.__name__ for f in seen] == ["forward" if network is MLP else "output"]
    torch.testing.assert_close(plain(x, 0.1), expected)


# --- compiled --------------------------------------------------------------------------------------------------------

needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")


class Fusion(nn.Module):
    """A fusion of two maps, the second half the size of the first, and the pooling that comes after."""

    def __init__(self):
        super().__init__()
        with drawn_from(seeded()):
            self.fusion = MultiResolutionFusion([8, 8], 8, lambda n: ConditionalInstanceNorm(n, 3))
            self.pooling = ChainedPooling(8, lambda n: ConditionalInstanceNorm(n, 3))

    def forward(self, x, sigma):
        level = torch.tensor([0, 1, 2, 0])
        return self.pooling(self.fusion([x, functional.avg_pool2d(x, 2)], level, x.shape[2:]), level)


def refinenet():
    return RefineNet(geometric_sigmas(1.0, 0.01, 10), channels=8, image_channels=1, generator=seeded(0))


def gradients(network, precision, shape):
    """Each weight's gradient of the denoising loss on four images of noise."""
    x, ladder = torch.rand(shape, generator=seeded()), geometric_sigmas(1.0, 0.01, 10)
    ncsn_loss(autocast(network, precision), x, ladder, generator=seeded(1)).backward()
    return {name: p.grad for name, p in network.named_parameters()}


@needs_a_compiler
@pytest.mark.parametrize(
    ("make", "shape"),
    [(Fusion, (4, 8, 14, 14)), pytest.param(refinenet, (4, 1, 28, 28), marks=pytest.mark.slow)],  # some five minutes
)
@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp32", marks=pytest.mark.slow)])
def test_a_compiled_network_has_every_gradient_of_the_plain_one(make, shape, precision):
    network = make()
    expected = gradients(network, precision, shape)
    found = gradients(compiled(make()), precision, shape)
    tolerance = 0.05 if precision == "bf16" else 1e-3
    for name, gradient in expected.items():
        error = (found[name] - gradient).norm() / gradient.norm()
        assert error < tolerance, f"{name}: the compiled gradient is off by {error:.3f} of its size"


def run_of_two_steps(folder, *, compile):
    """The losses of a short training on digits, and its weights."""
    training = TrainingSettings(n_steps=2, batch_size=4, log_every=1, measure_every=2, save_every=2, compile=compile)
    settings = NCSN("digits", channels=4, n_levels=3, n_held_out=8, training=training)
    return [step.loss for step in train_ncsn(settings, folder)], Run(folder).network().state_dict()


def test_a_training_with_a_compiler_that_loses_gradients_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        torch, "compile", lambda output, **_: lambda x, level: output(x, level).detach() + 0 * output(x, level)
    )
    with pytest.raises(ArithmeticError, match=r"the compiled network is off by 1 of its size.*without compile"):
        run_of_two_steps(tmp_path / "lost", compile=True)
    assert Run(tmp_path / "lost").last_step == 0


def test_the_comparison_leaves_the_training_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda output, **_: output)
    compared, plain = (run_of_two_steps(tmp_path / str(compile), compile=compile) for compile in (True, False))
    torch.testing.assert_close(compared, plain, rtol=0.0, atol=0.0)
