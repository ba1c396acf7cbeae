"""I8, Fig. 6: test images inpainted behind masks of three shapes, and how the fills compare with the truth."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from tqdm import tqdm

from claims import Found, Measurement, claim, claims, declared, reported
from drawing import CPU, Chains, Machine
from sbgm import masks
from sbgm.checked import Count, checked, count_from
from sbgm.data import load_images, load_labels
from sbgm.files import file_hash
from sbgm.generation import draw_batches, uniform_start
from sbgm.measure import estimate, quantise, shown
from sbgm.measure.classifier import SHIPPED_CLASSIFIER, load_classifier
from sbgm.noise import derived_generator, randn_like
from sbgm.samplers import final, inpaint
from sbgm.weights import load_network, weights_file

__all__ = [
    "Inpainting",
    "draw_fills",
    "i8_measurements",
    "last_y",
    "measure",
    "measure_fills",
]


def _several(n_images: int, name: str) -> None:
    count_from(1)(n_images, name)
    if n_images < 2:
        raise ValueError(f"{name} must be at least 2, since images are compared with others, got {n_images}")


@checked
@dataclasses.dataclass(frozen=True)
class Inpainting(Chains):
    """Fills of the first test images by Algorithm 2 from uniform noise, at the paper's settings unless told otherwise.

    Attributes:
        n_images: how many images, two or more; each is occluded by every mask of `masks.KINDS`.
        n_fills: of each image behind each mask.
        network, n_steps, step_size, precision, seed: as for `Chains`.
    """

    network: str = "mnist_ncsn"
    _: KW_ONLY
    n_images: Annotated[int, _several] = 20
    n_fills: Count = 20

    @property
    def key(self) -> str:
        """The name of the fills, see `named`."""
        return self.named(f"fills{self.n_fills}")

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
        folder: of all such fills, of these images.
        machine: where and how the network runs.

    Returns:
        Fills as the sampler left them, and y of the last level, both (M, N, F, C, H, W) for M masks and F fills.
    """
    known = settings.masks(images.shape).repeat_interleave(settings.n_fills, dim=0).to(machine.device)
    score, sigmas = machine.score(machine.prepared(network), settings.precision), network.sigmas
    options = {"mask": known, "step_size": settings.step_size, "n_steps": settings.n_steps}

    def fill(indices: range, generator: torch.Generator) -> dict[str, Tensor]:
        (j,) = indices
        image = images[j].to(machine.device)
        x = uniform_start((len(known), *image.shape), generator).to(machine.device)
        states = inpaint(score, x, sigmas, image=image, generator=generator, **options)
        title, n_states = f"image {j + 1} of {len(images)}", len(sigmas) * settings.n_steps
        fills = final(tqdm(states, title, n_states, unit="step"))
        again = derived_generator(settings.seed, j, device=machine.device)
        y = last_y(image, x, sigmas.tolist(), settings.n_steps, again)
        return {"fills": fills.cpu(), "y": y.cpu()}

    sizes = {"seed": settings.seed, "batch_size": 1, "folder": Path(folder) / settings.key, "device": machine.device}
    parts = list(draw_batches(fill, len(images), **sizes))
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
    hidden: Tensor,
    *,
    labels: Tensor | None = None,
    classifier: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """Measure what I8 is judged by, fill by fill; M masks, N images, F fills.

    Args:
        fills: (M, N, F, C, H, W), as the sampler left them.
        ys: the last level's y, alike.
        images: (N, C, H, W), the truth.
        hidden: (M, 1, H, W) the masks, True where a pixel is known.
        labels: (N,) the truth's classes, if it has any.
        classifier: (B, C, H, W) in [0, 1] -> logits; None is the one that ships.

    Returns:
        "changed" (M, N, F), known pixels that are not y; "known_miss" (M, N, F), the root mean squared distance of the
        known pixels to the image; "spread" (M, N), the fills' standard deviation in an unknown pixel, root mean square
        over pixels; "miss" (M, N, F), the root mean squared distance of the unknown pixels to the truth; "others"
        (M, N, N − 1), that of every other image's; with labels "kept" (M, N, F), whether the classifier gives a fill
        the image's class.
    """
    known = hidden[:, None, None].expand(fills.shape[0], 1, 1, *images.shape[1:]).to(fills.dtype)
    truth = images[:, None]
    apart = images[None] - images[:, None]  # (N, N, C, H, W)
    others = _distance(apart, 1 - known[:, :, 0][:, :, None])  # (M, N, N)
    is_other = ~torch.eye(len(images), dtype=torch.bool)
    measured = {
        "changed": ((fills != ys) & (known == 1)).flatten(3).sum(dim=3),
        "known_miss": _distance(fills - truth, known),
        "spread": _distance(fills.var(dim=2).sqrt(), 1 - known[:, :, 0]),
        "miss": _distance(fills - truth, 1 - known),
        "others": others[:, is_other].reshape(len(hidden), len(images), -1),
    }
    if labels is not None:
        classifier = load_classifier() if classifier is None else classifier
        classes = torch.stack([classifier(shown(part.flatten(0, 1))).argmax(dim=1) for part in fills])
        measured["kept"] = classes.reshape(fills.shape[:3]) == labels[:, None]
    return measured


def _distance(difference: Tensor, where: Tensor) -> Tensor:
    """The root mean square of a difference (…, C, H, W) over the pixels where a 0–1 weight of such a shape is 1."""
    where = where.expand(*where.shape[:-3], *difference.shape[-3:])
    return ((difference.square() * where).sum(dim=(-3, -2, -1)) / where.sum(dim=(-3, -2, -1))).sqrt()


DATA = "mnist_small"
FACES = "faces, "  # what the names of their numbers begin with
N_SHEET_IMAGES, N_SHEET_FILLS = 10, 6


@claim("I8")
def measure(
    folder: Path,
    n_images: int = 20,
    n_steps: int = 100,
    step_size: float = 2e-5,
    weights: str = "mnist_ncsn",
    faces: str | None = None,
    machine: Machine = CPU,
) -> Found:
    """Measure I8: inpaint the first test digits, and test faces, and compare the fills with what was hidden.

    The fills of each image are kept in `folder`; a run that was stopped goes on with the next image.

    Args:
        n_images: test images; 20 digits take some 2½ hours of one quiet core
        n_steps: T, Langevin steps a level; the time is proportional to it
        step_size: ε; with 5e-5, 40 steps go as far as the paper's 100 with 2e-5
        weights: another network than the shipped one, by name or file
        faces: a network on CelebA, a file, that fills in as many test faces; the record has their numbers, no picture
    """
    settings = Inpainting(weights, n_images=n_images, n_steps=n_steps, step_size=step_size)
    images, labels = (load(DATA, "test")[:n_images] for load in (load_images, load_labels))
    if faces is not None:  # what is missing is told before hours of digits
        photographs, channels = _faces(faces, n_images)
    fills, measured, found = _filled(settings, images, folder, machine, labels=labels)
    sheet = {"images": images[:N_SHEET_IMAGES], "fills": fills[:, :N_SHEET_IMAGES, :N_SHEET_FILLS]}
    tensors = measured | {name: quantise(pictures) for name, pictures in sheet.items()}
    data, narrower = f"{weights_file(weights).stem}; the first {n_images} test images of {DATA}", "MNIST"
    facts = {
        "n_fills": settings.n_fills,
        "sigma_min": round(float(load_network(weights).sigmas[-1]), 6),  # a float32 of .01 is .01
        **settings.facts("precision", "seed"),
    }
    if faces is not None:
        of_faces = dataclasses.replace(settings, network=faces)
        _, measured, more = _filled(of_faces, photographs, folder, machine, of=FACES)
        tensors |= {f"{FACES}{name}": value for name, value in measured.items()}
        found += more
        data, narrower = f"{data}; as many of CelebA", f"MNIST, and CelebA at C = {channels}"
        facts["network of faces"] = file_hash(weights_file(faces))
    return Found(
        found,
        tensors,
        data=f"{data}, uncurated",
        note=f"{settings.n_fills} fills of each image behind each mask; standard errors are over images.",
        narrower=f"{narrower}, where Fig. 6 has CelebA and CIFAR-10",
        networks=[weights, SHIPPED_CLASSIFIER],
        facts=facts,
    )


def _faces(weights: str, n: int) -> tuple[Tensor, int]:
    """The first test faces, if the network is on such images, and its width C."""
    faces, network = load_images("celeba", "test")[:n], load_network(weights)
    wanted, shape = tuple(faces.shape[1:]), tuple(network.image_shape)
    if shape != wanted:
        raise ValueError(f"faces must name a network on images of shape {wanted}, got {weights}, on {shape}")
    return faces, network.arguments["channels"]


def _filled(
    settings: Inpainting, images: Tensor, folder: Path, machine: Machine, *, labels: Tensor | None = None, of: str = ""
) -> tuple[Tensor, dict[str, Tensor], list[Measurement]]:
    """Fills of images, the masks and what is measured fill by fill, and the measurements that follow."""
    network, hidden = load_network(settings.network), settings.masks(images.shape)
    fills, ys = draw_fills(network, images, settings, folder, machine)
    measured = measure_fills(fills, ys, images, hidden, labels=labels)
    return fills, {"masks": hidden, **measured}, i8_measurements(measured, of=of)


def i8_measurements(measured: dict[str, Tensor], *, of: str = "") -> list[Measurement]:
    """The measurements of I8, from those of `measure_fills`; what is only reported has no interval.

    Args:
        measured: of two images or more.
        of: what each label begins with, such as `FACES`.
    """
    kinds = dict(enumerate(masks.KINDS))
    shares = measured.get("kept", ())
    kept = {kinds[i]: estimate(share.double().mean(dim=1)) for i, share in enumerate(shares)}
    known_miss, spread = (
        {kind: float(measured[name][i].double().square().mean().sqrt()) for i, kind in kinds.items()}
        for name in ("known_miss", "spread")
    )
    ratios = {
        kind: estimate(measured["miss"][i].mean(dim=1) / measured["others"][i].mean(dim=1)) for i, kind in kinds.items()
    }
    numbers = {
        "fills of an image behind a mask": measured["changed"].shape[2],
        "known pixels that are not the last y": int(measured["changed"].sum()),
        **{f"{kind}: class kept": share for kind, share in kept.items()},
        **{f"{kind}: known pixels off by, RMS": miss for kind, miss in known_miss.items()},
        **{f"{kind}: sd of unknown pixels over fills": sd for kind, sd in spread.items()},
        **{f"{kind}: distance to the truth, over another image's": ratio for kind, ratio in ratios.items()},
    }
    bounds = claims()["I8"].bounds
    return [declared("I8", of + k, x) if of + k in bounds else reported(of + k, x) for k, x in numbers.items()]


if __name__ == "__main__":
    sys.exit(measure.start())
