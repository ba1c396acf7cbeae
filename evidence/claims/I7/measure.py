"""I7: no copies of training images (Appendix C.2), by how many samples are nearer to one than test digits are."""

from pathlib import Path

import torch
from torch import Tensor

from controls import joined_halves, moved
from features import classifier_space, reference_for
from ledger import Measurement, Record, declared, record, reported, seed
from samples import CPU, SIGMA_L, SPACES, Machine, halves_of_test, mnist_samples, too_near
from sbgm import derived_generator
from sbgm.images.data import load_images, load_labels
from sbgm.measure import nearest_neighbours, quantise, shown
from sbgm.measure.classifier import JUDGE
from sbgm.noise import perturb

OPTIONS = {"folder": "samples", "draws": True}
N_COPIES = 500
N_SHOWN = 10
"""Samples that the record shows with their nearest neighbours."""
N_NEIGHBOURS = 6


def measure(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> Record:
    """Measure I7: the share of samples nearer to a training digit than nearly all test digits are.

    Args:
        folder, n_samples, n_steps, machine: see `mnist_samples`.
    """
    drawn, words = mnist_samples(folder, n_samples, n_steps, machine)
    samples = drawn.states[-1]
    training = load_images("mnist")
    space = classifier_space(JUDGE)
    first = shown(samples[:N_SHOWN])
    in_pixels = nearest_neighbours(first, training, N_NEIGHBOURS)
    features = reference_for("mnist", space, "train")
    in_features = nearest_neighbours(space.function(first), features, N_NEIGHBOURS)
    tensors = {
        "samples": quantise(first),
        "pixels": quantise(training[in_pixels.indices]),
        "features": quantise(training[in_features.indices]),
    }
    note = "All images that are compared carry the noise σ_L; features are the second classifier's."
    words = words | {
        "data": f"{words['data']}, and 60,000 training images",
        "narrower": f"{words['narrower']}; copies moved by more than a pixel, turned or blended are not seen",
    }
    return record("I7", measurements(samples), tensors, note=note, **words)


def measurements(samples: Tensor, data: str = "mnist") -> list[Measurement]:
    """The measurements of I7 on samples (N, 1, 28, 28) of a network trained on a set's training images."""
    shares = too_near(comparisons(samples, data), data)
    bounded = {
        "nearer than 99 % of test digits": "samples",
        "control: training digits with noise σ_L": "copies",
        "control: the other half of the test digits": "unseen",
    }
    others = {
        "uniform noise": "noise",
        "training digits moved by two pixels": "moved by two",
        "joined halves of training digits": "joined",
    }
    numbers = [declared("I7", f"{label}, {s}", shares[name][s]) for label, name in bounded.items() for s in SPACES]
    return numbers + [reported(f"{label}, {s}", shares[name][s]) for label, name in others.items() for s in SPACES]


def comparisons(samples: Tensor, data: str) -> dict[str, Tensor]:
    """The samples and all that they are held against, by name; all real images carry the noise that samples carry."""
    generator = derived_generator(seed("I7"))
    training = load_images(data)
    chosen = torch.randperm(len(training), generator=generator)[:N_COPIES]
    copies = training[chosen]
    _, unseen = halves_of_test(load_images(data, "test"))
    by_two = [(rows, columns) for rows in (-2, 0, 2) for columns in (-2, 0, 2) if (rows, columns) != (0, 0)]
    kinds = {
        "copies": copies,
        "moved by two": moved_apart(copies, by_two, generator),
        "joined": joined_halves(copies, load_labels(data)[chosen]),
        "unseen": unseen,
    }
    noisy = {name: perturb(images, SIGMA_L, generator=generator) for name, images in kinds.items()}
    noise = torch.rand(copies.shape, generator=generator)
    return {"samples": samples, "noise": noise} | noisy


def moved_apart(images: Tensor, ways: list[tuple[int, int]], generator: torch.Generator) -> Tensor:
    """Each image moved by one of the ways, (rows, columns) in pixels, at random."""
    drawn = torch.randint(len(ways), (len(images),), generator=generator).tolist()
    parts = [moved(image[None], *ways[way]) for image, way in zip(images, drawn, strict=True)]
    return torch.cat(parts)
