"""I8, Fig. 6: test images inpainted behind masks of three shapes, and how the fills compare with the truth."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from tqdm import tqdm

from claims import Found, Measurement, claim, claims, declared, reported
from drawing import CPU, Drawing, Load, Machine, draw_kept
from sbgm import masks
from sbgm.checked import Count, Positive, Score, checked, count_from
from sbgm.data import load_images, load_labels
from sbgm.files import file_hash
from sbgm.generation import uniform_start
from sbgm.measure import estimate, quantise, shown
from sbgm.measure.classifier import SHIPPED_CLASSIFIER, load_classifier
from sbgm.noise import derived_generator, randn_like
from sbgm.samplers import final, inpaint
from sbgm.weights import load_network, weights_file


def known_pixels(shape: tuple[int, ...], kinds: Sequence[str] = masks.KINDS, seed: int = 0) -> Tensor:
    """One mask of each kind, (M, 1, H, W), the random one drawn from the seed."""
    return torch.stack([masks.make_mask(kind, shape, generator=derived_generator(seed)) for kind in kinds])


def draw_fills(
    drawing: Drawing,
    images: Tensor,
    folder: Path,
    machine: Machine = CPU,
    *,
    n_fills: int = 20,
    kinds: Sequence[str] = masks.KINDS,
    load: Load | None = None,
) -> tuple[Tensor, Tensor]:
    """The fills of each image behind each mask by Algorithm 2, from `folder` as far as they are there, and the last y.

    All fills of an image are one batch and one file; image j draws from the generator of (seed, j). So more images go
    on with those already there, and the fills are the same however often they were interrupted.

    Args:
        drawing: the network and the settings.
        images: (N, C, H, W) in [0, 1].
        folder: of all such fills, of these images.
        machine: where and how the network runs.
        n_fills: F, of each image behind each mask.
        kinds: of the masks.
        load: the network of a name, with its ladder in `sigmas`.

    Returns:
        Fills as the sampler left them, and y of the last level, both (M, N, F, C, H, W) for M masks.
    """
    known = known_pixels(images.shape, kinds, drawing.seed).repeat_interleave(n_fills, dim=0).to(machine.device)
    settings = drawing.facts("step_size", "n_steps") | {"mask": known}

    def fill(network: nn.Module, score: Score, indices: range, generator: torch.Generator) -> dict[str, Tensor]:
        (j,), sigmas = indices, network.sigmas
        image = images[j].to(machine.device)
        x = uniform_start((len(known), *image.shape), generator).to(machine.device)
        states = inpaint(score, x, sigmas, image=image, generator=generator, **settings)
        fills = final(tqdm(states, f"image {j + 1} of {len(images)}", len(sigmas) * drawing.n_steps, unit="step"))
        again = derived_generator(drawing.seed, j, device=machine.device)
        return {"fills": fills, "y": last_y(image, x, sigmas.tolist(), drawing.n_steps, again)}

    name = "-".join([f"fills{n_fills}", *(kinds if kinds != masks.KINDS else ())])
    drawing = dataclasses.replace(drawing, n_samples=len(images), batch_size=1, kept=name)
    parts = draw_kept(drawing, fill, folder, machine, load)
    by_mask = (torch.stack([p[name] for p in parts]).unflatten(1, (-1, n_fills)) for name in ("fills", "y"))
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
@checked
def measure(
    folder: Path,
    n_images: Annotated[int, count_from(2)] = 20,
    n_steps: Count = 100,
    step_size: Positive = 2e-5,
    weights: str = "mnist_ncsn",
    faces: str | None = None,
    machine: Machine = CPU,
) -> Found:
    """Measure I8: inpaint the first test digits, and test faces, and compare the fills with what was hidden.

    The fills of each image are kept in `folder`; a run that was stopped goes on with the next image.

    Args:
        n_images: test images, two at least; 20 digits take some 2½ hours of one quiet core
        n_steps: T, Langevin steps a level; the time is proportional to it
        step_size: ε; with 5e-5, 40 steps go as far as the paper's 100 with 2e-5
        weights: another network than the shipped one, by name or file
        faces: a network on CelebA, a file, that fills in as many test faces; the record has their numbers, no picture
    """
    drawing = Drawing(weights, n_steps=n_steps, step_size=step_size)
    images, labels = (load(DATA, "test")[:n_images] for load in (load_images, load_labels))
    if faces is not None:  # what is missing is told before hours of digits
        photographs, channels = _faces(faces, n_images)
    hidden, (fills, ys) = known_pixels(images.shape), draw_fills(drawing, images, folder, machine)
    measured = {"masks": hidden, **measure_fills(fills, ys, images, hidden, labels=labels)}
    sheet = {"images": images[:N_SHEET_IMAGES], "fills": fills[:, :N_SHEET_IMAGES, :N_SHEET_FILLS]}
    found, tensors = i8_measurements(measured), measured | {name: quantise(x) for name, x in sheet.items()}
    data, narrower = f"{weights_file(weights).stem}; the first {n_images} test images of {DATA}", "MNIST"
    facts = {
        "n_fills": fills.shape[2],
        "sigma_min": round(float(load_network(weights).sigmas[-1]), 6),  # a float32 of .01 is .01
        **drawing.facts("precision", "seed"),
    }
    if faces is not None:
        hidden, of_faces = known_pixels(photographs.shape), dataclasses.replace(drawing, network=faces)
        fills, ys = draw_fills(of_faces, photographs, folder, machine)
        measured = {"masks": hidden, **measure_fills(fills, ys, photographs, hidden)}
        tensors |= {f"{FACES}{name}": value for name, value in measured.items()}
        found += i8_measurements(measured, of=FACES)
        data, narrower = f"{data}; as many of CelebA", f"MNIST, and CelebA at C = {channels}"
        facts["network of faces"] = file_hash(weights_file(faces))
    return Found(
        found,
        tensors,
        data=f"{data}, uncurated",
        note=f"{facts['n_fills']} fills of each image behind each mask; standard errors are over images.",
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
    measure.start()
