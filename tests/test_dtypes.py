"""Every loss and sampler keeps to its input's dtype, and makes no float64 on the way: Apple's MPS has none."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sbgm

DTYPES = [torch.float32, torch.float64, torch.bfloat16]


class RefuseFloat64(TorchDispatchMode):
    """Raises when an operation gives a float64 tensor."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            assert not (isinstance(value, torch.Tensor) and value.dtype == torch.float64), f"{func} made a float64"
        return result


def every_use(dtype):
    """Each public loss and sampler on a mixture, by name, as functions of nothing."""
    generator = torch.Generator().manual_seed(0)
    mixture = sbgm.paper_mixture()
    x = mixture.sample(16, generator=generator).to(dtype)
    sigmas = sbgm.geometric_sigmas(2.0, 1.0, 3)
    options = {"step_size": 0.01, "n_steps": 2, "generator": generator}
    networks = [network.to(dtype) for network in (sbgm.MLP(), sbgm.ConditionalMLP(), sbgm.EnergyMLP())]
    uses = {
        "perturb": lambda: sbgm.perturb(x, torch.full((16,), 0.5, dtype=dtype), generator=generator),
        "log_prob": lambda: mixture.log_prob(x, 1.0),
        "langevin": lambda: sbgm.final(sbgm.langevin(mixture.score, x, **options)),
        "metropolis": lambda: sbgm.final(
            sbgm.metropolis_langevin(mixture.score, x, log_prob=mixture.log_prob, **options)
        ),
        "hamiltonian": lambda: sbgm.final(
            sbgm.hamiltonian(mixture.score, x, n_leapfrog=2, log_prob=mixture.log_prob, **options)
        ),
        "annealed": lambda: sbgm.final(sbgm.annealed_langevin(mixture.score, x, sigmas, denoise_last=True, **options)),
    }
    for network in networks:
        name = type(network).__name__
        uses |= {
            f"{name} exact": lambda n=network: sbgm.score_matching_loss(n, x, 1.0),
            f"{name} denoising": lambda n=network: sbgm.denoising_score_matching_loss(n, x, 1.0, generator=generator),
            f"{name} sliced": lambda n=network: sbgm.sliced_score_matching_loss(n, x, 1.0, generator=generator),
            f"{name} ncsn": lambda n=network: sbgm.ncsn_loss(n, x, sigmas, generator=generator),
            f"{name} score": lambda n=network: n(x, torch.ones(16, dtype=dtype)),
        }
    return uses


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", every_use(torch.float32))
def test_the_result_has_the_inputs_dtype(name, dtype):
    assert every_use(dtype)[name]().dtype == dtype


@pytest.mark.parametrize("name", every_use(torch.float32))
def test_no_float64_is_made_from_float32(name):
    use = every_use(torch.float32)[name]
    with RefuseFloat64():
        use()
