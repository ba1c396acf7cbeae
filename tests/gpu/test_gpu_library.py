"""The library on the simulated GPU: the CPU's values where a CPU generator draws, and how often the host waits."""

import copy
import dataclasses
import functools
import inspect
import math
from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import nn

import sbgm
from arguments import DIGITS, FUNCTIONS, good, parameters
from counting import ZeroNetwork
from properties.runs import RUNS
from sbgm import __main__ as cli
from sbgm.files import load_tensors
from sbgm.images.weights import OwnNetwork
from seeds import seeded

assert_same = functools.partial(torch.testing.assert_close, rtol=0, atol=0)


def moved(value):
    """A value, and what is in it, on the GPU; a generator stays on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.to("cuda")
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).to("cuda")
    if inspect.ismethod(value) and isinstance(value.__self__, nn.Module):
        return getattr(moved(value.__self__), value.__name__)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(moved, value))
    if isinstance(value, list | tuple) and any(isinstance(of_one, torch.Tensor) for of_one in value):
        return type(value)(map(moved, value))
    return value


def numbers(value):
    """All numbers in a result, as tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return [value.detach().cpu()]
    if isinstance(value, float | int):
        return [torch.tensor(value)]
    if isinstance(value, nn.Module):
        return numbers(value.state_dict())
    if dataclasses.is_dataclass(value):
        return numbers(vars(value))
    if isinstance(value, Mapping):
        return numbers(list(value.values()))
    if isinstance(value, Iterator | list | tuple):
        return [number for of_one in value for number in numbers(of_one)]
    return []


def calls():
    """Functions of tensors, and their arguments; σ is a float, and one an example where it may be."""
    for name, function in FUNCTIONS.items():
        if not inspect.isroutine(function) or name in NOT_HERE:
            continue
        arguments = good(name) | OWN.get(name, {})
        if any(isinstance(value, torch.Tensor | nn.Module) for value in arguments.values()):
            yield pytest.param(name, {}, id=name)
        if "sigma" in arguments and parameters(name)["sigma"].annotation in ("Sigma", "float | Tensor"):
            yield pytest.param(name, {"sigma": torch.ones(3)}, id=f"{name}-each")


NOT_HERE = ("adam", "fid", "fit_score", "in_batches")
OWN = {"hog_features": {"images": DIGITS}, "inception_score": {"logits": torch.arange(20.0).reshape(10, 2)}}


@pytest.mark.parametrize(("name", "options"), [*calls()])
def test_a_function_gives_what_it_gives_on_the_cpu(name, options, gpu):
    arguments = [good(name) | OWN.get(name, {}) | options for _ in range(2)]
    expected = FUNCTIONS[name](**arguments[0])
    result = moved(FUNCTIONS[name])(**{key: moved(value) for key, value in arguments[1].items()})
    assert_same(numbers(result), numbers(expected), equal_nan=True)


def test_noise_from_a_generator_on_the_gpu_stays_there(gpu):
    g = torch.Generator("cuda").manual_seed(0)
    x = sbgm.paper_mixture().sample(3, generator=g)
    step = next(sbgm.langevin(sbgm.paper_mixture().score, x, step_size=0.1, n_steps=1, generator=g))
    loss = sbgm.ncsn_loss(moved(sbgm.ConditionalMLP()), x, [2.0, 1.0], generator=g)
    assert {x.device, step.x.device, loss.device} == {torch.device("cuda:0")}
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        step.x + torch.ones(3, 2)


# --- how often the host waits ----------------------------------------------------------------------------------------

LADDER = [1.0, 0.5, 0.25]
LABELS = torch.tensor([0, 2])
SHAPE = (1, 4, 4)
REFINENET = sbgm.RefineNet(LADDER, 2, 1, n_classes=2, generator=seeded()).requires_grad_(False)
DIGIT_NETWORK = sbgm.DigitNetwork(LADDER, n_classes=2, image_shape=SHAPE, width=4, n_blocks=1, generator=seeded())
SCORES = {
    "with labels": lambda network, labels: sbgm.guided(network, labels, 2.0),
    "of a class": lambda network, labels: sbgm.guided(network, 1, 2.0),
    "in range": lambda network, labels: sbgm.in_range(network),
    "rescaled": lambda network, labels: sbgm.rescaled(network),
}


@pytest.mark.parametrize(
    ("run", "network", "score"),
    [
        *((run, DIGIT_NETWORK.requires_grad_(False), "with labels") for run in RUNS),
        *(("ancestral", REFINENET, score) for score in SCORES),
        ("ancestral", OwnNetwork(LADDER, ZeroNetwork([]), 2), "with labels"),
    ],
)
def test_a_sampler_draws_as_on_the_cpu_and_waits_once_a_step(run, network, score, gpu):
    """A simulated GPU draws the CPU's noise; the labels are looked at before the first step."""
    x = torch.rand(2, *SHAPE, generator=seeded())
    sigmas = [1.0, 0.7, 0.4, 0.25] if score == "rescaled" else LADDER
    on_cpu = list(RUNS[run](SCORES[score](network, LABELS), x, sigmas, seeded()))
    generator = torch.Generator("cuda").manual_seed(0)
    states = RUNS[run](SCORES[score](moved(network), moved(LABELS)), moved(x), sigmas, generator)
    waits = []
    for state, expected in zip(states, on_cpu, strict=True):
        waits.append(dict(gpu.waits))
        assert state.x.is_cuda
        assert_same(numbers(state), numbers(expected))
        gpu.waits.clear()
    assert all(sum(of_step.values()) <= 1 for of_step in waits[1:]), waits


def test_what_is_wrong_on_a_gpu_is_still_said(gpu):
    network = moved(REFINENET)
    x = torch.rand(2, *SHAPE, device="cuda")
    with pytest.raises(ValueError, match="label must be a class from 0 to 1, or 2 for any"):
        sbgm.guided(network, moved(torch.tensor([0, 3])), 2.0)
    for sigma in (0.7, torch.tensor([1.0, 0.7]), torch.tensor([1.0, 0.7], device="cuda")):
        with pytest.raises(ValueError, match=r"sigma must be a level of the network's ladder .* got 0\.7"):
            network(x, sigma)
    network.sigmas *= 0.7
    assert network(x, 0.7).isfinite().all()
    with pytest.raises(ValueError, match="sigma must be finite and positive"):
        network(x, math.nan)
    with pytest.raises(ValueError, match=r"sigma must be a level of the network's ladder .* got nan"):
        network(x, torch.full((2,), math.nan, device="cuda"))
    options = {"step_size": 400.0, "n_steps": 9, "generator": torch.Generator("cuda").manual_seed(0)}
    with pytest.raises(sbgm.SamplerDivergedError, match="diverged at one of the 9 states up to step 9:"):
        sbgm.final(sbgm.langevin(lambda x, sigma: -x, x, **options))
    states = sbgm.langevin(lambda x, sigma: -x, x, **options | {"n_steps": 30})
    with pytest.raises(sbgm.SamplerDivergedError, match="diverged at one of the 10 states up to step 11:"):
        sbgm.final(states)


# --- drawing ---------------------------------------------------------------------------------------------------------


def test_generate_draws_on_the_gpu_and_returns_to_the_cpu(gpu):
    sampler = lambda x, generator: sbgm.ancestral(score, x, LADDER, generator=generator)  # noqa: E731 - rebound below
    options = {"seed": 0, "batch_size": 2, "start": sbgm.images.drawing.fitted_start(torch.rand(3, *SHAPE), 1.0)}
    score = sbgm.guided(DIGIT_NETWORK, 1, 2.0)
    on_cpu = sbgm.generate(sampler, (4, *SHAPE), **options)
    score = sbgm.guided(moved(DIGIT_NETWORK), 1, 2.0)
    assert_same(sbgm.generate(sampler, (4, *SHAPE), device="cuda", **options), on_cpu)


@pytest.mark.parametrize(
    "words",
    [
        "sample own_network -n 2 --label 3 5 --n-steps 1",
        "sample digits_mlp -n 3 --sampler ancestral",
        "sample mnist_ncsn -n 1 --sampler ancestral --levels 3 --denoise",
    ],
)
def test_the_command_draws_on_a_gpu(words, tmp_path, gpu):
    drawn = []
    for device in ("cuda", "cpu"):
        out = tmp_path / device
        again = [*words.split(), "--precision", "fp32", "--threads", "1", "--device", device, "--out", str(out)]
        assert cli.main(again) == 0
        drawn.append(load_tensors(next(out.glob("*.safetensors")))[0])
    torch.testing.assert_close(*drawn, rtol=1e-3, atol=1e-3)  # a GPU's channels come last, and are summed otherwise
