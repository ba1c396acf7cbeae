"""In what a network on colour images, or a measurement of its samples, is less than the paper's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sbgm.networks import ScoreNetwork

PAPERS_SAMPLES = 50_000
PAPERS_CHANNELS = 128
PAPERS_EVALUATIONS = 1_000


def differences(network: ScoreNetwork, n_samples: int, n_steps: int, sampler: str) -> list[str]:
    """In what a measurement is not the paper's, whose numbers then do not bound it."""
    channels = network.arguments.get("channels")
    evaluations = n_steps * len(network.sigmas)
    differs = []
    if channels != PAPERS_CHANNELS:
        differs.append(f"{channels} channels, where the paper has {PAPERS_CHANNELS}")
    if sampler != "annealed" or evaluations != PAPERS_EVALUATIONS:
        differs.append(f"{sampler} sampler, where the paper's takes {PAPERS_EVALUATIONS:,} evaluations")
    if n_samples < PAPERS_SAMPLES:
        differs.append(f"{n_samples:,} samples, where the paper has {PAPERS_SAMPLES:,}")
    return differs


def smaller_differences(file: str | Path, precision: str) -> list[str]:
    """In what a measurement that the paper's numbers bound is not quite the paper's."""
    differs = []
    if precision != "fp32":
        differs.append(f"drawn in {precision}")
    if Path(file).stem == "average":
        differs.append("averaged weights, which the paper has not")
    return differs


def how_narrow(network: ScoreNetwork) -> str:
    """In what a network is less than the paper's, by what its file says of its training."""
    seen = epochs(network.facts, batch_size_of(network.facts))
    return f"{network.arguments['channels']} of the paper's 128 channels, {seen:.1f} epochs of some 512, one training"


def batch_size_of(facts: Mapping[str, Any]) -> int:
    """The images of a step by the settings in a file of weights, in a table of their own in that of `cifar10_ncsn`; 0
    without settings.
    """
    settings = facts.get("settings", {})
    return settings.get("training", settings).get("batch_size", 0)


def epochs(facts: Mapping[str, Any], batch_size: int) -> float:
    """How often a network has seen CIFAR-10's 50,000 images, those counted that it started from."""
    n_steps = facts.get("steps", facts.get("step", 0))  # the second is a checkpoint's
    seen = n_steps * batch_size / 50_000
    before = facts.get("started_from")
    return seen + epochs(before, batch_size_of(before)) if before else seen
