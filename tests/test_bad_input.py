"""Bad input that was once taken, or refused without a word of which argument it was; the rest is in properties/."""

import math

import pytest
import torch

import sbgm
from sbgm import closed_forms, masks, metrics, techniques
from sbgm.evaluation import judge, reference_for
from sbgm.generation import fitted_start, gaussian_start, generate, in_batches, uniform_start
from sbgm.networks import in_range, rescaled
from sbgm.noise import derived_generator, randn_like
from sbgm.samplers import NamedSampler, final
from sbgm.samplers.annealed import signal_to_noise
from sbgm.training import TrainingSettings, n_parameters
from sbgm.weights import load_weights, save_network, save_weights
from seeds import seeded

X, IMAGE = torch.ones(3, 2), torch.ones(1, 1, 4, 4)
ONE_DIMENSION = torch.tensor([[-1.0], [1.0]])
CHAINS = {"step_size": 0.1, "n_steps": 3, "variance": 1.0, "start": 1.0}


def score(x, sigma):
    return -x


def never(*arguments):
    raise AssertionError("called before the arguments were checked")


def annealed(**others):
    return closed_forms.annealed_variance([2.0, 1.0], **{**CHAINS, **others})


def ladder_loss(**options):
    return sbgm.ncsn_loss(never, X, [2.0, 1.0], generator=seeded(), **options)


def samples(**options):
    return generate(never, **{"n": 2, "shape": (2,), "seed": 0, **options})


FORMULAS = {
    "text": (lambda: closed_forms.langevin_variance("0.1"), TypeError, "step_size must be a number, got '0.1'"),
    "bool": (lambda: techniques.step_size_of(True), TypeError, "h must be a number, got True"),
    "too long": (lambda: techniques.step_size_of(10**400), TypeError, "h must be a number"),
    "kurtosis": (lambda: closed_forms.langevin_kurtosis(1.0, "9"), TypeError, "noise_kurtosis must be a number"),
    "infinite": (lambda: closed_forms.largest_stable_step([1.0], math.inf), ValueError, "variance must be finite"),
    "ε": (lambda: annealed(step_size=-0.1), ValueError, "step_size must be finite and positive"),
    "T": (lambda: annealed(n_steps=2.5), TypeError, "n_steps must be a whole number"),
    "v": (lambda: annealed(variance=-1.0), ValueError, "variance must not be negative, got -1"),
    "start": (lambda: annealed(start=math.nan), ValueError, "start must be finite"),
    "noise ratio": (
        lambda: closed_forms.noise_ratio([1.0], step_size=0.1, n_steps=0),
        ValueError,
        "n_steps must be at least 1",
    ),
    "consistent": (
        lambda: closed_forms.consistent_variance([2.0, 1.0], step_size=0.0, variance=1.0, start=1.0),
        ValueError,
        "step_size must be finite and positive",
    ),
    "ancestral": (
        lambda: closed_forms.ancestral_variance([2.0, 1.0], variance=1.0, start=-1.0),
        ValueError,
        "start must not be negative",
    ),
    "flow": (
        lambda: closed_forms.flow_variance(-0.1, sigma_max=1.0, variance=1.0, start=1.0),
        ValueError,
        "sigma must not be negative",
    ),
    "weight": (lambda: closed_forms.basin_weight("0.8"), TypeError, "weight must be a number"),
    "overlap": (lambda: techniques.overlap(math.inf, 9), ValueError, "ratio must be finite"),
    "target": (lambda: techniques.level_ratio(9, "half"), TypeError, "target must be a number"),
    "γ below 1": (lambda: techniques.variance_ratio(0.1, 1.0, 0.9, 5), ValueError, "ratio must be at least 1"),
    "γ infinite": (lambda: techniques.best_step_size(1.0, math.inf, 5), ValueError, "ratio must be finite"),
    "mask's shape": (lambda: masks.right_half(4), TypeError, "shape must be a sequence"),
    "mask's height": (lambda: masks.right_half((4.0, 4)), TypeError, "shape must be a whole number, got 4.0"),
    "fraction": (lambda: masks.centre_box((4, 4), "half"), TypeError, "fraction must be a number"),
    "mask's generator": (lambda: masks.make_mask("centre-box", (4, 4), generator=0), TypeError, "generator must be"),
}
SCORES = {
    "noise of a list": (lambda: randn_like([1.0], seeded()), TypeError, "x must be a torch.Tensor, got list"),
    "noise of integers": (lambda: randn_like(torch.ones(2, dtype=torch.int64), seeded()), TypeError, "x must hold fl"),
    "no seed": (lambda: derived_generator(None), TypeError, "seed must be a whole number, got None"),
    "seed": (lambda: derived_generator(-1), ValueError, "seed must not be negative, got -1"),
    "keys": (lambda: derived_generator(0, 0.5), TypeError, "keys must be a whole number, got 0.5"),
    "weights": (lambda: sbgm.GaussianMixture(None, [[0.0]]), TypeError, "weights must be a tensor or a sequence"),
    "means": (lambda: sbgm.GaussianMixture([1.0], "ab"), TypeError, "means must be a tensor or a sequence"),
    "ragged means": (lambda: sbgm.GaussianMixture([0.5, 0.5], [[1.0], [1.0, 2.0]]), TypeError, "means must be"),
    "stds": (lambda: sbgm.GaussianMixture([1.0], [[0.0]], None), TypeError, "stds must be a tensor or a sequence"),
    "paper's weight": (lambda: sbgm.paper_mixture(weight=1.0), ValueError, r"weight must be in \(0, 1\), got 1"),
    "sample's σ": (
        lambda: sbgm.paper_mixture().sample(3, torch.ones(3), generator=seeded()),
        TypeError,
        "sigma must be a number",
    ),
    "exact": (lambda: sbgm.score_matching_loss(3, X), TypeError, "score must be a callable"),
    "denoising": (
        lambda: sbgm.denoising_score_matching_loss(3, X, 1.0, generator=seeded()),
        TypeError,
        "score must be a callable",
    ),
    "sliced": (
        lambda: sbgm.sliced_score_matching_loss(3, X, generator=seeded()),
        TypeError,
        "score must be a callable",
    ),
    "ladder": (lambda: sbgm.ncsn_loss(3, X, [1.0], generator=seeded()), TypeError, "score must be a callable"),
    "λ": (lambda: ladder_loss(weighting=2.0), TypeError, r"weighting must be a callable weighting\(sigma\)"),
    "λ's shape": (
        lambda: ladder_loss(weighting=lambda sigma: sigma[:, None]),
        ValueError,
        r"weighting must return one weight an example, shape \(3,\), got \(3, 1\)",
    ),
    "levels": (lambda: ladder_loss(levels=torch.tensor([True, False, True])), ValueError, "levels must be"),
    "denoise": (lambda: sbgm.denoise(None, X, 1.0), TypeError, "score must be a callable"),
    "states": (lambda: final(3), TypeError, "states must be the states of a sampler, got int"),
    "no states": (lambda: final(X), TypeError, "states must be the states of a sampler, got a Tensor among them"),
    "named ε": (lambda: NamedSampler("consistent", (2.0, 1.0), step_size=-1.0), ValueError, "step_size must be finite"),
    "named T": (
        lambda: NamedSampler("annealed", (2.0, 1.0), step_size=0.1, n_steps=0),
        ValueError,
        "n_steps must be at least 1",
    ),
    "log_prob": (
        lambda: next(
            sbgm.metropolis_langevin(
                score, X, log_prob=lambda x, sigma: 0.0, step_size=0.1, n_steps=1, generator=seeded()
            )
        ),
        TypeError,
        "log_prob must return a torch.Tensor, got float",
    ),
    "scores": (lambda: signal_to_noise([1.0], 0.1), TypeError, "scores must be a torch.Tensor"),
    "α": (lambda: signal_to_noise(X, 0.0), ValueError, "alpha must be finite and positive"),
    "autocast": (lambda: sbgm.autocast(None, "fp32"), TypeError, "score must be a callable"),
    "low": (lambda: in_range(score, "0"), TypeError, "low must be a number"),
}
NETWORKS = {
    "MLP": (lambda: sbgm.MLP(2)(torch.ones(3, 3)), ValueError, r"x must have shape \(B, 2\), got \(3, 3\)"),
    "ConditionalMLP": (lambda: sbgm.ConditionalMLP(2)(torch.ones(3, 3), 1.0), ValueError, "x must have shape"),
    "EnergyMLP": (lambda: sbgm.EnergyMLP(2)(None, 1.0), TypeError, "x must be a torch.Tensor"),
    "energy": (lambda: sbgm.EnergyMLP(2).energy(torch.ones(3, 1), 1.0), ValueError, "x must have shape"),
    "generator": (lambda: sbgm.MLP(2, generator=0), TypeError, "generator must be a torch.Generator"),
    "image_shape": (lambda: sbgm.ImageMLP([1.0], 8), TypeError, "image_shape must be a sequence"),
    "ImageMLP": (lambda: sbgm.ImageMLP([1.0], (1, 4, 4))([1.0], 1.0), TypeError, "x must be a torch.Tensor"),
    "RefineNet": (lambda: sbgm.RefineNet([1.0], 2, 3)(IMAGE, 1.0), ValueError, "x must have 3 channels, got shape"),
    "ResNet": (lambda: sbgm.ResNet(8, 3)(IMAGE), ValueError, "x must have 3 channels, got shape"),
    "image_channels": (lambda: sbgm.ResNet(8, 0), ValueError, "image_channels must be at least 1"),
    "rescaled": (lambda: rescaled(sbgm.MLP(2)), TypeError, "network must have its ladder in `sigmas`"),
    "saved": (lambda: save_weights(None, "a"), TypeError, "network must be a torch.nn.Module"),
    "dtype": (lambda: save_weights(sbgm.MLP(2), "a", dtype="float16"), TypeError, "dtype must be a floating-point"),
    "saved network": (lambda: save_network(sbgm.MLP(2), "a"), TypeError, "network must have sigmas and arguments"),
    "loaded": (lambda: load_weights(None, "a"), TypeError, "network must be a torch.nn.Module"),
    "counted": (lambda: n_parameters(None), TypeError, "network must be a torch.nn.Module"),
    "learning rate": (lambda: TrainingSettings(learning_rate=0.0), ValueError, "learning_rate must be finite and pos"),
    "average": (lambda: TrainingSettings(ema_decay="0.9"), TypeError, "ema_decay must be a number"),
    "kept": (lambda: TrainingSettings(keep_every=0.5), TypeError, "keep_every must be a whole number"),
    "settings' seed": (lambda: TrainingSettings(seed=-1), ValueError, "seed must not be negative"),
}
GENERATION = {
    "uniform": (lambda: uniform_start((2, 0), seeded()), ValueError, "shape must be at least 1, got 0"),
    "generator": (lambda: uniform_start((2, 2), 0), TypeError, "generator must be a torch.Generator"),
    "gaussian": (lambda: gaussian_start(-1.0), ValueError, "sigma must be finite and positive"),
    "mean": (lambda: gaussian_start(1.0, torch.tensor([math.nan])), ValueError, "mean must be finite"),
    "mean's shape": (lambda: gaussian_start(1.0, X[0])((4, 3), seeded()), ValueError, "shape must be .* of mean"),
    "fitted": (lambda: fitted_start(X, 0.0), ValueError, "sigma must be finite and positive"),
    "images' shape": (lambda: fitted_start(X, 1.0)((4, 3), seeded()), ValueError, "shape must be .* of images"),
    "shape": (lambda: samples(shape=2), TypeError, "shape must be a sequence"),
    "seed": (lambda: samples(seed=None), TypeError, "seed must be a whole number"),
    "on_state": (lambda: samples(on_state=3), TypeError, r"on_state must be a callable on_state\(indices, state\)"),
    "states_of": (lambda: in_batches(None, 1, (2,), seed=0), TypeError, "states_of must be a callable"),
    "space": (lambda: reference_for("digits", "pixels"), TypeError, "space must be the FeatureSpace"),
    "n_reference": (
        lambda: judge(torch.ones(3, 1, 8, 8), "digits", n_reference=0),
        ValueError,
        "n_reference must be at least 1",
    ),
}
METRICS = {
    "blocks of images": (lambda: metrics.GaussianBaseline(X, block_size=0), ValueError, "block_size must be at least"),
    "values": (lambda: metrics.estimate([1.0, 2.0]), TypeError, "values must be a torch.Tensor"),
    "NaN": (lambda: metrics.estimate(torch.tensor([1.0, math.nan])), ValueError, "values must be finite"),
    "planes' moments": (lambda: metrics.moments(X), ValueError, "x must be two or more points of one dimension"),
    "one point": (lambda: metrics.moments(torch.ones(1)), ValueError, "x must be two or more points"),
    "function": (lambda: metrics.in_batches(None, X), TypeError, r"function must be a callable function\(images\)"),
    "images": (lambda: metrics.in_batches(never, [1.0]), TypeError, "images must be a torch.Tensor"),
    "Fréchet": (lambda: metrics.frechet_distance(None, X), TypeError, "samples must be a torch.Tensor"),
    "too few": (lambda: metrics.frechet_distance(X, X[:2]), ValueError, "reference must be of more images than there"),
    "kernel": (lambda: metrics.kernel_distance(X, X, block_size=0), ValueError, "block_size must be at least 1"),
    "levels": (
        lambda: metrics.level_losses(None, X, [1.0], generator=seeded()),
        TypeError,
        "score must be a callable",
    ),
    "norms": (lambda: metrics.score_norms(0, X, [1.0], generator=seeded()), TypeError, "score must be a callable"),
    "identity": (
        lambda: metrics.optimality_identity(0, X, [1.0], generator=seeded()),
        TypeError,
        "score must be a callable",
    ),
    "means": (lambda: metrics.mode_weights(X, [0.0, 1.0]), TypeError, "means must be a torch.Tensor"),
    "means' shape": (lambda: metrics.distance_to_modes(X, X[0]), ValueError, "means must be a batch"),
    "other space": (lambda: metrics.component_stds(X, ONE_DIMENSION), ValueError, r"x must have the shape \(B, 1\)"),
    "radius": (lambda: metrics.SwitchCounter(ONE_DIMENSION, -1.0), ValueError, "radius must be finite and positive"),
    "counter": (lambda: metrics.SwitchCounter(ONE_DIMENSION).update(X), ValueError, "x must have the shape"),
    "estimated": (lambda: metrics.relative_squared_error(None, X), TypeError, "estimated must be a torch.Tensor"),
    "fisher": (lambda: metrics.fisher_divergence(score, None, X), TypeError, "exact must be a callable"),
    "fisher's σ": (lambda: metrics.fisher_divergence(never, never, X, -1.0), ValueError, "sigma must be finite"),
    "regions": (lambda: metrics.region_errors(never, never, [0.0], X), TypeError, "points must be a torch.Tensor"),
    "near": (lambda: metrics.region_errors(never, never, X, X, near=-1.0), ValueError, "near must be finite and pos"),
    "half a sample": (lambda: metrics.share(2.5, 3), TypeError, "count must be a whole number, got 2.5"),
    "confidence": (lambda: metrics.share(2, 3, confidence=1.0), ValueError, r"confidence must be in \(0, 1\), got 1"),
    "logits": (lambda: metrics.class_shares(X[..., None]), ValueError, r"logits must be of shape \(N, K\)"),
    "threshold": (lambda: metrics.confident_share(X, "0.9"), TypeError, "threshold must be a number"),
    "score's logits": (lambda: metrics.inception_score(torch.ones(10, 2, 2)), ValueError, "logits must be of shape"),
    "psnr of NaN": (lambda: metrics.psnr(math.nan * IMAGE, IMAGE), ValueError, "noisy must be finite"),
    "psnr of a list": (lambda: metrics.psnr([0.0], IMAGE), TypeError, "noisy must be a torch.Tensor"),
    "ssim": (lambda: metrics.ssim(IMAGE[0], IMAGE[0]), ValueError, "noisy must be an image .* of at least 7"),
    "reference": (lambda: metrics.reference_features(0, "digits", "test", key=""), TypeError, "function must be a"),
}
CASES = [
    pytest.param(*case, id=f"{group}: {name}")
    for group, cases in {
        "formulas": FORMULAS,
        "scores": SCORES,
        "networks": NETWORKS,
        "generation": GENERATION,
        "metrics": METRICS,
    }.items()
    for name, case in cases.items()
]


@pytest.mark.parametrize(("call", "error", "message"), CASES)
def test_bad_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_frechet_distance_takes_a_single_feature():
    x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    assert metrics.frechet_distance(x, x + 3).value == pytest.approx(9)
    assert metrics.feature_statistics(x).covariance.tolist() == [[1.0]]
