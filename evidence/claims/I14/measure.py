"""I14: no copies of CIFAR-10's images (C.2), by how many samples are nearer to a training image than test images are.

The samples are those of I2, denoised, so that neither they nor the images that they are compared with carry noise.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from errors import bootstrap
from features import inception_space, reference_for, some_images
from ledger import Measurement, Record, declared, load_record, record, reported, seed
from samples import CPU, SIGMA_L, Machine, how_narrow
from sbgm import derived_generator
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, Inception, in_batches, nearest_neighbours, share, shown
from sbgm.measure.distances import FeatureFunction
from sbgm.noise import perturb
from sbgm.samplers import denoise

OPTIONS = {"draws": True}
NETWORK = "cifar10_ncsn"
PERCENTILE = 0.01
N_COPIES = 500
SPACES = ("pixels", "features")


def measure(n_test: int = 2_000, machine: Machine = CPU) -> Record:
    """Measure I14: the share of samples nearer to a training image than nearly all test images are.

    Args:
        n_test: test images; one half sets the percentile, the other is held against it.
        machine: where the networks run.
    """
    space = inception_space(inception := Inception(device=machine.device))
    samples = load_record("I2").tensors["denoised"].float() / 255
    training = load_images("cifar10")
    test = some_images("cifar10", "test", n_test)
    generator = derived_generator(seed("I14"))
    chosen = training[torch.randperm(len(training), generator=generator)[:N_COPIES]]
    groups = {
        "held out": test[: n_test // 2],
        "samples": samples,
        "copies": denoised(perturb(chosen, SIGMA_L, generator=generator), machine),
        "unseen": test[n_test // 2 :],
        "contrast": with_contrast_of(chosen, samples),
    }
    distances = {}
    for name, function, candidates in (
        ("pixels", shown, shown(training)),
        ("features", space.function, reference_for("cifar10", space, "train")),
    ):
        distances |= {f"{group}, {name}": to_nearest(images, candidates, function) for group, images in groups.items()}
    return record(
        "I14",
        measurements(distances),
        distances,
        data=f"{NETWORK}, I2's {len(samples)} samples, denoised; {len(training):,} training and {n_test:,} test images",
        note="Features are Inception's. Each image and its mirror image are compared with all training images.",
        narrower=f"{how_narrow(load_network(NETWORK))}; copies moved, turned or blended are not seen",
        networks=[NETWORK],
        facts={"n_test": n_test, "n_samples": len(samples), "inception": inception.name},
    )


def denoised(images: Tensor, machine: Machine) -> Tensor:
    """Images with the noise σ_L as the network sees them without it, by the step that I2's samples went through."""
    network = machine.prepared(load_network(NETWORK))
    return in_batches(lambda x: denoise(network, x.to(machine.device), float(network.sigmas[-1])), images)


def with_contrast_of(images: Tensor, samples: Tensor) -> Tensor:
    """Images whose grey values are stretched about their mean until their standard deviation is that of samples."""
    mean = images.mean()
    return mean + (images - mean) * (samples.std() / images.std())


def to_nearest(images: Tensor, candidates: Tensor, function: FeatureFunction) -> Tensor:
    """The distance of images (N, C, H, W), or of their mirror images, to the nearest of the candidates (M, …): (N,)."""
    both = [nearest_neighbours(function(x), candidates).distances[:, 0] for x in (images, images.flip(-1))]
    return torch.minimum(*both)


def share_below(values: Tensor, held_out: Tensor) -> Estimate:
    """The share of values below the held-out ones' PERCENTILE; ± counts the scatter of that threshold as well."""
    below = values < held_out.quantile(PERCENTILE)
    of_values = share(int(below.sum()), len(values))

    def by_threshold(chosen: Tensor) -> float:
        return float((values < held_out[chosen].quantile(PERCENTILE)).double().mean())

    of_threshold = bootstrap(by_threshold, len(held_out), generator=derived_generator(seed("I14"), 1))
    return Estimate(of_values.value, math.hypot(of_values.se, of_threshold.se))


def measurements(distances: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of I14, from the distances of each group to the nearest training image."""
    bounded = {
        "nearer than 99 % of test images": "samples",
        "control: denoised training images": "copies",
        "control: other test images": "unseen",
    }
    listed = []
    for space in SPACES:
        held_out = distances[f"held out, {space}"]
        shares = {
            group: share_below(distances[f"{group}, {space}"], held_out) for group in ("contrast", *bounded.values())
        }
        listed += [declared("I14", f"{label}, {space}", shares[group]) for label, group in bounded.items()]
        listed.append(reported(f"training images with the samples' contrast, {space}", shares["contrast"]))
        beyond = distances[f"copies, {space}"] >= distances[f"samples, {space}"].min()
        listed.append(reported(f"copies that are not nearer than every sample, {space}", int(beyond.sum())))
        for group in ("samples", "held out"):
            median = float(distances[f"{group}, {space}"].median())
            listed.append(reported(f"median distance, {group}, {space}", median))
    return listed
