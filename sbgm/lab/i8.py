"""I8, Fig. 6: test images inpainted behind masks of three shapes, and how the fills compare with the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sbgm import masks
from sbgm.checked import check_count, check_positive
from sbgm.data import load_images, load_labels
from sbgm.generation import uniform_start
from sbgm.lab import claims
from sbgm.lab.claims import check
from sbgm.lab.drawing import CPU, Machine, kept_batches
from sbgm.lab.recording import command, enter
from sbgm.measure import estimate, quantise, shown
from sbgm.measure.classifier import SHIPPED_CLASSIFIER, load_classifier
from sbgm.noise import derived_generator, randn_like
from sbgm.precision import autocast
from sbgm.samplers import final, inpaint
from sbgm.weights import load_network, weights_file


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


DATA = "mnist_small"
LEAST_KEPT = {"right-half": 0.70, "random": 0.95}  # of the class; nothing is expected of the centre box
N_SHEET_IMAGES, N_SHEET_FILLS = 10, 6


def measure_i8(
    folder: Path,
    n_images: int = 20,
    n_steps: int = 100,
    step_size: float = 2e-5,
    weights: str = "mnist_ncsn",
    machine: Machine = CPU,
) -> claims.Settled:
    """Measure I8: inpaint the first test digits, and compare the fills with what was hidden.

    The fills of each image are kept in `folder`; a run that was stopped goes on with the next image. The record,
    I8.json, and what it rests on, I8.safetensors, are written to `claims.results_folder()` only if all that was
    expected holds.

    Args:
        folder: where the fills are kept.
        n_images: fewer make a quicker record; 20 take some 3½ hours of one quiet core.
        n_steps: T; the time is proportional to it.
        step_size: ε; with 5e-5, 40 steps go as far as the paper's 100 with 2e-5.
        weights: another network than the shipped one, by name or file.
        machine: where and how it runs.

    Returns:
        The record.

    Raises:
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    settings = Inpainting(weights, n_images=n_images, n_steps=n_steps, step_size=step_size)
    images, labels = (load(DATA, "test")[:n_images] for load in (load_images, load_labels))
    network = load_network(weights)
    fills, ys = draw_fills(network, images, settings, folder, machine)
    hidden = settings.masks(images.shape)
    measured = measure_fills(fills, ys, images, labels, hidden)
    sigma_min = round(float(network.sigmas[-1]), 6)  # a float32 of .01
    sheet = {"images": images[:N_SHEET_IMAGES], "fills": fills[:, :N_SHEET_IMAGES, :N_SHEET_FILLS]}
    return enter(
        "I8",
        i8_checks(measured, sigma_min=sigma_min),
        {"masks": hidden, **measured, **{name: quantise(pictures) for name, pictures in sheet.items()}},
        data=f"{weights_file(weights).stem}; the first {n_images} test images of {DATA}, uncurated",
        note=f"{settings.n_fills} fills of each image behind each mask; standard errors are over images.",
        networks=[weights, SHIPPED_CLASSIFIER],
        command=command("I8", n_images=n_images, n_steps=n_steps, step_size=step_size, weights=weights),
        facts={
            **{name: getattr(settings, name) for name in ("n_images", "n_fills", "n_steps", "step_size")},
            **{"sigma_min": sigma_min, "precision": settings.precision, "seed": settings.seed},
        },
    )


def i8_checks(measured: dict[str, Tensor], *, sigma_min: float, least_fills: int = 20) -> list[claims.Check]:
    """What I8 expects of `measure_fills`; what is only reported has no interval.

    Args:
        measured: of two images or more.
        sigma_min: σ_L.
        least_fills: of each image behind each mask.
    """
    n_fills = measured["kept"].shape[2]
    checks = [
        check("fills of an image behind a mask", n_fills, low=least_fills),
        check("known pixels that are not the last y", int(measured["changed"].sum()), high=0),
    ]
    for i, kind in enumerate(masks.KINDS):
        kept = estimate(measured["kept"][i].double().mean(dim=1))
        least = {"low": LEAST_KEPT[kind]} if kind in LEAST_KEPT else {}
        checks.append(check(f"{kind}: class kept", kept.value, se=kept.se, **least))
    for i, kind in enumerate(masks.KINDS):
        known_miss = float(measured["known_miss"][i].double().square().mean().sqrt())
        checks.append(
            check(f"{kind}: known pixels off by, RMS", known_miss, low=0.98 * sigma_min, high=1.02 * sigma_min)
        )
    for i, kind in enumerate(masks.KINDS):
        spread = float(measured["spread"][i].double().square().mean().sqrt())
        checks.append(check(f"{kind}: sd of unknown pixels over fills", spread, low=3 * sigma_min))
    for i, kind in enumerate(masks.KINDS):
        ratio = estimate(measured["miss"][i].mean(dim=1) / measured["others"][i].mean(dim=1))
        checks.append(check(f"{kind}: distance to the truth, over another image's", ratio.value, se=ratio.se, high=1))
    return checks
