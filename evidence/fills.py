"""Fills of images behind masks by Algorithm 2, and what they are judged by that needs no classifier."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from controls import seam
from errors import bootstrap
from samples import CPU, Drawing, Machine
from sbgm.images.drawing import uniform_start
from sbgm.measure import Estimate
from sbgm.noise import derived_generator, randn_like
from sbgm.samplers import State, inpaint


def draw_fills(
    drawing: Drawing, images: Tensor, known: Tensor, folder: Path, machine: Machine = CPU, *, n_fills: int
) -> tuple[Tensor, Tensor]:
    """The fills of each image behind its masks by Algorithm 2, from `folder` as far as they are there, and the last y.

    All fills of an image are one batch; image j draws from the generator of (seed, j).

    Args:
        drawing: the network and the settings.
        images: (N, C, H, W) in [0, 1].
        known: (M, N, 1, H, W) bool, True where a pixel is known.
        folder: of all such fills, of these images and masks.
        machine: where and how the network runs.
        n_fills: F, of each image behind each mask.

    Returns:
        Fills as the sampler left them, and y of the last level, both (M, N, F, C, H, W).
    """
    network, score = drawing.on(machine)
    settings = drawing.facts("step_size", "n_steps")
    sigmas = network.sigmas.tolist()
    shape = (len(images), len(known), n_fills)
    side = len(known) * n_fills
    image_of_each = images.repeat_interleave(side, dim=0)
    known_of_each = known.transpose(0, 1).flatten(0, 1).repeat_interleave(n_fills, dim=0)

    def chains(x: Tensor, generator: torch.Generator, given: Tensor) -> Iterable[State]:
        image = given[:, :-1]
        mask = given[:, -1:] == 1
        states = inpaint(score, x, sigmas, image=image, mask=mask, generator=generator, **settings)
        return tqdm(states, "fills of an image", len(sigmas) * drawing.n_steps, unit="step")

    of_each = dataclasses.replace(drawing, n_samples=len(image_of_each), batch_size=side)
    fills = of_each.run(chains, network, folder, of="fills", given=torch.cat([image_of_each, known_of_each], dim=1))
    ys = []
    for j, x in enumerate(image_of_each.to(machine.device).split(side)):
        generator = derived_generator(drawing.seed, j, device=machine.device)
        ys.append(last_y(x[0], x, sigmas, drawing.n_steps, generator).cpu())
    return fills.unflatten(0, shape).transpose(0, 1), torch.cat(ys).unflatten(0, shape).transpose(0, 1)


def last_y(image: Tensor, x: Tensor, sigmas: list[float], n_steps: int, generator: torch.Generator) -> Tensor:
    """y of the last level, by drawing all noise of a batch of `draw_fills` once more, without the network.

    Args:
        image: (C, H, W).
        x: (B, C, H, W), like the chains.
        sigmas: the ladder.
        n_steps: T; every level draws its y, then the noise of T steps.
        generator: as the batch's was before the start was drawn.
    """
    uniform_start(tuple(x.shape), generator)
    for _ in range((len(sigmas) - 1) * (1 + n_steps)):
        randn_like(x, generator)
    return image + sigmas[-1] * randn_like(x, generator)


def over_fills(number: Tensor, n_fills: int) -> Tensor:
    """The mean of each image's fills, from one number for each fill: (N F,) -> (N,) float64."""
    return number.double().reshape(-1, n_fills).mean(dim=1)


def beside_truth(fills: Tensor, images: Tensor, known: Tensor) -> dict[str, Tensor]:
    """Two numbers of each image, the means of those of its fills (N, F, C, H, W): (N,) each.

    The "seam", see `controls.seam`; and the "miss", the root mean square of the differences from the truth in the
    unknown pixels.
    """
    n_fills = fills.shape[1]
    x = fills.flatten(0, 1)
    mask, truth = (v.repeat_interleave(n_fills, dim=0) for v in (known, images))
    squares = (x - truth).square() * ~mask
    n_pixels = (~mask).sum(dim=(1, 2, 3)) * x.shape[1]
    miss = (squares.sum(dim=(1, 2, 3)) / n_pixels).sqrt()
    return {"seam": over_fills(seam(x, mask), n_fills), "miss": over_fills(miss, n_fills)}


def kept_and_spread(fills: Tensor, ys: Tensor, images: Tensor, known: Tensor) -> dict[str, Tensor]:
    """Of each image, how many known pixels changed, how far off these are, and how much its fills differ: (N,) each.

    Args:
        fills, ys: (N, F, C, H, W), see `draw_fills`.
        images, known: (N, C, H, W) the truth, and (N, 1, H, W) bool.
    """
    mask = known[:, None].expand_as(fills)
    miss = fills - images[:, None]
    spread = fills.var(dim=1) * ~known
    hidden = (~known).expand_as(images)
    return {
        "changed": ((fills != ys) & mask).flatten(1).sum(dim=1),
        "known, mean square": (miss.square() * mask).flatten(1).sum(dim=1) / mask.flatten(1).sum(dim=1),
        "unknown, variance over fills": spread.flatten(1).sum(dim=1) / hidden.flatten(1).sum(dim=1),
    }


def seam_place(numbers: dict[str, Tensor], generator: torch.Generator) -> Estimate:
    """Where the seam of fills lies from the truth's, 0, to that of retrieved parts, 1; ± by a bootstrap over images."""
    of_truth, of_parts, of_fills = (numbers[f"{who}, seam"] for who in ("truth", "retrieved parts", "fills"))
    return _ratio_of_means(of_fills - of_truth, of_parts - of_truth, generator)


def over_retrieved(numbers: dict[str, Tensor], generator: torch.Generator) -> Estimate:
    """The distance of fills to the truth over that of retrieved parts, on the same images; ± as in `seam_place`."""
    return _ratio_of_means(numbers["fills, miss"], numbers["retrieved parts, miss"], generator)


def _ratio_of_means(a: Tensor, b: Tensor, generator: torch.Generator) -> Estimate:
    """The mean of a (N,) over that of b (N,), and its error over the N images."""
    return bootstrap(lambda i: float(a[i].mean() / b[i].mean()), len(a), generator=generator)
