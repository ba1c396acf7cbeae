"""Arguments of every public function: one that is taken, and the values that each parameter must refuse.

A value is good or bad by its parameter's name, which means the same thing throughout the package, unless the function
has values of its own. Tables hold (values, names of parameters, names of functions if it is not all); the last wins.
"""

import functools
import inspect
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import torch
from torch import Tensor

import sbgm
from properties.coverage import public
from properties.strategies import gaussian_score, normal, seeded
from sbgm import NamedSampler, generation, measure
from sbgm.measure.judging import feature_space
from sbgm.samplers import State, signal_to_noise


class Spy:
    """A callable that counts its calls."""

    def __init__(self, function: Callable) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments: object) -> object:
        """What the function gives."""
        self.calls += 1
        return self.function(*arguments)


# --- functions -------------------------------------------------------------------------------------------------------

BATCH, MEANS, FEATURES = torch.ones(3, 2), torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), normal(0, 9, 3)
IMAGES, DIGITS = torch.rand(3, 1, 4, 4, generator=seeded(0)), torch.rand(3, 1, 8, 8, generator=seeded(0))
MIXTURE, CONDITIONAL, ENERGY = sbgm.paper_mixture(), sbgm.ConditionalMLP(2, 4, 1), sbgm.EnergyMLP(2, 4, 1)
IMAGE_MLP, REFINENET = sbgm.ImageMLP([2.0, 1.0], (1, 4, 4), 4, 1), sbgm.RefineNet([2.0, 1.0], 2, 1)
SPECIAL = {  # methods, what functions return, what is public without being exported, and a name that two modules have
    "GaussianMixture.sample": MIXTURE.sample,
    "GaussianMixture.score": MIXTURE.score,
    "GaussianMixture.log_prob": MIXTURE.log_prob,
    "GaussianBaseline.sample": measure.GaussianBaseline(BATCH).sample,
    "SwitchCounter.update": measure.SwitchCounter(MEANS).update,
    "NamedSampler.states": NamedSampler("ancestral", (2.0, 1.0)).states,
    "EnergyMLP.energy": ENERGY.energy,
    "EnergyMLP.log_prob": ENERGY.log_prob,
    **{
        f"{type(network).__name__}.forward": network.forward
        for network in (sbgm.MLP(2, 4, 1), CONDITIONAL, ENERGY, IMAGE_MLP, REFINENET, sbgm.ResNet(8, 1))
    },
    "gaussian_start()": generation.gaussian_start(2.0, IMAGES[0]),
    "fitted_start()": generation.fitted_start(IMAGES, 2.0),
    "signal_to_noise": signal_to_noise,
    "in_batches": measure.in_batches,
}
FUNCTIONS = {f.__qualname__: f for f in public().values() if f not in SPECIAL.values()} | SPECIAL


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """What a function takes."""
    return dict(inspect.signature(FUNCTIONS[name]).parameters)


def call(name: str, arguments: dict[str, object]) -> object:
    """Call a function with arguments by name."""
    if name == "derived_generator":  # whose keys can't be given by name
        return sbgm.derived_generator(arguments["seed"], 0, arguments["keys"])
    return FUNCTIONS[name](**arguments)


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
    """A folder with a file of weights and one of images, until the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="sbgm-arguments-")
    sbgm.save_network(IMAGE_MLP, Path(folder.name) / "network.safetensors")
    sbgm.files.save_tensors(Path(folder.name) / "images.safetensors", {"samples": IMAGES})
    return folder


def good(name: str) -> dict[str, object]:
    """Arguments that a function takes, made afresh: those that it must be given, and those that GOOD has for it."""
    arguments = {}
    for parameter, its in parameters(name).items():
        own = f"{name}.{parameter}"
        if own in GOOD or (its.default is its.empty and its.kind is not its.VAR_KEYWORD):
            value = GOOD.get(own, GOOD.get(parameter))
            arguments[parameter] = value() if inspect.isfunction(value) else value
    return arguments


GOOD = lookup(
    [  # a function makes a value afresh
        (lambda: Spy(gaussian_score(0.0, 1.0)), "score exact", ""),
        (lambda: Spy(lambda x, generator: [State(torch.zeros(3, 2), 1, 0.0)]), "sampler", ""),
        (lambda: Spy(lambda indices, generator: {"x": torch.zeros(len(indices))}), "draw", ""),
        (lambda: Spy(lambda x, sigma: -0.5 * x.square().sum(dim=1)), "log_prob", ""),
        (lambda: Spy(torch.square), "function", ""),
        (lambda: seeded(0), "generator", ""),
        (BATCH, "candidates estimated image images logits scores x", ""),
        (MEANS, "means", ""),
        (DIGITS[0], "noisy clean", ""),
        (FEATURES, "samples reference features", ""),
        (BATCH > 0, "mask", ""),
        (torch.ones(3), "values", ""),
        (lambda: [State(BATCH, 1, 0.5)], "states", ""),
        (IMAGE_MLP, "network", ""),
        (lambda: Path(files().name) / "network.safetensors", "path", ""),
        (lambda: Path(files().name) / "saved.safetensors", "path", "save_weights save_network"),
        (lambda: Path(files().name) / "images.safetensors", "path", "load_images_of"),
        ((2.0, 1.0), "sigmas", ""),
        (0.1, "step_size alpha h", ""),
        (0.5, "sigma", ""),
        (1.0, "sigma_min start variance", ""),
        (1.5, "ratio", ""),
        (2.0, "sigma_max", ""),
        (0.8, "weight", ""),
        (5.0, "mean", ""),
        (0, "seed keys", ""),
        (2, "n_steps n_leapfrog count", ""),
        (3, "n n_levels", ""),
        (9, "dimensions", ""),
        ((4, 4), "shape", ""),
        ("right-half", "kind", ""),
        ("digits", "name", ""),
        ("test", "split", ""),
        ("none", "key", ""),
        ("bf16", "precision", ""),
        # functions that need others, or some that have defaults
        ([0.5, 0.5], "weights", "GaussianMixture"),
        ([[0.0, 1.0], [1.0, 0.0]], "means", "GaussianMixture"),
        ([1.0, 2.0], "stds", "GaussianMixture"),
        (2, "dim", "MLP ConditionalMLP EnergyMLP"),
        (4, "width", "MLP ConditionalMLP EnergyMLP ImageMLP"),
        (1, "depth", "MLP ConditionalMLP EnergyMLP"),
        (1, "n_blocks", "ImageMLP"),
        ((1, 4, 4), "image_shape", "ImageMLP"),
        (8, "channels", "RefineNet ResNet"),
        (1, "image_channels", "RefineNet ResNet"),
        (IMAGES, "x", "ImageMLP.forward RefineNet.forward ResNet.forward dequantise random_flip"),
        (IMAGES, "images", "fitted_start"),
        (1.0, "sigma", "RefineNet.forward"),
        (REFINENET, "network", "rescaled"),
        ((2, 1, 4, 4), "shape", "gaussian_start() fitted_start()"),
        ((2,), "shape", "generate"),
        (1.5, "step_size", "consistent_annealed"),
        ("annealed", "name", "NamedSampler"),
        (0.1, "step_size", "NamedSampler"),
        (2, "n_steps", "NamedSampler"),
        (torch.eye(3), "x", "largest_distance"),
        (torch.arange(3.0), "x", "moments"),
        (0.6, "target", "level_ratio count_levels"),
        (0.1, "sigma_min", "count_levels"),
        ("test", "split", "load_images load_labels reference_for"),
        (lambda: feature_space("digits"), "space", "reference_for"),
        (3, "n", "reference_for reference_features some_images"),
        (DIGITS, "samples", "judge"),
        (2, "n_splits", "inception_score"),
        (IMAGES, "images", "controls"),
        (torch.ones(10, 2), "logits", "class_test"),
        (torch.tensor([0, 1]), "labels", ""),
        (measure.Estimate(2.0, 0.1), "numerator denominator", ""),
        (9 * torch.eye(2), "points", "region_errors"),
        (torch.tensor([[9.0, 0.0]]), "means", "region_errors"),
        (BATCH, "exact", "relative_squared_error"),
        ("mnist_ncsn", "name", "weights_file"),
        (torch.ones(3, 2_048), "samples reference", "kid"),
        (torch.zeros(2_560, 1).expand(-1, 2_048), "samples", "fid"),
        (measure.FeatureStatistics(torch.zeros(2_048), torch.eye(2_048), 2_560), "reference", "fid"),
    ]
)


# --- bad values ------------------------------------------------------------------------------------------------------

NAN, INF = math.nan, math.inf
NO_NUMBER = ["0.1", b"1", [0.1], torch.ones(2), True, 1j, len, 10**400]
NEGATIVE = [*NO_NUMBER, None, NAN, INF, -INF, -1.0, -1e-6]
NOT_POSITIVE = [*NEGATIVE, 0, 0.0]
BELOW_1 = [*NOT_POSITIVE, 0.9, 0.999]
OUTSIDE_0_1 = [*NOT_POSITIVE, 1, 1.0, 2.5]
NEGATIVE_COUNT = [2.5, "3", NAN, True, [3], torch.ones(2), 3.0, 0.5, None, -1, -7]
NO_COUNT = [*NEGATIVE_COUNT, 0]
NO_GENERATOR = [None, 0, "cpu", torch.ones(1), numpy.random.default_rng(0)]
NO_CALLABLE = [None, 3, "score", torch.ones(3, 2)]
NO_CHOICE = [None, "", "nonsense", 3, ["mean"]]
NO_SHAPE = [None, 4, (), "ab", (0, 4), (4, -4), (4.0, 4.0), (4, None)]
NO_NETWORK = [None, 3, "network", torch.ones(2)]
NO_PATH = [None, 3, b"a", ["a"]]
NO_DTYPE = ["float16", 16, torch.int8, torch.bool]


def holes(*shape: int) -> list[Tensor]:
    """Ones, but for the second, which is NaN or infinite."""
    n = math.prod(shape)
    return [torch.tensor([1.0, hole, *[1.0] * (n - 2)]).reshape(shape) for hole in (NAN, INF, -INF)]


NO_TENSOR = [None, 1.0, "x", [[1.0, 2.0]], numpy.ones((3, 2)), torch.ones(3, 2, dtype=torch.complex64)]
NO_FLOATS = [*NO_TENSOR, torch.ones(3, 2, dtype=torch.int64), torch.ones(3, 2, dtype=torch.bool)]
NO_BATCH = [*NO_FLOATS, torch.ones(3), torch.ones(()), torch.ones(0, 2), torch.ones(3, 0), *holes(3, 2)]
NO_PLANE = [*NO_BATCH, torch.ones(3, 2, 1), torch.ones(3, 3)]
NO_SET_OF_TWO = [*NO_BATCH, torch.ones(1, 2)]
NO_ROWS = [*NO_BATCH, torch.ones(3, 2, 1)]
NO_FEATURES = [*NO_ROWS, torch.ones(9, 2), *holes(9, 3)]
NO_IMAGES = [*NO_BATCH, *holes(3, 1, 4, 4), IMAGES[0], IMAGES + 1, IMAGES - 1]
NO_IMAGE = [*NO_FLOATS, torch.ones(1, 8, 7), torch.ones(0, 8, 8), *holes(1, 8, 8)]
NO_NETWORK_IMAGES = [*NO_FLOATS, IMAGES[0], IMAGES[:, 0], IMAGES[..., :3], IMAGES.expand(-1, 2, -1, -1)]
NO_VALUES = [*NO_TENSOR, torch.ones(0), torch.ones(1), *holes(3)]
NO_SIGMAS_OF_3 = [torch.ones(4), torch.ones(3, 1), -torch.ones(3), torch.full((3,), NAN), torch.full((3,), INF)]
NO_SIGMA = [None, "0.5", [0.5] * 3, NAN, INF, -0.1, -1.0, *NO_SIGMAS_OF_3]
NO_POSITIVE_SIGMA = [*NO_SIGMA, 0, 0.0, torch.zeros(3), torch.arange(3)]
NOT_DESCENDING = [[1.0, 2.0], [2.0, 2.0], [3.0, 1.0, 1.5], torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0, 1.0])]
NO_LADDER = [None, 1.0, "ladder", [], torch.tensor(1.0), [1.0, None], ["2", "1"], *NOT_DESCENDING]
NO_LADDER += [[2.0, NAN], [INF, 1.0], [1.0, 0.0], [1.0, -1.0]]
NO_LADDER_OF_TWO = [*NO_LADDER, [1.0], (2.0,)]
NO_LEVELS = ["0", [0, 0, 0], torch.zeros(3), torch.zeros(2, dtype=torch.int64), torch.tensor([0, 2, 0])]
NO_LEVELS += [torch.tensor([0, -1, 0]), torch.tensor([True, False, True]), torch.zeros(3, dtype=torch.complex64)]
NO_MASK = [None, "mask", True, torch.ones(3, 2), torch.ones(3, 3, dtype=torch.bool), [[True, False]]]
NO_KNOWN = [None, "image", 0.5, torch.ones(3, 3), torch.ones(3, 2, dtype=torch.int64), torch.ones(4, 3, 2)]
NO_WEIGHTS = [None, "ab", 1.0, [1.0], [0.5, 0.4], [1.5, -0.5], [0.0, 1.0], [NAN, 1.0], [[0.5], [0.5]]]
NO_MEANS = [None, "ab", 1.0, [1.0, 2.0], [[1.0], [1.0, 2.0]], torch.ones(2, 0), [[NAN], [1.0]]]
NETWORK_CALLS = "MLP.forward ConditionalMLP.forward EnergyMLP.forward EnergyMLP.energy EnergyMLP.log_prob"
IMAGE_CALLS = "ImageMLP.forward RefineNet.forward ResNet.forward"
TWO_LEVELS = "ancestral consistent_annealed consistent_step_bounds predictor_corrector probability_flow"
HOLDERS = "ChiSquared Estimate FeatureSpace FeatureStatistics LevelValues Measured Moments Neighbours PRDC Reference"
HOLDERS += " RegionErrors SamplerDivergedError Share State"
BAD: dict[str, list[object]] = lookup(
    [
        (NO_COUNT, "accumulation batch_size block block_size channels depth dim dimensions image_channels k", ""),
        (NO_COUNT, "log_every measure_every n n_blocks n_leapfrog n_noise n_points n_projections n_reference", ""),
        (NO_COUNT, "n_splits n_steps save_every width", ""),
        (NEGATIVE_COUNT, "count keep_every keys seed threads", ""),
        (NOT_POSITIVE, "alpha data_std extent far h learning_rate mean near power radius sigma_max sigma_min std", ""),
        (NOT_POSITIVE, "step_size", ""),
        (OUTSIDE_0_1, "confidence fraction target weight", ""),
        (BELOW_1, "noise_kurtosis ratio", ""),
        (NO_CHOICE, "autodiff kind method name norm precision projection reduction split", ""),
        (NO_CALLABLE, "draw exact function log_prob on_state sampler score start weighting", ""),
        (NO_GENERATOR, "generator", ""),
        (NO_SHAPE, "shape", ""),
        (NO_DTYPE, "dtype", ""),
        (NO_PATH, "folder path", ""),
        (NO_PATH, "name", "weights_file"),
        (NO_BATCH, "candidates images logits scores x", ""),
        (NO_SIGMA, "sigma", ""),
        (NO_LADDER, "sigmas", ""),
        # mixtures and noise
        (NO_WEIGHTS, "weights", ""),
        (NO_MEANS, "means", "GaussianMixture"),
        ([None, "1", -1.0, NAN, INF, [1.0, -1.0], [1.0], [[1.0, 1.0]]], "stds", "GaussianMixture"),
        ([None, "1", -1.0, NAN, [1.0]], "stds", "paper_mixture"),
        (NO_PLANE, "x", "GaussianMixture.score GaussianMixture.log_prob"),
        ([*NEGATIVE, torch.ones(3)], "sigma", "GaussianMixture.sample"),
        ([*NOT_POSITIVE, 2.0, 3.0], "sigma_min", "geometric_sigmas power_sigmas count_levels"),
        ([*NO_COUNT, 1], "n_levels", ""),
        ([*NO_COUNT, 1], "channels", "RefineNet"),
        ([*NO_FLOATS, [1.0]], "x", "randn_like"),
        # losses and samplers
        (NO_POSITIVE_SIGMA, "sigma", "denoising_score_matching_loss"),
        (NO_LEVELS, "levels", ""),
        (NO_LADDER_OF_TWO, "sigmas", TWO_LEVELS),
        ([*NO_KNOWN, *holes(3, 2)], "image", ""),
        (NO_MASK, "mask", ""),
        ([*NOT_POSITIVE, 0.9, 3.1], "step_size", "consistent_annealed"),
        ([None, 3, 0.5, [], [1.0], [BATCH], BATCH, "states"], "states", ""),
        # closed forms, techniques, masks, and settings
        ([*NOT_POSITIVE, 4.0, 5.0], "step_size", "langevin_variance langevin_kurtosis variance_ratio"),
        (NEGATIVE, "variance", ""),
        (NOT_POSITIVE, "variance", "langevin_variance"),
        (NEGATIVE, "start", "annealed_variance noise_ratio consistent_variance flow_variance"),
        (NEGATIVE, "sigma", "flow_variance region_errors"),
        (NO_SET_OF_TWO, "x", "largest_distance"),
        ([*NO_COUNT, 1, 2], "dimensions", "level_ratio count_levels"),
        ([*OUTSIDE_0_1, 0.998], "target", "level_ratio count_levels"),
        ([*BELOW_1, 1, 1.0], "ratio", "best_step_size"),
        ([*NO_SHAPE, (4,), (4, 1), (1, 4, 1)], "shape", "right_half centre_box random_mask make_mask"),
        ([*NEGATIVE, 1.0, 2.0], "ema_decay", ""),
        # networks
        ([*NO_FLOATS, torch.ones(3, 3), torch.ones(2, 1)], "x", NETWORK_CALLS),
        (NO_NETWORK_IMAGES, "x", IMAGE_CALLS),
        (NO_POSITIVE_SIGMA, "sigma", NETWORK_CALLS + " ImageMLP.forward"),
        ([*NO_POSITIVE_SIGMA, 1.5, torch.tensor([2.0, 1.0, 0.5])], "sigma", "RefineNet.forward"),
        ([*NO_SHAPE, (4, 4), (1, 1, 4, 4)], "image_shape", ""),
        ([*NO_COUNT, 4, 12], "channels", "ResNet"),
        ([None, "0", 1.0, 2.0, NAN], "low", ""),
        ([None, "1", 0.0, -1.0, NAN], "high", ""),
        (NO_NETWORK, "network", ""),
        ([*NO_NETWORK, CONDITIONAL], "network", "rescaled"),
        ([*NO_NETWORK, torch.nn.Linear(2, 2)], "network", "save_network load_weights"),
        # starts and data
        ([torch.ones(2, 2), torch.ones(4, 1)], "given", ""),
        ([*NO_SHAPE, (2, 1, 4, 5), (2, 4)], "shape", "gaussian_start() fitted_start()"),
        (NOT_POSITIVE, "sigma", "gaussian_start fitted_start"),
        ([None, "0.5", NAN, INF, *holes(2)], "mean", "gaussian_start"),
        ([*NO_SET_OF_TWO, *holes(3, 1, 4, 4)], "images", "fitted_start"),
        (NO_IMAGES, "x", "dequantise random_flip"),
        # metrics, and judging samples
        (NO_SET_OF_TWO, "images", "GaussianBaseline level_losses score_norms optimality_identity"),
        (NO_VALUES, "values", ""),
        ([*NO_VALUES, torch.ones(3, 2), torch.ones(1, 3)], "x", "moments"),
        (NO_PLANE, "x", "mode_weights distance_to_modes component_stds SwitchCounter.update"),
        ([*NO_PLANE, [0.0]], "points", ""),
        ([*NO_BATCH, [0.0, 1.0], torch.ones(2), torch.ones(2, 2, 1), torch.ones(2, 3)], "means", ""),
        ([*NO_BATCH, torch.ones(2, 2, 1)], "means", "SwitchCounter"),
        ([*NOT_POSITIVE, 2.1], "radius", ""),
        ([*NO_ROWS, FEATURES[:3]], "features", "feature_statistics"),
        ([*NO_FEATURES, FEATURES[:3]], "samples reference", "frechet_distance"),
        ([*NO_FEATURES, FEATURES[:2]], "samples reference", "kernel_distance"),
        ([*NO_ROWS, torch.ones(2, 2_048)], "samples reference", "kid"),
        ([*NO_ROWS, torch.ones(3, 2_048)], "samples reference", "fid"),
        (NO_ROWS, "logits", ""),
        ([*NO_ROWS, torch.ones(9, 2)], "logits", "class_test"),
        ([None, [0, 1], torch.ones(2), torch.tensor([[0], [1]]), torch.tensor([0, 0]), torch.arange(3)], "labels", ""),
        ([*NO_FEATURES, FEATURES[:5]], "samples reference", "prdc"),
        ([*NO_COUNT, 9], "k", "prdc"),
        ([*NO_BATCH, IMAGES[0], torch.ones(3, 1, 4, 5), torch.ones(3, 1, 6, 4)], "images", "controls"),
        ([*NO_COUNT, 4], "n", "controls"),
        (NO_CHOICE, "classifier", ""),
        ([None, 2.0, "ab"], "numerator denominator", ""),
        ([*NEGATIVE_COUNT, 4], "count", ""),
        ([*NOT_POSITIVE, 1.1, 90], "threshold", ""),
        ([*NO_FLOATS, torch.ones(3), torch.ones(0, 2), *holes(3, 2)], "estimated exact", "relative_squared_error"),
        (NO_PLANE, "candidates", ""),
        ([*NO_COUNT, 4], "k", ""),
        (NO_IMAGE, "noisy clean", ""),
        ([*NO_COUNT, 361], "n", "some_images reference_features reference_for"),
        ([None, "pixels", torch.square], "space", ""),
        ([*NO_BATCH, torch.ones(3, 1, 8, 8, 1), torch.ones(3, 1, 8, 9), *holes(3, 1, 8, 8)], "samples", "judge"),
    ]
)
FREE: dict[str, str] = lookup(
    [  # of what takes anything, the reason why; of a function's name, all its parameters
        ("holds a result, as the functions that make it fill it in", HOLDERS, ""),
        ("a flag: anything is true or false", "compile conditional denoise_last divide_by_sigma", ""),
        ("a flag: anything is true or false", "variance_reduced", ""),
        ("for the result's text", "name features", "frechet_distance kernel_distance"),
        ("for the result's text", "against", ""),
        ("torch names the devices that it knows", "device device_type accelerator noise_device", ""),
        ("goes unused: the network knows no noise level", "sigma", "MLP.forward ResNet.forward"),
        ("anything that JSON can hold", "facts", ""),
        ("for colour images, tests/measure/test_evaluation.py", "inception", ""),
        ("any text", "key", ""),
        ("a record's name: a missing file is named", "load_record load_curve load_step_map", ""),
    ]
)


def refused(name: str) -> Iterator[str]:
    """The parameters of a function that must refuse something."""
    for parameter in () if name in FREE else parameters(name):
        own = f"{name}.{parameter}"
        if own not in FREE and (own in BAD or parameter not in FREE):
            yield parameter


def bad(name: str, parameter: str) -> list[object]:
    """What a function's parameter must refuse; None is good where it is the default."""
    values = BAD.get(f"{name}.{parameter}", BAD.get(parameter, []))
    if parameters(name)[parameter].default is None and name != "NamedSampler":  # some of which need a step size
        return [value for value in values if value is not None]
    return values
