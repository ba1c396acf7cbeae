"""What a GPU would wait for, shown without one: values read and tensors copied between devices, with all on `meta`."""

import contextlib
import functools
import itertools
import traceback
from collections import Counter
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import drawing
import sbgm
from drawing import Drawing, Machine, draw
from sbgm import ImageMLP, generate, geometric_sigmas, inpaint, langevin, power_sigmas, samplers
from sbgm.generation import NamedSampler, gaussian_start
from sbgm.networks import in_range
from sbgm.noise import derived_generator
from sbgm.refinenet import ConditionalInstanceNorm, RefineNet, rescaled
from sbgm.samplers import SamplerDivergedError, annealed_langevin
from seeds import seeded

META = torch.device("meta")
SIGMAS = geometric_sigmas(1.0, 0.01, 3).tolist()
PACKAGE = Path(sbgm.__file__).parent
OURS = {Path(drawing.__file__).parent, PACKAGE, *(folder for folder in PACKAGE.rglob("*") if folder.is_dir())}


class MetaGenerator(torch.Generator):
    """A generator whose draws lie on `meta`, of which torch makes none."""

    device = META


def generator_of(*numbers, device="cpu"):
    """`derived_generator`, on `meta` too."""
    return derived_generator(*numbers) if torch.device(device).type == "cpu" else MetaGenerator()


@contextlib.contextmanager
def waits():
    """Count reads of `meta` values, which are 1 or False here, and copies between devices in a block, by the line of
    sbgm, or of a script of the lab, that asked for them."""
    found = Counter()

    def note(kind):
        frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).parent in OURS]
        found[f"{kind} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else kind] += 1

    class Dispatched(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            tensors = [a for a in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)]
            on_meta = any(t.device == META for t in tensors)
            name = function.overloadpacket.__name__
            if name == "_local_scalar_dense" and on_meta:
                note("read")
                return tensors[0].dtype != torch.bool and tensors[0].new_ones((), device="cpu").item()
            if name == "_to_copy" and on_meta and kwargs.get("device", META) != META:
                note("copy")
                return torch.ones(tensors[0].shape, dtype=kwargs.get("dtype") or tensors[0].dtype)
            if name == "copy_" and args[0].device != args[1].device:
                note("copy")
                return args[0]
            result = function(*args, **kwargs)
            moved = name == "_to_copy" and not on_meta and result.device == META
            if moved or (on_meta and any(t.device != META and t.ndim > 0 for t in tensors)):
                note("copy")
            return result

    class Called(TorchFunctionMode):  # tensors made of Python's numbers and moved to `meta`, which no dispatch shows
        def __torch_function__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            made = getattr(function, "__name__", "") in ("tensor", "as_tensor", "new_tensor")
            if made and result.device == META and not isinstance(args[-1], torch.Tensor):
                note("copy")
            return result

    with mock.patch("sbgm.checked.require_real", lambda values, name: values), Called(), Dispatched():
        yield found


def refinenet(image_channels=1, sigmas=SIGMAS, **options):
    return RefineNet(sigmas, channels=4, image_channels=image_channels, **options, generator=seeded(0)).requires_grad_(
        False
    )


def image_mlp():
    return ImageMLP(SIGMAS, (1, 8, 8), width=8, n_blocks=1).requires_grad_(False)


def images(n=2):
    return torch.empty(n, 1, 8, 8, device=META)


# --- an evaluation, and sampling -------------------------------------------------------------------------------------


SCORES = {
    "RefineNet": lambda: refinenet().to(META),
    "divided, rescaled and clamped": lambda: in_range(rescaled(refinenet(divide_by_sigma=True).to(META))),
    "ImageMLP": lambda: image_mlp().to(META),
}


@pytest.mark.parametrize("sigma", [0.01, torch.full((2,), 0.1, device=META)], ids=["float", "tensor"])
@pytest.mark.parametrize("name", SCORES)
def test_an_evaluation_waits_for_nothing(name, sigma):
    score = SCORES[name]()
    with waits() as found:
        assert score(images(), sigma).device == META
    assert not found


def looks(start):
    """The numbers, from 1, of a sampler's states before which a value was read or copied, beside the first.

    A look after the last state is one before the next.
    """
    with waits() as found:
        counts = [sum(found.values()) for _ in start()]
        counts.append(sum(found.values()))
    return [i for i, (before, after) in enumerate(itertools.pairwise(counts), start=2) if after > before]


NAMED = {
    "annealed": NamedSampler("annealed", SIGMAS, 2e-5, 2),
    "consistent": NamedSampler("consistent", geometric_sigmas(1.0, 0.1, 9), 0.01),
    "predictor-corrector": NamedSampler("predictor-corrector", SIGMAS, 2e-5, 2),
    **{name: NamedSampler(name, power_sigmas(1.0, 0.01, 5)) for name in ("ancestral", "euler", "heun", "multistep")},
}


@pytest.mark.parametrize("name", [*NAMED, "inpaint"])
def test_a_step_waits_for_nothing_but_the_look_after_the_last(name):
    """And the first, before which the arguments are looked at."""
    score, x = image_mlp().to(META), images()
    if name == "inpaint":
        known = {"image": images(1)[0], "mask": torch.empty(8, 8, dtype=torch.bool, device=META)}
        settings = {"step_size": 2e-5, "n_steps": 2, "generator": MetaGenerator()}
        assert looks(lambda: inpaint(score, x, SIGMAS, **known, **settings)) == [7]
    else:
        assert looks(lambda: NAMED[name].states(score, x, MetaGenerator())) == [NAMED[name].n_states + 1]


@pytest.mark.parametrize("levels", [1, 3])
def test_the_states_are_looked_at_fifty_together(levels):
    settings = {"step_size": 2e-5, "n_steps": 120 // levels, "generator": MetaGenerator()}
    start = functools.partial(annealed_langevin, lambda x, sigma: -x, images(), SIGMAS[:levels], **settings)
    assert looks(start) == [50, 100, 121]


class Shrinking(torch.nn.Module):
    """A score with a ladder that stays on the CPU, where the sampler reads it."""

    sigmas, image_shape = torch.tensor(SIGMAS), (1, 8, 8)

    def forward(self, x, sigma):
        return -x


def test_drawing_waits_no_more_often(tmp_path, monkeypatch):
    """Two looks at the start, three at the states, and the two copies of a batch when it is done."""
    monkeypatch.setattr("sbgm.generation.derived_generator", generator_of)
    monkeypatch.setattr(drawing, "samples_key", lambda *names: "key")
    drawing_of_two = Drawing("n", n_samples=2, n_steps=40, batch_size=2, precision="fp32")
    with waits() as found:
        draw(drawing_of_two, tmp_path, Machine("meta"), load=lambda _: Shrinking())
    assert sorted(found.values()) == [1, 1, 2, 3], found


def test_noise_is_drawn_where_the_chains_run_and_what_a_gpu_draws_is_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("sbgm.generation.derived_generator", generator_of)
    places = []

    def sampler(x, generator):
        places.append((x.device.type, generator.device.type))
        return langevin(lambda x, sigma: -x, x, step_size=0.1, n_steps=1, generator=generator)

    for device in ("cpu", META):
        with waits():
            generate(sampler, 2, (3,), seed=0, start=gaussian_start(1.0), folder=tmp_path, device=device)
    assert places == [("cpu", "cpu"), ("meta", "meta")]
    files = sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.safetensors"))
    assert files == ["batch-0000.safetensors", "noise-meta/batch-0000.safetensors"]


# --- divergence ------------------------------------------------------------------------------------------------------


def run_until_error(together, monkeypatch, **options):
    """How many states a run yields before its error, and the error."""
    monkeypatch.setitem(samplers.LOOK_EVERY, "cpu", together)
    states = annealed_langevin(lambda x, sigma: -x / sigma**2, torch.ones(2, 3), SIGMAS, **options)
    seen = []
    with pytest.raises(SamplerDivergedError) as raised:
        seen.extend(states)
    return len(seen), raised.value


@pytest.mark.parametrize(("n_steps", "yielded"), [(30, 49), (4, 12)])
def test_a_later_look_names_the_step_that_diverged(n_steps, yielded, monkeypatch):
    """At ε = 50 σ_L² the chains grow 24-fold a step. Of 90 states the first 50 are looked at together, of 12 all."""
    options = {"step_size": 50 * SIGMAS[-1] ** 2, "n_steps": n_steps}
    before, at_once = run_until_error(1, monkeypatch, generator=seeded(), **options)
    until, later = run_until_error(50, monkeypatch, generator=seeded(), **options)
    assert (at_once.level, at_once.step, str(at_once)) == (later.level, later.step, str(later))
    assert (before, until) == ((at_once.level - 1) * n_steps + at_once.step - 1, yielded)


# --- the memory format of a GPU's convolutions -----------------------------------------------------------------------


@pytest.mark.parametrize(("image_channels", "size"), [(1, (28, 28)), (3, (32, 32))])
def test_channels_last_stays_through_the_network_and_changes_rounding_only(image_channels, size):
    plain, fast = (refinenet(image_channels).requires_grad_() for _ in range(2))
    fast = fast.to(memory_format=torch.channels_last)
    seen = []
    for module in fast.modules():
        if isinstance(module, ConditionalInstanceNorm | torch.nn.Conv2d):
            module.register_forward_hook(lambda module, given, result: seen.extend((given[0], result)))
    x = torch.rand(2, image_channels, *size, generator=seeded())
    expected, found = plain(x, 0.1), fast(x, 0.1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    inside = seen[1:-1]  # what the first convolution takes and the last one gives may lie as the images do
    assert len(inside) == 290
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in inside)
    for result in (expected, found):
        result.square().sum().backward()
    for a, b in zip(plain.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-3, atol=1e-3 * float(a.grad.abs().max()))


def test_a_ladder_that_is_loaded_is_the_one_that_a_float_is_looked_up_in():
    network, other = refinenet(), refinenet(sigmas=[2.0, 0.5, 0.1])
    network.load_state_dict(other.state_dict())
    x = torch.rand(2, 1, 8, 8, generator=seeded())
    assert torch.equal(network(x, 2.0), network(x, torch.full((2,), 2.0)))
    with pytest.raises(ValueError, match=r"ladder \[2.0, 0.5, 0.1"):
        network(x, 1.0)
