"""Networks, and scores made of other scores."""

from __future__ import annotations

import torch

import sbgm
from properties.bad_values import (
    NAN,
    NO_CALLABLE,
    NO_CHOICE,
    NO_COUNT,
    NO_FLOATS,
    NO_GENERATOR,
    NO_LADDER,
    NO_NETWORK,
    NO_SHAPE,
    NOT_POSITIVE,
    among,
    given_only,
    no_positive_sigma_of,
)
from properties.refusals import DEVICE, FLAG, Refusal, of
from properties.refusals.losses import BATCH, score
from properties.strategies import seeded
from sbgm.precision import fast_precision

IGNORED = "goes unused: the network knows no noise level"
SIGMAS = [2.0, 1.0]
IMAGES = torch.rand(3, 1, 4, 4, generator=seeded(0))
NO_PERCEPTRON = {
    **dict.fromkeys(("dim", "width", "depth"), NO_COUNT),
    "generator": given_only(NO_GENERATOR),
}
NO_POINTS = NO_FLOATS | among(torch.ones(3, 3), torch.ones(2, 1))
NO_IMAGES = NO_FLOATS | among(IMAGES[0], IMAGES[:, 0], IMAGES[..., :3], IMAGES.expand(-1, 2, -1, -1))
CONDITIONAL = sbgm.ConditionalMLP(2, 4, 1, generator=seeded(0))
ENERGY = sbgm.EnergyMLP(2, 4, 1, generator=seeded(0))

REFUSALS = (
    Refusal(sbgm.MLP, of(dim=2, width=4, depth=1), NO_PERCEPTRON),
    *(
        Refusal(kind, of(dim=2, width=4, depth=1), NO_PERCEPTRON | {"data_std": NOT_POSITIVE})
        for kind in (sbgm.ConditionalMLP, sbgm.EnergyMLP)
    ),
    Refusal(sbgm.MLP(2, 4, 1, generator=seeded(0)).forward, of(x=BATCH), {"x": NO_POINTS}, {"sigma": IGNORED}),
    *(
        Refusal(method, of(x=BATCH, sigma=0.5), {"x": NO_POINTS, "sigma": no_positive_sigma_of(3)})
        for method in (CONDITIONAL.forward, ENERGY.forward, ENERGY.energy, ENERGY.log_prob)
    ),
    Refusal(
        sbgm.ImageMLP,
        of(sigmas=SIGMAS, image_shape=(1, 4, 4), width=4, n_blocks=1),
        {
            "sigmas": NO_LADDER,
            "image_shape": NO_SHAPE | among((4, 4), (1, 1, 4, 4)),
            "width": NO_COUNT,
            "n_blocks": NO_COUNT,
            "norm": NO_CHOICE,
            "generator": given_only(NO_GENERATOR),
        },
    ),
    Refusal(
        sbgm.RefineNet,
        of(sigmas=SIGMAS, channels=2, image_channels=1),
        {"sigmas": NO_LADDER, "channels": NO_COUNT, "image_channels": NO_COUNT},
        {"conditional": FLAG, "divide_by_sigma": FLAG},
    ),
    Refusal(sbgm.ResNet, of(channels=8), {"channels": NO_COUNT | among(4, 12), "image_channels": NO_COUNT}),
    Refusal(
        sbgm.ImageMLP(SIGMAS, (1, 4, 4), 4, 1).forward,
        of(x=IMAGES, sigma=0.5),
        {"x": NO_IMAGES, "sigma": no_positive_sigma_of(3)},
    ),
    Refusal(
        sbgm.RefineNet(SIGMAS, 2, 1).forward,
        of(x=IMAGES, sigma=1.0),
        {"x": NO_IMAGES, "sigma": no_positive_sigma_of(3) | among(1.5, torch.tensor([2.0, 1.0, 0.5]))},
    ),
    Refusal(sbgm.ResNet(8, 1).forward, of(x=IMAGES), {"x": NO_IMAGES}, {"sigma": IGNORED}),
    Refusal(sbgm.rescaled, of(network=sbgm.RefineNet(SIGMAS, 2, 1)), {"network": NO_NETWORK | among(CONDITIONAL)}),
    Refusal(
        sbgm.in_range,
        lambda: {"score": score(), "low": 0.0, "high": 1.0},
        {"score": NO_CALLABLE, "low": among(None, "0", 1.0, 2.0, NAN), "high": among(None, "1", 0.0, -1.0, NAN)},
    ),
    Refusal(
        sbgm.autocast,
        lambda: {"score": score(), "precision": "bf16"},
        {"score": NO_CALLABLE, "precision": NO_CHOICE},
        {"device_type": DEVICE},
    ),
    Refusal(fast_precision, dict, {}, {"device_type": DEVICE}),
)
