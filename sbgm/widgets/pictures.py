"""Sliders on images: noise and a guess behind it, annealing, and inpainting."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ipywidgets
import torch
from torch import Tensor

from sbgm import plots
from sbgm.guard import Ladder, Score, as_list, require_batch
from sbgm.measure import psnr
from sbgm.noise import randn_like
from sbgm.samplers import State
from sbgm.widgets.base import FigureExplorer, moving_images, own, panels, selection

SIGMAS = [10 ** (tenths / 10) for tenths in range(-30, 1)]  # 0.001 … 1


def image_noise_explorer(
    images: Tensor,
    score: Score | None = None,
    *,
    sigmas: Ladder | None = None,
    seed: int = 0,
    drawn_by: Sequence[Callable[..., Any]] = (),
) -> FigureExplorer:
    """Sliders for σ and for the image, clean and as x̃ = x + σz; with a score also the guess x̃ + σ² s(x̃, σ).

    An image has the same z at every σ, so that moving σ changes nothing else. The readout gives the PSNR, before values
    are clamped to [0, 1] for showing: of x̃ about −20 log₁₀ σ dB, whatever the image. With a score it gives the PSNR of
    the guess, too, and ‖s‖ beside √D/σ, the length that the score has where noise is all that counts.

    Args:
        images: (N, C, H, W) in [0, 1], N ≥ 2, grey or colour.
        score: s(x, sigma), such as a network of your own.
        sigmas: the slider goes down this ladder σ_1 > … > σ_L, from its begin; unless told otherwise from 0.001 to 1.
        seed: the seed of the noise z.
        drawn_by: your own functions behind the score; the title names those that a check has refused.

    Raises:
        ValueError: there are fewer than two images, or they are neither grey nor in colour.
    """
    if require_batch(images, "images").ndim != 4 or len(images) < 2 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must be two or more, (N, C, H, W) with C = 1 or 3, got shape {tuple(images.shape)}")
    images = images.detach().cpu()
    z = randn_like(images, torch.Generator().manual_seed(seed))
    titles = ["clean, $x$", r"noisy, $\tilde x = x + \sigma z$"]
    if score is not None:
        titles.append(rf"guess, $\tilde x + \sigma^2 s(\tilde x, \sigma)${plots.refused(score, *drawn_by)}")
        score = own(score)
    levels = SIGMAS if sigmas is None else as_list(sigmas)
    first = 0.01 if sigmas is None else levels[0]
    figure, axes = panels(2.7 * len(titles), 3.0, *[1.0 for _ in titles])
    show = moving_images(axes, titles, images[:1], 1)

    def update(sigma: float, image: int) -> str:
        x = images[image, None]
        noisy = x + sigma * z[image, None]
        text = f"σ = {sigma:.3g}, variance {sigma**2:.2g}: PSNR {psnr(noisy, x):.1f} dB"
        if score is None:
            show(x, noisy)
            return text
        s = score(noisy, sigma)
        guess = noisy + sigma**2 * s
        show(x, noisy, guess)
        length = math.sqrt(s.numel()) / sigma
        return f"{text}, of the guess {psnr(guess, x):.1f} dB; ‖s‖ = {float(s.norm()):.3g}, √D/σ = {length:.3g}"

    controls = {"sigma": selection("σ", levels, first, ".3g"), "image": selection("image", range(len(images)), 0)}
    return FigureExplorer(figure, update, controls, alt="An image, the same image with noise of std σ, and any guess")


# --- annealing and inpainting ----------------------------------------------------------------------------------------

N_SHOWN = 16


class Film(NamedTuple):
    """A run of S stored states, to be looked at state by state.

    Attributes:
        sheets: images of each state, one (S, N, C, H, W) for each panel; the last has the most images.
        curves: two of (S,) by label.
        texts: S readouts.
    """

    sheets: Sequence[Tensor]
    curves: Mapping[str, Tensor]
    texts: Sequence[str]


def film_explorer(
    films: Mapping[str, Film], titles: Sequence[str], steps: range, first: int, *, title: str, alt: str
) -> FigureExplorer:
    """A slider over a film's states, at first at step `first`, and buttons for the film where there are several.

    Args:
        films: by the names on the buttons; all of one shape.
        titles: of the panels of images.
        steps: the number of each state.
        first: the state at which the slider begins.
        title: the title of the curves' axes.
        alt: what the figure shows, for readers who cannot see it.
    """
    name, film = next(iter(films.items()))
    blank = film.sheets[-1][0]
    figure, (*axes, right) = panels(9.6, 3.1, *[1.0 for _ in titles], 1.35)
    show = moving_images(axes, titles, blank, n_columns=math.ceil(len(blank) ** 0.5))
    right.set_prop_cycle(color=[plots.COLOURS.moving, plots.COLOURS.score], linestyle=["-", "--"])
    curves = [right.plot(steps, values, label=label, animated=True)[0] for label, values in film.curves.items()]
    here = right.axvline(first, color=plots.COLOURS.noise, lw=1, animated=True)
    drawn = torch.cat([values for film in films.values() for values in film.curves.values()])
    right.set(xlabel="step", title=title)
    right.set_yscale("log", nonpositive="mask")  # at its end a pixel is at no distance from it
    right.set_ylim(float(drawn[drawn > 0].min()) / 1.5, float(drawn.max()) * 1.5)
    right.legend(fontsize=8)

    def update(step: int, mask: str = name) -> str:
        film = films[mask]
        state = step - steps[0]
        show(*[sheet[state] for sheet in film.sheets])
        for curve, values in zip(curves, film.curves.values(), strict=True):
            curve.set_ydata(values)
        here.set_xdata([step, step])
        return film.texts[state]

    controls: dict[str, Any] = {"step": selection("step", steps, first, width="600px")}
    if len(films) > 1:
        controls["mask"] = ipywidgets.ToggleButtons(options=list(films), description="mask")
    return FigureExplorer(figure, update, controls, alt=alt)


class Trajectory(NamedTuple):
    """The states of chains at which the score was asked for, and the last ones: S = L·T + 1 of them.

    Attributes:
        x: (S, B, *shape) on the CPU.
        denoised: (S, B, *shape), x + σ² s(x, σ), from the same scores.
        sigmas: the σ of each state's score; a level's first state is where the level before ended.
        levels: its number, from 1.
        steps: how many steps of the level were made before it, from 0.
    """

    x: Tensor
    denoised: Tensor
    sigmas: list[float]
    levels: list[int]
    steps: list[int]


def image_annealing_explorer(trajectory: Trajectory, *, drawn_by: Sequence[Callable[..., Any]] = ()) -> FigureExplorer:
    """A slider for the step of Algorithm 1 over the chains x and the network's guesses at clean images in them.

    The states are stored, drawn by whose step you like; the slider looks them up. The third panel follows, from the
    start to the end, the root mean squared distance of a pixel from its last value, of the states and of the guesses
    x + σ² s(x, σ). The readout gives the level, its σ and both distances.

    Args:
        trajectory: of images (S, B, C, H, W); the first 16 are shown.
        drawn_by: your own functions behind it; the title names those that a check has refused.

    Raises:
        ValueError: the states are no grey or colour images.
    """
    x, denoised, sigmas, levels, steps = trajectory
    if x.ndim != 5 or x.shape[2] not in (1, 3):
        raise ValueError(f"trajectory must be of images (S, B, C, H, W) with C = 1 or 3, got shape {tuple(x.shape)}")
    curves = {"guess": _rms(denoised - denoised[-1]), "chains": _rms(x - x[-1])}
    texts = [
        f"level {level} of {levels[-1]}, σ = {sigma:.2g}: a pixel is {chain:.2g} from its end, its guess {guess:.2g}"
        for level, sigma, guess, chain in zip(levels, sigmas, *curves.values(), strict=True)
    ]
    film = Film([x[:, :N_SHOWN], denoised[:, :N_SHOWN]], curves, texts)
    return film_explorer(
        {"": film},
        (f"the chains, $x${plots.refused(*drawn_by)}", r"the network's guess, $x + \sigma^2 s(x, \sigma)$"),
        range(len(x)),
        min(2 * steps[-1] - 1, len(x) - 1),
        title="RMS distance of a pixel from its end",
        alt="Chains of annealed Langevin dynamics, and the images a network sees in them",
    )


def inpainting_explorer(
    image: Tensor,
    masks: Mapping[str, Tensor],
    runs: Mapping[str, Sequence[State]],
    *,
    drawn_by: Sequence[Callable[..., Any]] = (),
) -> FigureExplorer:
    """Sliders for Algorithm 2's step and the mask over the image, its noisy known pixels y and several fills.

    Nothing is sampled here; the sliders look the stored states up. The readout gives the level, the root mean
    squared distance of the known pixels to the image, about σ, and the fills' standard deviation in an unknown pixel
    (root mean square over pixels).

    Args:
        image: (C, H, W) in [0, 1], what the fills are of.
        masks: by name, boolean, True where a pixel is known, of a shape that broadcasts to the image's.
        runs: by the masks' names, the states of `inpaint` in order; their x is (F, C, H, W), F ≥ 2 fills.
        drawn_by: your own functions behind them; the title names those that a check has refused.

    Raises:
        ValueError: the runs are not of the same number of states with the same number of fills.
    """
    shapes = {(len(states), *states[0].x.shape) for states in runs.values()}
    n_states, n_fills, *_ = min(shapes)
    if len(shapes) > 1 or n_fills < 2:
        raise ValueError(f"runs must hold equally many states of two or more fills, got shapes {sorted(shapes)}")
    return film_explorer(
        {name: _film_of_fills(image, masks[name].expand_as(image), states) for name, states in runs.items()},
        ("the image, $x$", r"known now, $y = x + \sigma z$", f"the fills{plots.refused(*drawn_by)}"),
        range(1, n_states + 1),
        n_states,
        title="how far apart",
        alt="An image, its noisy known pixels, and several fills",
    )


def _film_of_fills(image: Tensor, mask: Tensor, states: Sequence[State]) -> Film:
    """The film of one run; image and mask (C, H, W)."""
    x = torch.stack([state.x for state in states])
    spread = _rms(x[:, :, ~mask].std(dim=1))
    miss = _rms((x - image)[:, :, mask])
    texts = [
        f"level {state.level} of {states[-1].level}, σ = {state.sigma:.2g}: "
        f"known pixels off by {off:.2g}, fills apart by {apart:.2g} in the unknown"
        for state, off, apart in zip(states, miss, spread, strict=True)
    ]
    sheets = [image.expand(len(x), 1, -1, -1, -1), torch.where(mask, x[:, :1], 0.5), x]
    return Film(sheets, {"fills, unknown": spread, "known off by": miss}, texts)


def _rms(values: Tensor) -> Tensor:
    """The root mean square √E v² of each row: (S, …) -> (S,)."""
    return values.flatten(1).square().mean(dim=1).sqrt()
