"""Starts, generation, files of weights and of samples, data sets, and what judges samples."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

import sbgm
from properties.bad_values import (
    INF,
    NAN,
    NEGATIVE_COUNT,
    NO_BATCH,
    NO_CALLABLE,
    NO_CHOICE,
    NO_COUNT,
    NO_GENERATOR,
    NO_NETWORK,
    NO_SET_OF_TWO,
    NO_SHAPE,
    NOT_POSITIVE,
    among,
    given_only,
    no_batch_of,
    with_holes,
)
from properties.refusals import DEVICE, FACTS, PATH, Refusal, Spy, of
from properties.strategies import seeded
from sbgm import data, generation, weights
from sbgm.evaluation import FeatureSpace, feature_space, judge, load_images_of, reference_for
from sbgm.samplers import State
from sbgm.training import n_parameters

FOLDER = tempfile.TemporaryDirectory(prefix="sbgm-properties-")
IMAGES = torch.rand(3, 1, 4, 4, generator=seeded(0))
NETWORK = sbgm.ImageMLP([2.0, 1.0], (1, 4, 4), 4, 1, generator=seeded(0))
DIGITS = torch.rand(3, 1, 8, 8, generator=seeded(0))
HELD = "holds what `feature_space` makes"
COLOUR = "for colour images, tests/test_evaluation.py"


def file() -> Path:
    """A file of the network's weights."""
    path = Path(FOLDER.name) / "network.safetensors"
    if not path.exists():
        sbgm.save_network(NETWORK, path)
    return path


def batches(**others):
    """Arguments of a generation whose sampler makes one step."""

    def make():
        sampler = Spy(lambda x, generator: [State(torch.zeros(3, 2), 1, 0.0)])
        return {"n": 3, "shape": (2,), "seed": 0} | dict.fromkeys(others, sampler)

    return make


NO_BATCHES = {
    "n": NO_COUNT,
    "shape": NO_SHAPE,
    "seed": NEGATIVE_COUNT,
    "batch_size": NO_COUNT,
    "on_state": given_only(NO_CALLABLE),
}
NO_IMAGES = NO_BATCH | with_holes(3, 1, 4, 4) | among(IMAGES[0], IMAGES + 1, IMAGES - 1)
NO_DTYPE = among("float16", 16, torch.int8, torch.bool)
REFUSALS = (
    *(
        Refusal(
            start,
            lambda: {"shape": (2, 1, 4, 4), "generator": seeded(0)},
            {"shape": NO_SHAPE | wrong, "generator": NO_GENERATOR},
        )
        for start, wrong in (
            (generation.uniform_start, NO_SHAPE),
            (generation.gaussian_start(2.0, IMAGES[0]), among((2, 1, 4, 5), (2, 4))),
            (generation.fitted_start(IMAGES, 2.0), among((2, 1, 4, 5), (2, 4))),
        )
    ),
    Refusal(
        generation.gaussian_start,
        of(sigma=2.0),
        {"sigma": NOT_POSITIVE, "mean": among(None, "0.5", NAN, INF) | with_holes(2)},
    ),
    Refusal(
        generation.fitted_start,
        of(images=IMAGES, sigma=2.0),
        {"images": NO_SET_OF_TWO | with_holes(3, 1, 4, 4), "sigma": NOT_POSITIVE},
    ),
    Refusal(
        generation.generate,
        batches(sampler=True),
        NO_BATCHES | {"sampler": NO_CALLABLE, "start": NO_CALLABLE},
        {"device": DEVICE, "accelerator": DEVICE},
    ),
    Refusal(
        generation.in_batches, batches(states_of=True), NO_BATCHES | {"states_of": NO_CALLABLE}, {"accelerator": DEVICE}
    ),
    Refusal(
        weights.save_weights,
        lambda: {"network": NETWORK, "path": Path(FOLDER.name) / "saved.safetensors"},
        {"network": NO_NETWORK, "dtype": NO_DTYPE},
        {"path": PATH, "facts": FACTS},
    ),
    Refusal(
        weights.save_network,
        lambda: {"network": NETWORK, "path": Path(FOLDER.name) / "saved.safetensors"},
        {"network": NO_NETWORK | among(torch.nn.Linear(2, 2)), "dtype": NO_DTYPE},
        {"path": PATH, "facts": FACTS},
    ),
    Refusal(
        weights.load_weights,
        lambda: {"network": NETWORK, "path": file()},
        {"network": NO_NETWORK | among(torch.nn.Linear(2, 2))},
        {"path": PATH},
    ),
    Refusal(weights.load_network, lambda: {"path": file()}, {}, {"path": PATH}),
    Refusal(weights.weights_file, of(name="mnist_ncsn"), {}, {"name": PATH}),
    Refusal(n_parameters, of(network=NETWORK), {"network": NO_NETWORK}),
    *(
        Refusal(change, lambda: {"x": IMAGES, "generator": seeded(0)}, {"x": NO_IMAGES, "generator": NO_GENERATOR})
        for change in (data.dequantise, data.random_flip)
    ),
    *(
        Refusal(load, of(name="digits", split="test"), {"name": NO_CHOICE, "split": NO_CHOICE})
        for load in (data.load_images, data.load_labels)
    ),
    Refusal(data.is_available, of(name="digits"), {"name": NO_CHOICE}),
    Refusal(load_images_of, lambda: {"path": image_file()}, {}, {"path": PATH}),
    Refusal(FeatureSpace, of(function=torch.square, name="", key=""), {}, dict.fromkeys(FeatureSpace._fields, HELD)),
    Refusal(feature_space, of(name="digits"), {"name": NO_CHOICE}, {"inception": COLOUR}),
    Refusal(
        reference_for,
        lambda: {"name": "digits", "space": feature_space("digits"), "split": "test", "n": 3},
        {
            "name": NO_CHOICE,
            "space": among(None, "pixels", torch.square),
            "split": NO_CHOICE,
            "n": given_only(NO_COUNT) | among(361),
        },
    ),
    Refusal(
        judge,
        of(samples=DIGITS, name="digits"),
        {
            "samples": no_batch_of(1, 8, 8),
            "name": NO_CHOICE,
            "split": NO_CHOICE,
            "n_reference": given_only(NO_COUNT),
        },
        {"inception": COLOUR},
    ),
)


def image_file() -> Path:
    """A file of images."""
    path = Path(FOLDER.name) / "images.safetensors"
    sbgm.files.save_tensors(path, {"samples": IMAGES})
    return path
