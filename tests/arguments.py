"""Arguments of every public function: one that is taken, and the values that it must refuse.

A good value goes by its parameter's name, which means the same thing throughout the package, unless the function has
values of its own. Tables hold (values, names of parameters, names of functions if it is not all); the last wins.
"""

import functools
import inspect
import math
import tempfile
from pathlib import Path
from unittest.mock import Mock

import numpy
import torch
from torch import Tensor

import sbgm
from properties.strategies import gaussian_score, normal, seeded
from sbgm import losses, measure, mixtures, networks, noise, samplers, theory, training
from sbgm.images import data, drawing, masks, refinenet, weights
from sbgm.images import networks as image_networks
from sbgm.measure import judging
from sbgm.samplers import State

HOMES = (
    mixtures, noise, losses, samplers, networks, theory, training, image_networks, refinenet, drawing, masks, data,
    weights, measure,
)  # fmt: skip


# --- functions -------------------------------------------------------------------------------------------------------

BATCH = torch.ones(3, 2)
MEANS = torch.tensor([[-2.0, 0.0], [2.0, 0.0]])
FEATURES = normal(0, 9, 3)
IMAGES = torch.rand(3, 1, 4, 4, generator=seeded(0))
DIGITS = torch.rand(3, 1, 8, 8, generator=seeded(0))
MIXTURE = sbgm.paper_mixture()
CONDITIONAL = sbgm.ConditionalMLP(2, 4, 1)
IMAGE_MLP = sbgm.ImageMLP([2.0, 1.0], (1, 4, 4), 4, 1)
REFINENET = sbgm.RefineNet([2.0, 1.0], 2, 1)
OF_DIGITS = sbgm.DigitNetwork([2.0, 1.0], n_classes=2, image_shape=(1, 4, 4), width=4, n_blocks=1)
FUNCTIONS = {name: getattr(home, name) for home in HOMES for name in home.__all__}
FUNCTIONS |= {  # methods, and what is public without being exported
    "judge": judging.judge,
    "GaussianMixture.score": MIXTURE.score,
    "GaussianMixture.log_prob": MIXTURE.log_prob,
    **{
        f"{type(network).__name__}.forward": network.forward
        for network in (sbgm.MLP(2, 4, 1), CONDITIONAL, IMAGE_MLP, OF_DIGITS, REFINENET, sbgm.ResNet(8, 1))
    },
}


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """What a function takes."""
    return dict(inspect.signature(FUNCTIONS[name]).parameters)


def lookup(rows: list[tuple[object, str, str]]) -> dict[str, object]:
    """A table by "parameter" and by "function.parameter"."""
    return {
        f"{function}.{parameter}".lstrip("."): value
        for value, names, functions in rows
        for parameter in names.split()
        for function in functions.split() or [""]
    }


# --- good values -----------------------------------------------------------------------------------------------------


@functools.cache
def files() -> tempfile.TemporaryDirectory:
    """A folder with a file of weights, until the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="sbgm-arguments-")
    sbgm.save_network(IMAGE_MLP, Path(folder.name) / "network.safetensors")
    return folder


def good(name: str) -> dict[str, object]:
    """Arguments that a function takes, made afresh: those that it must be given, and those that GOOD has for it."""
    arguments = {}
    for parameter, its in parameters(name).items():
        own = f"{name}.{parameter}"
        is_one = its.kind not in (its.VAR_POSITIONAL, its.VAR_KEYWORD)
        if own in GOOD or (its.default is its.empty and is_one):
            value = GOOD.get(own, GOOD.get(parameter))
            arguments[parameter] = value() if inspect.isfunction(value) else value
    return arguments


GOOD = lookup(
    [  # a function makes a value afresh
        (lambda: Mock(wraps=gaussian_score(0.0, 1.0)), "score exact", ""),
        (lambda: Mock(wraps=lambda x, generator: [State(torch.zeros(3, 2), 1, 0.0)]), "sampler", ""),
        (lambda: Mock(wraps=lambda x, sigma: -0.5 * x.square().sum(dim=1)), "log_prob", ""),
        (lambda: seeded(0), "generator", ""),
        (BATCH, "candidates estimated image images logits x", ""),
        (MEANS, "means", ""),
        (DIGITS[0], "noisy clean", ""),
        (FEATURES, "samples reference", ""),
        (BATCH > 0, "mask", ""),
        (torch.ones(3), "values", ""),
        (lambda: [State(BATCH, 1, 0.5)], "states", ""),
        (IMAGE_MLP, "network", ""),
        (lambda: Path(files().name) / "network.safetensors", "path", ""),
        (lambda: Path(files().name) / "saved.safetensors", "path", "save_weights save_network"),
        ((2.0, 1.0), "sigmas", ""),
        (0.1, "step_size", ""),
        (0.5, "sigma", ""),
        (1.0, "sigma_min variance", ""),
        (2.0, "sigma_max", ""),
        (0, "seed", ""),
        (2, "n_steps count", ""),
        (3, "n n_levels", ""),
        ((4, 4), "shape", ""),
        ("digits", "name", ""),
        ("test", "split", ""),
        # functions that need others, or some that have defaults
        ([0.5, 0.5], "weights", "GaussianMixture"),
        ([[0.0, 1.0], [1.0, 0.0]], "means", "GaussianMixture"),
        ([1.0, 2.0], "stds", "GaussianMixture"),
        (4, "width", "ImageMLP DigitNetwork"),
        (1, "n_blocks", "ImageMLP DigitNetwork"),
        ((1, 4, 4), "image_shape", "ImageMLP DigitNetwork"),
        (8, "channels", "RefineNet ResNet"),
        (1, "image_channels", "RefineNet ResNet"),
        (IMAGES, "x", "ImageMLP.forward DigitNetwork.forward RefineNet.forward ResNet.forward"),
        (OF_DIGITS, "network", "guided"),
        (1, "label", "guided DigitNetwork.forward"),
        (2.0, "w", ""),
        (IMAGES, "images", "fitted_start"),
        (1.0, "sigma", "RefineNet.forward"),
        (REFINENET, "network", "rescaled"),
        ((3, 2), "shape", "generate"),
        (lambda: sbgm.MLP(2, 4, 1), "score", "fit_score"),
        (BATCH, "data", "fit_score"),
        (lambda: Mock(wraps=lambda score, x: score(x).square().mean()), "loss", "fit_score"),
        (torch.arange(3.0), "x", "moments"),
        ("test", "split", "load_images load_labels"),
        (DIGITS, "samples", "judge"),
        (IMAGES, "images", "controls"),
        (torch.ones(10, 2), "logits", "inception_score"),
        (BATCH, "exact", "relative_squared_error"),
        (torch.ones(3, 2_048), "samples reference", "kid"),
        (torch.zeros(2_560, 1).expand(-1, 2_048), "samples", "fid"),
        (measure.FeatureStatistics(torch.zeros(2_048), torch.eye(2_048), 2_560), "reference", "fid"),
    ]
)


# --- bad values ------------------------------------------------------------------------------------------------------

NAN = math.nan
INF = math.inf
NOT_POSITIVE = [None, "0.1", [0.1], torch.ones(2), True, 1j, NAN, INF, -1.0, 0]
OUTSIDE_0_1 = [*NOT_POSITIVE, 1, 2.5]
NEGATIVE_COUNT = [None, "3", True, [3], torch.ones(2), 3.0, NAN, -1]
NO_COUNT = [*NEGATIVE_COUNT, 0]
NO_GENERATOR = [None, 0, torch.ones(1), numpy.random.default_rng(0)]
NO_CALLABLE = [None, 3, torch.ones(3, 2)]
NO_CHOICE = [None, "", "nonsense", 3, ["mean"]]


def holes(*shape: int) -> list[Tensor]:
    """Ones, but for the second, which is NaN or infinite."""
    n = math.prod(shape)
    return [torch.tensor([1.0, hole, *[1.0] * (n - 2)]).reshape(shape) for hole in (NAN, INF)]


NO_TENSOR = [None, 1.0, [[1.0, 2.0]], numpy.ones((3, 2))]
WHOLE = [torch.ones(3, 2, dtype=torch.int64), torch.ones(3, 2, dtype=torch.bool)]
NO_BATCH = [*NO_TENSOR, *WHOLE, torch.ones(3, 2) * 1j, torch.ones(3), torch.ones(0, 2), *holes(3, 2)]
NO_PLANE = [torch.ones(3, 2, 1), torch.ones(3, 3)]
NO_ROWS = [None, torch.ones(3), torch.ones(3, 2, 1)]
NO_NETWORK_IMAGES = [*WHOLE, IMAGES[0], IMAGES[:, 0], IMAGES[..., :3], IMAGES.expand(-1, 2, -1, -1)]
NO_SIGMA = [None, "0.5", [0.5] * 3, NAN, INF, -0.1, torch.ones(4), torch.ones(3, 1), -torch.ones(3), *holes(3)]
NO_LADDER = [None, 1.0, "ladder", [], torch.tensor(1.0), [1.0, None], ["2", "1"], [1.0, 2.0], torch.tensor([2.0, 2.0])]
NO_LADDER += [[3.0, 1.0, 1.5], [2.0, NAN], [INF, 1.0], [1.0, 0.0], [1.0, -1.0]]
NO_MASK = [None, True, torch.ones(3, 2), torch.ones(3, 3, dtype=torch.bool), [[True, False]]]
NO_WEIGHTS = [None, "ab", 1.0, [1.0], [0.5, 0.4], [1.5, -0.5], [0.0, 1.0], [NAN, 1.0], [[0.5], [0.5]], [0.5 + 1j, 0.5]]
NO_MEANS = [None, "ab", 1.0, [1.0, 2.0], [[1.0], [1.0, 2.0]], torch.ones(2, 0), [[NAN], [1.0]], [[1j], [1.0]]]
NO_LABEL = [0.5, -1, 3, True, torch.ones(3), torch.tensor([0, 3, 0]), torch.zeros(2, dtype=torch.int64)]
SAMPLES_OF = "GaussianBaseline fitted_start level_losses"
POINTS_OF = "mode_weights distance_to_modes component_stds"
BAD: dict[str, list[object]] = lookup(
    [  # first one parameter of each kind of annotation
        (NO_COUNT, "n_steps", "langevin"),
        (NOT_POSITIVE, "step_size", "langevin"),
        (NO_BATCH, "x", "langevin"),
        (NO_GENERATOR, "generator", "langevin"),
        ([None, 3, lambda x, sigma: x], "score", "fit_score"),
        ([None, [1.0], torch.zeros(3)], "data", "fit_score"),
        ([*NO_CALLABLE, lambda x: x], "score", "langevin"),
        (NO_LADDER, "sigmas", "ncsn_loss"),
        ([[1.0], (2.0,)], "sigmas", "ancestral"),
        ([-1.0, NAN], "variance", "largest_stable_step"),
        ([None, 4], "shape", "uniform_start"),
        (NEGATIVE_COUNT, "seed", "derived_generator"),
        ([*NO_TENSOR, torch.ones(0), torch.ones(1), torch.ones(3) * 1j, *holes(3)], "values", "estimate"),
        (OUTSIDE_0_1, "fraction", "random_mask"),
        (NO_CHOICE, "split", "load_images"),
        ([1], "n_levels", "geometric_sigmas"),
        ([1], "channels", "RefineNet"),
        ([[0.0], torch.ones(2), torch.ones(2, 2, 1)], "means", "mode_weights"),
        (NO_ROWS, "logits", "inception_score"),
        ([*NO_ROWS, FEATURES[:3], torch.ones(9, 2), *holes(9, 3)], "samples reference", "frechet_distance"),
        ([*NO_ROWS, torch.ones(2, 2_048)], "samples reference", "kid"),
        ([torch.ones(3, 2_048)], "samples reference", "fid"),
        ([*NO_ROWS, FEATURES[:2], torch.ones(9, 2), *holes(9, 3)], "samples reference", "kernel_distance"),
        ([None, 0.5, *WHOLE, torch.ones(3, 3), torch.ones(4, 3, 2), *holes(3, 2)], "image", "inpaint"),
        ([None, "False", NAN, 0], "denoise_last", "ancestral"),
        (NO_MASK, "mask", "inpaint"),
        # then what a function itself refuses, such as two arguments that don't fit
        (NO_WEIGHTS, "weights", "GaussianMixture"),
        (NO_MEANS, "means", "GaussianMixture"),
        ([None, "1", -1.0, NAN, INF, [1.0, -1.0], [1.0], [[1.0, 1.0]]], "stds", "GaussianMixture"),
        (NO_PLANE, "x", f"GaussianMixture.score GaussianMixture.log_prob {POINTS_OF}"),
        (NO_SIGMA, "sigma", "perturb"),
        (
            [torch.ones(4), -torch.ones(3), torch.full((3,), NAN)],
            "sigma",
            "denoise langevin metropolis_langevin GaussianMixture.score GaussianMixture.log_prob "
            "score_matching_loss sliced_score_matching_loss",
        ),
        (
            [torch.ones(4), -torch.ones(3), 0.0, torch.zeros(3)],
            "sigma",
            "denoising_score_matching_loss ConditionalMLP.forward ImageMLP.forward DigitNetwork.forward",
        ),
        ([torch.ones(4), 0.0, 1.5, torch.tensor([2.0, 1.0, 0.5])], "sigma", "RefineNet.forward"),
        ([2.0, 3.0], "sigma_min", "geometric_sigmas"),
        ([None, 3, [], [1.0], [BATCH], BATCH, "states"], "states", "final"),
        ([4.0, 5.0], "step_size", "langevin_variance"),
        ([torch.ones(1, 2)], "images", SAMPLES_OF),
        ([torch.ones(1), torch.ones(3, 2), torch.ones(1, 3)], "x", "moments"),
        ([(4,), (4, 1), (1, 4, 1)], "shape", "right_half centre_box random_mask"),
        ([*WHOLE, torch.ones(3, 3), torch.ones(2, 1)], "x", "MLP.forward ConditionalMLP.forward"),
        (NO_NETWORK_IMAGES, "x", "ImageMLP.forward DigitNetwork.forward RefineNet.forward ResNet.forward"),
        ([(4, 4), (1, 1, 4, 4)], "image_shape", "ImageMLP"),
        ([(4, 4), (1, 1, 4, 4), (1, 4, 6)], "image_shape", "DigitNetwork"),
        ([6], "width", "DigitNetwork"),
        ([NAN, INF], "mean", "DigitNetwork"),
        ([0], "label", "RefineNet.forward"),
        (NO_CHOICE, "name", "load_images load_labels"),
        (NO_LABEL, "label", "DigitNetwork.forward"),
        (NO_CALLABLE, "network", "guided"),
        ([3, "network", CONDITIONAL], "like", "save_network"),
        ([4, 12], "channels", "ResNet"),
        ([1.0, 2.0, NAN], "low", "in_range"),
        ([0.0, -1.0, NAN], "high", "in_range"),
        ([CONDITIONAL], "network", "rescaled"),
        ([torch.nn.Linear(2, 2)], "network", "save_network load_weights"),
        ([torch.ones(2, 2), torch.ones(4, 1)], "given", "generate"),
        ([None, 3, (), (0, 2)], "shape", "generate"),
        ([torch.ones(2, 3)], "means", "mode_weights distance_to_modes component_stds"),
        ([4], "k", "nearest_neighbours"),
        (NO_PLANE, "candidates", "nearest_neighbours"),
        ([IMAGES[0], torch.ones(3, 1, 4, 5), torch.ones(3, 1, 6, 4)], "images", "controls"),
        ([4], "n", "controls"),
        ([4], "count", "share"),
        ([*WHOLE, torch.ones(3)], "estimated exact", "relative_squared_error"),
        ([*WHOLE, torch.ones(1, 8, 7)], "noisy clean", "psnr"),
        ([torch.ones(3, 1, 8, 8, 1), torch.ones(3, 1, 8, 9)], "samples", "judge"),
    ]
)
