"""No float64 is made from float32, as MPS has none; half precision does not overflow, or is refused by name."""

import inspect
from collections.abc import Iterator

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sbgm
from arguments import FUNCTIONS, good, parameters
from seeds import seeded

HALF = [torch.float16, torch.bfloat16]
MODULES = ("mixtures", "noise", "losses", "samplers", "networks", "images.networks")  # measures: in float64, on the CPU
IN_FLOAT32 = [
    name
    for name, function in FUNCTIONS.items()
    if inspect.isroutine(function) and function.__module__.removeprefix("sbgm.") in MODULES and "x" in parameters(name)
]
OF_NETWORKS = [name for name in FUNCTIONS if name.endswith(".forward")]


class RefuseFloat64(TorchDispatchMode):
    """Raises when an operation gives a float64 tensor."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            assert not (isinstance(value, torch.Tensor) and value.dtype == torch.float64), f"{func} made a float64"
        return result


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_no_float64_is_made_from_float32(name):
    one_an_example = {"sigma": torch.ones(3)} if "sigma" in good(name) else {}
    for change in ({}, one_an_example):
        with RefuseFloat64():
            result = FUNCTIONS[name](**good(name) | change)
            if isinstance(result, Iterator):
                list(result)


# --- half precision --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*HALF, torch.float64], ids=str)
@pytest.mark.parametrize("name", OF_NETWORKS)
def test_a_network_of_another_dtype_says_so(name, dtype):
    arguments = good(name)
    with pytest.raises(TypeError, match=f"x must be torch.float32, as the network's parameters are, got {dtype}"):
        FUNCTIONS[name](**arguments | {"x": arguments["x"].to(dtype)})


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_mixtures_losses_and_measures_do_not_overflow_in_half_precision(dtype):
    points = torch.full((9, 784), 200.0, dtype=dtype)  # whose squares are beyond float16
    mixture = sbgm.GaussianMixture([1.0], torch.zeros(1, 784, dtype=dtype), 100.0)

    def score(x, sigma):
        return 0 * x

    losses = [
        sbgm.denoising_score_matching_loss(score, points, 0.001, generator=seeded()),
        sbgm.ncsn_loss(score, points, [1.0, 0.01], generator=seeded()),
        sbgm.score_matching_loss(lambda x, sigma: x, points),
        sbgm.sliced_score_matching_loss(lambda x, sigma: x, points, generator=seeded()),
    ]
    measured = [
        sbgm.measure.relative_squared_error(points, 2 * points),
        sbgm.measure.distance_to_modes(points, -points),
        mixture.log_prob(points),
        mixture.score(points),
    ]
    assert all(bool(torch.as_tensor(value).isfinite().all()) for value in [*losses, *measured])
