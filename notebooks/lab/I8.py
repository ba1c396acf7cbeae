"""I8, Fig. 6: test images inpainted behind masks of three shapes, and how the fills compare with the truth."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from claims import Found, Measurement, claims, declared, load_records, reported, run
from drawing import CPU, Drawing, Load, Machine, draw_kept
from sbgm.files import file_hash
from sbgm.guard import Count, Positive, Score, count_from
from sbgm.images import masks
from sbgm.images.data import load_images, load_labels
from sbgm.images.drawing import uniform_start
from sbgm.images.weights import load_network, weights_file
from sbgm.measure import Estimate, estimate, in_batches, quantise, records, shown
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier
from sbgm.noise import derived_generator, perturb, randn_like
from sbgm.samplers import final, inpaint


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
        (j,) = indices
        sigmas = network.sigmas
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
N_SHEET_IMAGES = 10
N_SHEET_FILLS = 6


def measure(
    folder: Path,
    n_images: Annotated[
        int,
        count_from(2),
        "test images, two at least, and five times as many behind the random mask; with 20 digits it takes some "
        "4 hours of one quiet core",
    ] = 20,
    n_steps: Annotated[Count, "T, Langevin steps a level; the time is proportional to it"] = 100,
    step_size: Annotated[Positive, "ε; with 5e-5, 40 steps go as far as the paper's 100 with 2e-5"] = 2e-5,
    weights: Annotated[str, "another network than the shipped one, by name or file"] = "mnist_ncsn",
    faces: Annotated[
        str | None,
        "a network on CelebA, a file, that fills in as many test faces; the record has their numbers, no picture. "
        "Without it, the numbers of faces are those of the record before",
    ] = None,
    machine: Machine = CPU,
) -> Found:
    """Measure I8: inpaint the first test digits, and test faces, and compare the fills with what was hidden.

    The fills of each image are kept in `folder`; a run that was stopped goes on with the next image.
    """
    drawing = Drawing(weights, n_steps=n_steps, step_size=step_size)
    of_faces = recorded_faces() if faces is None else measure_faces(faces, drawing, n_images, folder, machine)
    images, labels = (load(DATA, "test")[: max(TIMES.values()) * n_images] for load in (load_images, load_labels))
    first = images[:n_images]
    hidden = known_pixels(images.shape)
    fills, ys = draw_fills(drawing, first, folder, machine)
    measured = measure_fills(fills, ys, first, hidden, labels=labels[:n_images])
    sheet = {"images": first[:N_SHEET_IMAGES], "fills": fills[:, :N_SHEET_IMAGES, :N_SHEET_FILLS]}
    surely, tensors = measure_sure(drawing, images, labels, n_images, folder, machine)
    return Found(
        [*i8_measurements(measured), *of_faces.measurements(), *surely],
        {
            "masks": hidden,
            **measured,
            **{name: quantise(x) for name, x in sheet.items()},
            **{f"{FACES}{name}": x for name, x in of_faces.measured.items()},
            **tensors,
        },
        data=f"{weights_file(weights).stem}; the first {n_images} test images of {DATA}, and {len(images)} behind the "
        f"random mask{of_faces.data}; uncurated",
        note=f"{fills.shape[2]} fills of each image behind each mask, and {N_SURE} others for the second classifier. "
        "Standard errors are over images.",
        narrower=of_faces.narrower,
        networks=[weights, SHIPPED_CLASSIFIER, JUDGE],
        facts={
            "sigma_min": round(float(load_network(weights).sigmas[-1]), 6),  # a float32 of .01 is .01
            **drawing.facts("precision", "seed"),
            **of_faces.facts,
            "compiled": machine.compile,
        },
    )


# --- faces ------------------------------------------------------------------------------------------------------------


class Faces(NamedTuple):
    """What was measured of fills of test faces, and what the record says of it.

    Attributes:
        measured: by `measure_fills`, and "masks"; empty if there are no faces.
        data, narrower: words of the record.
        facts: of the record.
    """

    measured: dict[str, Tensor]
    data: str
    narrower: str
    facts: dict[str, str]

    def measurements(self) -> list[Measurement]:
        """The measurements of I8 on faces; none if there are no faces."""
        return i8_measurements(self.measured, of=FACES) if self.measured else []


def measure_faces(weights: str, drawing: Drawing, n: int, folder: Path, machine: Machine = CPU) -> Faces:
    """Fill in the first n test faces by a network on such images, a file, and measure the fills."""
    images = load_images("celeba", "test")[:n]
    network = load_network(weights)
    wanted = tuple(images.shape[1:])
    shape = tuple(network.image_shape)
    if shape != wanted:
        raise ValueError(f"faces must name a network on images of shape {wanted}, got {weights}, on {shape}")
    hidden = known_pixels(images.shape)
    fills, ys = draw_fills(dataclasses.replace(drawing, network=weights), images, folder, machine)
    return Faces(
        {"masks": hidden, **measure_fills(fills, ys, images, hidden)},
        f"; the first {n} of CelebA",
        f"MNIST, and CelebA at C = {network.arguments['channels']}, {WHERE}",
        {"network of faces": file_hash(weights_file(weights))},
    )


def recorded_faces() -> Faces:
    """The faces of the record before, if it has any, and the command that they were measured by."""
    before = load_records(records.results_folder()).get("I8")
    if before is None:
        return NO_FACES
    measured = {name.removeprefix(FACES): x for name, x in before.tensors.items() if name.startswith(FACES)}
    if not measured:
        return NO_FACES
    command = before.facts.get("command of faces", before.facts["command"])
    facts = {"network of faces": before.facts["network of faces"], "command of faces": command}
    n = measured["miss"].shape[1]
    return Faces(measured, f"; the first {n} of CelebA, by the record before", before.narrower, facts)


WHERE = "where Fig. 6 has CelebA and CIFAR-10"
NO_FACES = Faces({}, "", f"MNIST, {WHERE}", {})


# --- a second classifier, and fills that must fail --------------------------------------------------------------------

N_SURE = 10
SURE = 0.9
SIGMA_L = 0.01
TIMES = {"random": 5, "right-half": 1, "centre-box": 1}
"""How many times `n_images` digits are filled in for the second classifier."""
N_CONTROL = 1_000
SAYS = "the second classifier is 90 % sure of the class"


def measure_sure(
    drawing: Drawing, images: Tensor, labels: Tensor, n_images: int, folder: Path, machine: Machine = CPU
) -> tuple[list[Measurement], dict[str, Tensor]]:
    """Fill in digits anew, and measure how often a second classifier is sure of the class, beside fills that must fail.

    Args:
        drawing, folder, machine: see `draw_fills`.
        images, labels: enough of them for `TIMES`.
        n_images: as of `measure`.
    """
    found = [declared("I8", "fills of an image", N_SURE)]
    tensors = {}
    for kind, times in TIMES.items():
        some, classes = (x[: times * n_images] for x in (images, labels))
        known = known_pixels(images.shape, [kind])
        fills, ys = draw_fills(drawing, some, folder, machine, n_fills=N_SURE, kinds=[kind])
        measured = measure_fills(fills, ys, some, known, labels=classes)
        accepted = sure(fills[0].flatten(0, 1), classes.repeat_interleave(N_SURE)).reshape(-1, N_SURE)
        tensors |= {f"{kind}: fills": quantise(fills[0]), f"{kind}: sure": accepted, f"{kind}: kept": measured["kept"]}
        numbers = {f"{kind}: {SAYS}": estimate(accepted.double().mean(dim=1))}
        numbers |= {f"control: {kind}, {name}: {SAYS}": share for name, share in controls(kind).items()}
        if kind == "random":
            numbers = {
                "random, 100 digits: class kept": estimate(measured["kept"][0].double().mean(dim=1)),
                "random, 100 digits: known pixels that are not the last y": int(measured["changed"].sum()),
                "random, 100 digits: images": len(some),
                **numbers,
            }
        found += [declared("I8", label, number) for label, number in numbers.items()]
    return found, tensors


def sure(images: Tensor, labels: Tensor) -> Tensor:
    """Whether the second classifier is 90 % sure of each image's class: (N,) bool."""
    certain, classes = in_batches(load_classifier(JUDGE), shown(images)).softmax(dim=1).max(dim=1)
    return (classes == labels) & (certain >= SURE)


def controls(kind: str) -> dict[str, Estimate]:
    """The share of test digits that `sure` accepts with a mean digit, and with black, in place of what is hidden."""
    images, labels = (load(DATA, "test")[:N_CONTROL] for load in (load_images, load_labels))
    known = known_pixels(images.shape, [kind])[0].float()
    fills = {"mean digit": load_images(DATA).mean(dim=0), "black": torch.zeros_like(images[0])}
    generator = torch.Generator().manual_seed(0)
    shares = {}
    for name, fill in fills.items():
        filled = perturb(images * known + fill * (1 - known), SIGMA_L, generator=generator)
        shares[name] = estimate(sure(filled, labels).double())
    return shares


# --- the numbers ------------------------------------------------------------------------------------------------------


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
    sys.exit(run("I8", measure))
