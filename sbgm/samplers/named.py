"""Every sampler of a ladder by name, for commands and comparisons, with what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from sbgm._validate import check_choice, check_count, check_positive, check_sigmas
from sbgm.losses import Score
from sbgm.samplers.annealed import annealed_langevin
from sbgm.samplers.chain import State
from sbgm.samplers.consistent import ancestral, consistent_annealed
from sbgm.samplers.predictor_corrector import predictor_corrector
from sbgm.samplers.probability_flow import METHODS, probability_flow

NAMES = ("annealed", "consistent", "ancestral", "predictor-corrector", *METHODS)


@dataclasses.dataclass(frozen=True)
class NamedSampler:
    """A sampler with its settings: `NamedSampler("annealed", sigmas, step_size=4e-5, n_steps=100).states(score, x, …)`.

    Attributes:
        name: "annealed" (Algorithm 1), "consistent", "ancestral", "predictor-corrector", or a method of the probability
            flow, "euler", "heun" or "multistep".
        sigmas: its ladder.
        step_size: ε, where the sampler has one: annealed, consistent, predictor-corrector.
        n_steps: Langevin steps a level: annealed, predictor-corrector.
        denoise_last: end with x + σ_L² s(x, σ_L).
    """

    name: str
    sigmas: tuple[float, ...]
    step_size: float | None = None
    n_steps: int | None = None
    denoise_last: bool = False

    def __post_init__(self) -> None:
        check_choice(self.name, "name", NAMES)
        object.__setattr__(self, "sigmas", tuple(check_sigmas(self.sigmas)))
        for setting, users in (
            ("step_size", ("annealed", "consistent", "predictor-corrector")),
            ("n_steps", ("annealed", "predictor-corrector")),
        ):
            given = getattr(self, setting) is not None
            if given != (self.name in users):
                what = f"must be given for {self.name}" if not given else f"has no meaning for {self.name}"
                raise ValueError(f"{setting} {what}, got {getattr(self, setting)}")
        if self.step_size is not None:
            check_positive(self.step_size, "step_size")
        if self.n_steps is not None:
            check_count(self.n_steps, "n_steps")

    @property
    def evaluations(self) -> int:
        """How often it asks for the score."""
        steps = len(self.sigmas) - 1
        per_step = {"heun": 2, "predictor-corrector": 1 + (self.n_steps or 0)}.get(self.name, 1)
        return (len(self.sigmas) * self.n_steps if self.name == "annealed" else steps * per_step) + self.denoise_last

    @property
    def n_states(self) -> int:
        """How many states it yields."""
        return self.evaluations - (len(self.sigmas) - 1 if self.name == "heun" else 0)

    def states(self, score: Score, x: Tensor, generator: torch.Generator) -> Iterator[State]:
        """Run it from the starting points x, (B, *shape)."""
        if self.name in METHODS:
            return probability_flow(score, x, self.sigmas, method=self.name, denoise_last=self.denoise_last)
        settings = {"generator": generator, "denoise_last": self.denoise_last}
        if self.name == "ancestral":
            return ancestral(score, x, self.sigmas, **settings)
        settings["step_size"] = self.step_size
        if self.name == "consistent":
            return consistent_annealed(score, x, self.sigmas, **settings)
        run = annealed_langevin if self.name == "annealed" else predictor_corrector
        return run(score, x, self.sigmas, n_steps=self.n_steps, **settings)
