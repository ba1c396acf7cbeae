"""The fills that I8 judges: test images inpainted behind masks, drawn once and kept, and what is measured of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sbgm import claims, masks
from sbgm._validate import check_count, check_positive
from sbgm.experiments.classifier import load_classifier
from sbgm.experiments.recorded.samples import CPU, Machine, kept_batches
from sbgm.generation import uniform_start
from sbgm.metrics import shown
from sbgm.noise import derived_generator, randn_like
from sbgm.precision import autocast
from sbgm.samplers import final, inpaint
from sbgm.weights import weights_file


@dataclasses.dataclass(frozen=True)
class Inpainting:
    """Fills of the first test images by Algorithm 2 from uniform noise, at the paper's settings unless told otherwise.

    Attributes:
        network: the name of a shipped network, or a file of weights.
        n_images: how many images, two or more; each is occluded by every mask of `masks.KINDS`.
        n_fills: of each image behind each mask.
        n_steps: T, steps a level.
        step_size: ε.
        precision: of the network's layers, see `sbgm.precision`.
        seed: of all of it.
    """

    network: str = "mnist_ncsn"
    n_images: int = 20
    n_fills: int = 20
    n_steps: int = 100
    step_size: float = 2e-5
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_images", "n_fills", "n_steps"):
            check_count(getattr(self, name), name)
        check_positive(self.step_size, "step_size")
        if self.n_images < 2:
            raise ValueError(f"n_images must be at least 2, since images are compared with others, got {self.n_images}")

    @property
    def key(self) -> str:
        """Names the fills by all that they depend on, the hash of the weights included, but not how many images."""
        file = weights_file(self.network)
        return (
            f"{file.stem}-{claims.file_hash(file)[:12]}-T{self.n_steps}-eps{self.step_size:g}-fills{self.n_fills}"
            f"-{self.precision}-seed{self.seed}"
        )

    def masks(self, shape: tuple[int, ...]) -> Tensor:
        """One mask of each kind, (M, 1, H, W), the random one drawn from the seed."""
        generator = derived_generator(self.seed)
        return torch.stack([masks.make_mask(kind, shape, generator=generator) for kind in masks.KINDS])


def draw_fills(
    network: nn.Module, images: Tensor, settings: Inpainting, folder: Path, machine: Machine = CPU
) -> tuple[Tensor, Tensor]:
    """The fills of each image behind each mask, from `folder` as far as they are there, and the last level's y.

    All fills of an image are one batch and one file, written whole; image j draws from the generator of (seed, j). So
    more images go on with those already there, and the fills are the same however often they were interrupted.

    Args:
        network: the score, with its ladder in `sigmas`.
        images: (N, C, H, W) in [0, 1].
        settings: `settings.network` and `n_images` only name them.
        folder: of all such fills.
        machine: where and how the network runs.

    Returns:
        Fills as the sampler left them, and y of the last level, both (M, N, F, C, H, W) for M masks and F fills.
    """
    known = settings.masks(images.shape).repeat_interleave(settings.n_fills, dim=0).to(machine.device)
    score = autocast(machine.prepared(network), settings.precision, torch.device(machine.device).type)
    options = {"mask": known, "step_size": settings.step_size, "n_steps": settings.n_steps}

    def drawn(j: int) -> dict[str, Tensor]:
        image, generator = images[j].to(machine.device), derived_generator(settings.seed, j)
        x = uniform_start((len(known), *image.shape), generator).to(machine.device)
        states = inpaint(score, x, network.sigmas, image=image, generator=generator, **options)
        n_states = len(network.sigmas) * settings.n_steps
        fills = final(tqdm(states, f"image {j + 1} of {len(images)}", n_states, unit="step"))
        y = last_y(image, x, network.sigmas.tolist(), settings.n_steps, derived_generator(settings.seed, j))
        return {"fills": fills.cpu(), "y": y.cpu()}

    parts = list(kept_batches(Path(folder) / settings.key, len(images), drawn))
    by_mask = (torch.stack([p[name] for p in parts]).unflatten(1, (-1, settings.n_fills)) for name in ("fills", "y"))
    fills, ys = (value.transpose(0, 1) for value in by_mask)
    return fills, ys


def last_y(image: Tensor, x: Tensor, sigmas: Sequence[float], n_steps: int, generator: torch.Generator) -> Tensor:
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


@torch.no_grad()
def measure_fills(
    fills: Tensor,
    ys: Tensor,
    images: Tensor,
    labels: Tensor,
    hidden: Tensor,
    *,
    classifier: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """What I8 is judged by, fill by fill; M masks, N images, F fills.

    Args:
        fills: (M, N, F, C, H, W), as the sampler left them.
        ys: the last level's y, alike.
        images: (N, C, H, W), the truth.
        labels: (N,) its classes.
        hidden: (M, 1, H, W) the masks, True where a pixel is known.
        classifier: (B, C, H, W) in [0, 1] -> logits; None is the one that ships.

    Returns:
        "changed" (M, N, F), known pixels that are not y; "known_miss" (M, N, F), the root mean squared distance of the
        known pixels to the image; "spread" (M, N), the fills' standard deviation in an unknown pixel, root mean square
        over pixels; "kept" (M, N, F), whether the classifier gives a fill the image's class; "miss" (M, N, F), the root
        mean squared distance of the unknown pixels to the truth; "others" (M, N, N − 1), that of every other image's.
    """
    classifier = load_classifier() if classifier is None else classifier
    known = hidden[:, None, None].expand(fills.shape[0], 1, 1, *images.shape[1:]).to(fills.dtype)
    classes = torch.stack([classifier(shown(part.flatten(0, 1))).argmax(dim=1) for part in fills])
    truth = images[:, None]
    apart = images[None] - images[:, None]  # (N, N, C, H, W)
    others = _distance(apart, 1 - known[:, :, 0][:, :, None])  # (M, N, N)
    is_other = ~torch.eye(len(images), dtype=torch.bool)
    return {
        "changed": ((fills != ys) & (known == 1)).flatten(3).sum(dim=3),
        "known_miss": _distance(fills - truth, known),
        "spread": _distance(fills.var(dim=2).sqrt(), 1 - known[:, :, 0]),
        "kept": classes.reshape(fills.shape[:3]) == labels[:, None],
        "miss": _distance(fills - truth, 1 - known),
        "others": others[:, is_other].reshape(len(hidden), len(images), -1),
    }


def _distance(difference: Tensor, where: Tensor) -> Tensor:
    """The root mean square of a difference (…, C, H, W) over the pixels where a 0–1 weight of such a shape is 1."""
    where = where.expand(*where.shape[:-3], *difference.shape[-3:])
    return ((difference.square() * where).sum(dim=(-3, -2, -1)) / where.sum(dim=(-3, -2, -1))).sqrt()
