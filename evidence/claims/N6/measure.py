"""N6: mean colours of samples by networks with the paper's norm, and with α fixed at 0 in it (Appendix A)."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from tqdm import tqdm

from errors import of_networks
from ledger import Measurement, Record, declared, record, reported, seed
from recipes import GeometricLadder, Training, kept_parts
from sbgm import RefineNet, derived_generator
from sbgm.images.data import load_images
from sbgm.images.drawing import kept_folder, uniform_start
from sbgm.images.refinenet import ConditionalInstanceNorm
from sbgm.losses import ncsn_loss
from sbgm.measure import frechet_distance, quantise
from sbgm.samplers import annealed_langevin, denoise, final

OPTIONS = {"folder": "N6"}
ARMS = ("α = 0", "α learned")
N_TRAININGS = 3
CHANNELS = 16
BATCH_SIZE = 64
SIGMAS = GeometricLadder().sigmas
STEPS_PER_LEVEL = 20
STEP_SIZE = 100 * 2e-5 / STEPS_PER_LEVEL  # T ε is the paper's
SHOWN = 16
"""Samples of each arm's first training in the record's file."""


def measure(folder: Path, iterations: int = 1_000, n_samples: int = 300) -> Record:
    """Measure N6: train both arms, draw, and compare the mean colours of samples with photographs'.

    Each training's samples are kept in `folder`; a run that was stopped goes on with the next training.

    Args:
        folder: of what is kept.
        iterations: of each training.
        n_samples: by each network.
    """
    images = avg_pool2d(load_images("cifar10"), 2)
    trainings = list(itertools.product(ARMS, range(N_TRAININGS)))

    def samples(part: int, _: torch.Generator) -> dict[str, Tensor]:
        arm, training = trainings[part]
        network = trained(images, arm, iterations, seed("N6") + training)
        generator = derived_generator(seed("N6") + training, 1)
        x = uniform_start((n_samples, *images.shape[1:]), generator)
        settings = {"step_size": STEP_SIZE, "n_steps": STEPS_PER_LEVEL, "generator": generator}
        x = final(annealed_langevin(network, x, SIGMAS, **settings))
        with torch.no_grad():
            return {"samples": quantise(denoise(network, x, float(SIGMAS[-1])))}

    place = kept_folder(folder, {"iterations": iterations, "n_samples": n_samples})
    drawn = kept_parts(samples, len(trainings), seed=seed("N6"), folder=place)
    kept = {
        "test images": mean_colours(quantise(avg_pool2d(load_images("cifar10", "test"), 2))),
        "photographs": mean_colours(quantise(images[:n_samples])),
    }
    for (arm, training), part in zip(trainings, tqdm(drawn, "N6", len(trainings), unit="training"), strict=True):
        kept[f"{arm}, training {training}"] = mean_colours(part["samples"])
        if training == 0:
            kept[f"samples, {arm}"] = part["samples"][:SHOWN]
    return record(
        "N6",
        measurements(kept),
        kept,
        data=f"CIFAR-10 in 16×16 pixels, {N_TRAININGS} trainings an arm",
        note="Samples are denoised; distances are those of mean colours, in units of 255.",
        narrower=f"16×16 pixels, C = {CHANNELS}, {iterations:,} steps of {BATCH_SIZE} images",
        facts={"iterations": iterations, "n_samples": n_samples, "n_steps": STEPS_PER_LEVEL, "step_size": STEP_SIZE},
    )


def trained(images: Tensor, arm: str, iterations: int, first_seed: int) -> RefineNet:
    """A network of an arm, trained by Eq. 6; networks of one seed start from the same weights but α."""
    generator = torch.Generator().manual_seed(first_seed)
    network = RefineNet(SIGMAS, CHANNELS, images.shape[1], generator=generator)
    if arm == ARMS[0]:
        fix_alpha(network)
    settings = Training(n_steps=iterations, batch_size=BATCH_SIZE, learning_rate=1e-3, seed=first_seed)
    loss = settings.fit(network, images, lambda score, x, generator: ncsn_loss(score, x, SIGMAS, generator=generator))
    for _ in tqdm(loss, f"{arm}, seed {first_seed}", iterations, unit="step"):
        pass
    return network.eval()


def fix_alpha(network: RefineNet) -> None:
    """Set α to 0 for good: what is left of the norms is the plain conditional instance norm."""
    for norm in network.modules():
        if isinstance(norm, ConditionalInstanceNorm):
            weight = norm.levels.weight
            learned = torch.ones_like(weight)
            learned.chunk(3, dim=1)[1].zero_()
            with torch.no_grad():
                weight.mul_(learned)
            weight.register_hook(learned.mul)  # Adam does not move what has no gradient


def mean_colours(images: Tensor) -> Tensor:
    """The mean over the pixels of each image, (B, 3, H, W) uint8 -> (B, 3), in units of 255."""
    return images.float().mean(dim=(2, 3)) / 255


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of N6, from its file: mean colours of photographs and of each training's samples."""
    reference = kept["test images"]
    photographs = kept["photographs"]
    numbers = []
    logs = {}
    for arm in ARMS:
        colours = [kept[f"{arm}, training {training}"] for training in range(N_TRAININGS)]
        distances = torch.tensor([frechet_distance(x, reference).value for x in colours])
        spreads = torch.tensor([spread(x) / spread(reference) for x in colours])
        shifts = torch.tensor([float((x.mean(0) - reference.mean(0)).norm()) for x in colours])
        numbers.append(reported(f"{arm}: distance", of_networks(distances)))
        numbers.append(reported(f"{arm}: spread over photographs'", of_networks(spreads)))
        numbers.append(reported(f"{arm}: shift of the mean", of_networks(shifts)))
        logs[arm] = distances.log10()
    far = frechet_distance(photographs.roll(1, dims=1), reference).value
    near = frechet_distance(photographs, reference).value
    label = "log₁₀ of distance with α = 0 over distance with α learned"
    control = "control: log₁₀ of distance of turned photographs over photographs'"
    return [
        declared("N6", label, of_networks(logs["α = 0"] - logs["α learned"])),
        declared("N6", control, math.log10(far / near)),
        *numbers,
        reported("photographs: distance", near),
    ]


def spread(colours: Tensor) -> float:
    """The root of the trace of the covariance of colours (B, 3)."""
    return float(colours.var(dim=0).sum().sqrt())
