"""Score-based generative modelling: *Generative Modeling by Estimating Gradients of the Data Distribution*, reproduced.

A score is any callable `score(x, sigma)`: x of shape (B, *shape), sigma a float or a (B,) tensor, returning x's shape.
Exact mixtures, networks and energy gradients are then interchangeable in every loss and sampler.

Names are loaded when first used, so that `import sbgm` costs little more than `import torch`.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "distributions": ["GaussianMixture", "paper_mixture"],
    "noise": ["derived_generator", "geometric_sigmas", "perturb", "power_sigmas", "randn_like"],
    "losses": [
        "denoising_score_matching_loss",
        "ncsn_loss",
        "score_matching_loss",
        "sliced_score_matching_loss",
    ],
    "samplers": [
        "NamedSampler",
        "SamplerDivergedError",
        "State",
        "ancestral",
        "annealed_langevin",
        "consistent_annealed",
        "denoise",
        "final",
        "hamiltonian",
        "inpaint",
        "langevin",
        "metropolis_langevin",
        "predictor_corrector",
        "probability_flow",
    ],
    "networks": ["MLP", "ConditionalMLP", "EnergyMLP", "ImageMLP", "RefineNet", "ResNet", "in_range", "rescaled"],
    "generation": ["generate"],
    "masks": [],
    "techniques": [],
    "closed_forms": [],
    "data": ["dequantise", "load_images", "load_labels", "random_flip"],
    "metrics": [],
    "evaluation": [],
    "training": [],
    "precision": ["autocast"],
    "weights": ["load_network", "load_weights", "save_network", "save_weights"],
    "experiments": [],
    "plots": [],
    "explorers": [],
    "claims": [],
    "checks": [],
    "grading": [],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOMES, *_HOME_OF])


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return importlib.import_module(f"sbgm.{name}")
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"sbgm.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'sbgm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
