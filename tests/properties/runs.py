"""A run of each sampler, by name, with step sizes that are stable for any score drawn here."""

from collections.abc import Callable, Iterator

import torch
from hypothesis import strategies as st
from torch import Tensor

import sbgm
from properties.strategies import Score, batches, ladders, scores
from sbgm.samplers import State

FLOAT64 = st.just(torch.float64)
SAMPLERS = {  # from level to level, and the settings of each beside the ladder
    "annealed": (sbgm.annealed_langevin, ("step_size", "n_steps")),
    "ancestral": (sbgm.ancestral, ()),
    "euler": (sbgm.probability_flow, ()),
    "heun": (sbgm.probability_flow, ()),
    "multistep": (sbgm.probability_flow, ()),
}
Run = Callable[[Score, Tensor, list[float], torch.Generator], Iterator[State]]


def named(name: str, sigmas: list[float], *, denoise_last: bool = False) -> Callable[..., Iterator[State]]:
    """run(score, x, generator) of a ladder with a stable step size, and two Langevin steps per level, if any."""
    sampler, its_settings = SAMPLERS[name]
    steps = {"step_size": 0.1 * sigmas[-1] ** 2, "n_steps": 2}
    settings = {setting: steps[setting] for setting in its_settings}

    def run(score: Score, x: Tensor, generator: torch.Generator | None) -> Iterator[State]:
        how = {"method": name} if sampler is sbgm.probability_flow else {"generator": generator}
        return sampler(score, x, sigmas, denoise_last=denoise_last, **how, **settings)

    return run


def log_prob(score: Score) -> Callable[[Tensor, float], Tensor]:
    """½ x·s(x, σ), the log-density of a Gaussian score of mean 0; any density will do, since the field is free."""
    return lambda x, sigma: 0.5 * (x * score(x, sigma)).flatten(1).sum(dim=1)


def langevin(score, x, sigmas, generator):
    return sbgm.langevin(score, x, step_size=0.1 * sigmas[-1] ** 2, n_steps=3, sigma=sigmas[-1], generator=generator)


def metropolis(score, x, sigmas, generator):
    options = {"step_size": 0.1 * sigmas[-1] ** 2, "n_steps": 3, "sigma": sigmas[-1], "generator": generator}
    return sbgm.metropolis_langevin(score, x, log_prob=log_prob(score), **options)


def inpaint(score, x, sigmas, generator):
    mask = torch.arange(x[0].numel(), device=x.device).reshape(x.shape[1:]) % 2 == 0
    options = {"image": x, "mask": mask, "step_size": 0.1 * sigmas[-1] ** 2, "n_steps": 2}
    return sbgm.inpaint(score, x, sigmas, generator=generator, **options)


def by_name(name: str) -> Run:
    return lambda score, x, sigmas, generator: named(name, sigmas)(score, x, generator)


AT_ONE_LEVEL: dict[str, Run] = {"langevin": langevin, "metropolis": metropolis}
RUNS = AT_ONE_LEVEL | {"inpaint": inpaint} | {name: by_name(name) for name in SAMPLERS}
OF_LIBRARY = {  # the function of `sbgm.samplers` that a run is of
    "langevin": "langevin",
    "metropolis": "metropolis_langevin",
    "inpaint": "inpaint",
    "annealed": "annealed_langevin",
    "ancestral": "ancestral",
    "euler": "probability_flow",
    "heun": "probability_flow",
    "multistep": "probability_flow",
}


@st.composite
def problems(draw, dtypes=FLOAT64):
    """A score, starting points, and a ladder of two levels or more."""
    x = draw(batches(dtypes=dtypes, max_size=3))
    return draw(scores(tuple(x.shape[1:]))), x, torch.as_tensor(draw(ladders(2, 4))).tolist()
