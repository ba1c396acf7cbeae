"""I8, Fig. 6: test digits inpainted behind masks of three shapes, beside fills that are made without a network."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import ledger
from controls import retrieved, seam
from drawing import CPU, SIGMA_L, Drawing, Load, Machine, narrower_width
from errors import bootstrap
from ledger import Measurement, Record, declared, record, reported, script_options, seed, show
from sbgm.images import masks
from sbgm.images.data import load_images, load_labels
from sbgm.images.drawing import uniform_start
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, estimate, in_batches, quantise, shown
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier
from sbgm.noise import derived_generator, perturb, randn_like
from sbgm.samplers import State, inpaint

DATA = "mnist_small"
FIRST = 1_000
"""The first of the test digits that are filled in: those before it were seen when the measures were chosen."""
FIRST_CONTROL = 3_000
N_CONTROL = 1_000
"""Other test digits for the controls, which no network enters: as many as make their ± small."""
N_FILLS = 5
N_CANDIDATES = 60_000
SURE = 0.9
FACES = "faces, "  # what the names of the older record's numbers of faces begin with


def known_pixels(n: int, shape: tuple[int, ...]) -> Tensor:
    """The masks of n images, (M, n, 1, H, W), of each kind; every image has a random mask of its own."""
    of_kinds = []
    for kind in masks.KINDS:
        drawn = [masks.make_mask(kind, shape, generator=derived_generator(seed("I8"), j)) for j in range(n)]
        of_kinds.append(torch.stack(drawn))
    return torch.stack(of_kinds)


def draw_fills(
    drawing: Drawing,
    images: Tensor,
    known: Tensor,
    folder: Path,
    machine: Machine = CPU,
    *,
    n_fills: int = N_FILLS,
    load: Load = load_network,
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
        load: the network of a name, with its ladder in `sigmas`.

    Returns:
        Fills as the sampler left them, and y of the last level, both (M, N, F, C, H, W).
    """
    network, score = drawing.on(machine, load)
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


# --- fills of one mask, and others beside them ------------------------------------------------------------------------


def other_fills(images: Tensor, known: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Fills that no network made, by name, (N, F, C, H, W) with noise σ_L, as samples carry it.

    Args:
        images: (N, C, H, W).
        known: (N, 1, H, W) bool.
        generator: source of the noise.
    """
    training = load_images("mnist")[:N_CANDIDATES]
    mean = training.mean(dim=0)
    fills = {
        "retrieved parts": retrieved(images, known, training, N_FILLS),
        "mean digit": torch.where(known, images, mean)[:, None],
    }
    return {name: perturb(x.flatten(0, 1), SIGMA_L, generator=generator).view_as(x) for name, x in fills.items()}


def over_fills(number: Tensor, n_fills: int) -> Tensor:
    """The mean of each image's fills, from one number for each fill: (N F,) -> (N,) float64."""
    return number.double().reshape(-1, n_fills).mean(dim=1)


def distance_where(difference: Tensor, where: Tensor) -> Tensor:
    """The root mean square of differences (B, C, H, W) over the pixels where a mask (B, 1, H, W) is True: (B,)."""
    squares = difference.square() * where
    n_pixels = where.sum(dim=(1, 2, 3)) * difference.shape[1]
    return (squares.sum(dim=(1, 2, 3)) / n_pixels).sqrt()


def sure(images: Tensor, labels: Tensor) -> Tensor:
    """Whether the second classifier is 90 % sure of each image's class: (N,) bool."""
    certain, classes = in_batches(load_classifier(JUDGE), shown(images)).softmax(dim=1).max(dim=1)
    return (classes == labels) & (certain >= SURE)


@torch.no_grad()
def measure_fills(fills: Tensor, images: Tensor, known: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What fills are judged by, for each image the mean of its fills: three (N,) numbers.

    Args:
        fills: (N, F, C, H, W).
        images: (N, C, H, W), the truth.
        known: (N, 1, H, W) bool.
        labels: (N,) the truth's classes.

    Returns:
        "seam", see `controls.seam`; "miss", the distance of the unknown pixels to the truth; "sure", whether the second
        classifier is sure of the class.
    """
    n_fills = fills.shape[1]
    is_sure = sure(fills.flatten(0, 1), labels.repeat_interleave(n_fills, dim=0))
    return beside_truth(fills, images, known) | {"sure": over_fills(is_sure, n_fills)}


def beside_truth(fills: Tensor, images: Tensor, known: Tensor) -> dict[str, Tensor]:
    """The "seam" and the "miss" of `measure_fills`."""
    n_fills = fills.shape[1]
    x = fills.flatten(0, 1)
    mask, truth = (v.repeat_interleave(n_fills, dim=0) for v in (known, images))
    numbers = {"seam": seam(x, mask), "miss": distance_where(x - truth, ~mask)}
    return {name: over_fills(number, n_fills) for name, number in numbers.items()}


def kept_and_spread(fills: Tensor, ys: Tensor, images: Tensor, known: Tensor) -> dict[str, Tensor]:
    """Of each image, how many known pixels changed, how far off these are, and how much its fills differ: (N,) each.

    Args:
        fills, ys: (N, F, C, H, W), see `draw_fills`.
        images, known: see `measure_fills`.
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


def measure_kind(
    kind: str, fills: Tensor, ys: Tensor, images: Tensor, known: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """All that is measured behind the masks of one kind, by "kind: fills, seam" and so on: (N,) each.

    Args:
        kind: of the masks.
        fills, ys: (N, F, C, H, W), see `draw_fills`.
        images, known, labels: see `measure_fills`.
    """
    generator = derived_generator(seed("I8"), 0, 1 + masks.KINDS.index(kind))
    classes = in_batches(load_classifier(), shown(fills.flatten(0, 1))).argmax(dim=1)
    numbers = kept_and_spread(fills, ys, images, known)
    numbers["class kept"] = over_fills(classes == labels.repeat_interleave(fills.shape[1]), fills.shape[1])
    numbers |= {f"fills, {number}": v for number, v in measure_fills(fills, images, known, labels).items()}
    numbers |= measure_others(images, known, labels, generator)
    return {f"{kind}: {name}": values for name, values in numbers.items()}


def measure_others(images: Tensor, known: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """The truth's seam, and all numbers of fills that no network made, by "mean digit, seam" and so on: (N,) each.

    Args:
        images, known, labels: see `measure_fills`.
        generator: source of the noise.
    """
    numbers = {"truth, seam": seam(perturb(images, SIGMA_L, generator=generator), known)}
    for name, x in other_fills(images, known, generator).items():
        numbers |= {f"{name}, {number}": v for number, v in measure_fills(x, images, known, labels).items()}
    return numbers


def control_numbers() -> dict[str, Tensor]:
    """`measure_others` on the digits of the controls, by "control, kind: mean digit, seam" and so on."""
    chosen = slice(FIRST_CONTROL, FIRST_CONTROL + N_CONTROL)
    images, labels = (load(DATA, "test")[chosen] for load in (load_images, load_labels))
    numbers = {}
    for i, known in enumerate(known_pixels(len(images), tuple(images.shape[-2:]))):
        others = measure_others(images, known, labels, derived_generator(seed("I8"), 0, 4 + i))
        numbers |= {f"control, {masks.KINDS[i]}: {name}": values for name, values in others.items()}
    return numbers


# --- the claim --------------------------------------------------------------------------------------------------------


def measure(folder: Path, n_images: int = 50, n_steps: int = 100, machine: Machine = CPU) -> Record:
    """Measure I8: inpaint test digits, and compare the fills with what was hidden and with fills without a network.

    The fills of each image are kept in `folder`; a run that was stopped goes on with the next image.

    Args:
        folder: of fills.
        n_images: test digits, two at least.
        n_steps: T, Langevin steps a level; the time is proportional to it.
        machine: where the network runs.
    """
    drawing = Drawing("mnist_ncsn", n_steps=n_steps, seed=seed("I8"))
    images, labels = (load(DATA, "test")[FIRST : FIRST + n_images] for load in (load_images, load_labels))
    known = known_pixels(n_images, tuple(images.shape[-2:]))
    fills, ys = draw_fills(drawing, images, known, folder, machine)
    numbers = {}
    for i, kind in enumerate(masks.KINDS):
        numbers |= measure_kind(kind, fills[i], ys[i], images, known[i], labels)
    numbers |= control_numbers()
    faces = recorded_faces()
    return record(
        "I8",
        [*i8_measurements(numbers), *faces],
        {"images": quantise(images), "fills": quantise(fills), "masks": known, **numbers},
        data=f"mnist_ncsn; test images {FIRST} to {FIRST + n_images - 1} of {DATA}, uncurated, and for the controls "
        f"{N_CONTROL:,} from {FIRST_CONTROL} on; 60,000 training digits",
        note=f"{N_FILLS} fills of each image behind each mask; ± is over images. Faces are those of an older record.",
        narrower=f"{narrower_width()}one training, on MNIST, where Fig. 6 has CelebA and CIFAR-10",
        networks=["mnist_ncsn", SHIPPED_CLASSIFIER, JUDGE],
        facts={"n_images": n_images}
        | drawing.facts("n_steps", "precision", "step_size")
        | {"compiled": machine.compile},
    )


def recorded_faces() -> list[Measurement]:
    """The numbers of test faces in the record before, with the day on which they were measured."""
    before = ledger.load_records().get("I8")
    if before is None:
        return []
    faces = []
    for m in before.measurements:
        if m.label.startswith(FACES):
            label = m.label if "measured on" in m.label else f"{m.label}, measured on {before.day}"
            faces.append(reported(label, m.value, se=m.se))
    return faces


def i8_measurements(numbers: dict[str, Tensor]) -> list[Measurement]:
    """The measurements of I8, from the numbers of `measure_kind` and `control_numbers`, of two images or more."""
    changed = sum(int(numbers[f"{kind}: changed"].sum()) for kind in masks.KINDS)
    measurements = [declared("I8", "known pixels that are not the last y", changed)]
    for kind in masks.KINDS:
        n, of_controls = (
            {name.removeprefix(start): x for name, x in numbers.items() if name.startswith(start)}
            for start in (f"{kind}: ", f"control, {kind}: ")
        )
        more = estimate(n["fills, sure"] - n["mean digit, sure"])
        less = estimate(n["fills, sure"] - n["retrieved parts, sure"])
        less_of_controls = estimate(of_controls["mean digit, sure"] - of_controls["retrieved parts, sure"])
        known_off = float(n["known, mean square"].mean().sqrt())
        spread = float(n["unknown, variance over fills"].mean().sqrt())
        of_class = f"{kind}: sure of the class"
        measurements += [
            declared("I8", f"{kind}: known pixels off by, RMS", known_off),
            declared("I8", f"{kind}: sd of unknown pixels over fills", spread),
            declared("I8", f"{of_class}, fills minus a mean digit", more),
            declared("I8", f"control: {of_class}, fills minus retrieved parts", less),
            declared("I8", f"control: {of_class}, a mean digit minus retrieved parts", less_of_controls),
            reported(f"{kind}: distance to the truth", over_retrieved(n, derived_generator(seed("I8"), 0, 0, 2))),
            reported(f"{kind}: seam", seam_place(n, derived_generator(seed("I8"), 0, 0, 1))),
        ]
        for name in ("fills", "retrieved parts", "mean digit"):
            measurements.append(reported(f"{of_class}, {name}", estimate(n[f"{name}, sure"])))
        measurements.append(reported(f"{kind}: class kept by the first classifier", estimate(n["class kept"])))
    return measurements


def seam_place(numbers: dict[str, Tensor], generator: torch.Generator) -> Estimate:
    """Where the seam of fills lies from the truth's, 0, to that of retrieved parts, 1; ± by a bootstrap over images."""
    of_truth, of_parts, of_fills = (numbers[f"{who}, seam"] for who in ("truth", "retrieved parts", "fills"))

    def place(i: Tensor) -> float:
        return float((of_fills - of_truth)[i].mean() / (of_parts - of_truth)[i].mean())

    return bootstrap(place, len(of_fills), generator=generator)


def over_retrieved(numbers: dict[str, Tensor], generator: torch.Generator) -> Estimate:
    """The distance of fills to the truth over that of retrieved parts, on the same images; ± as in `seam_place`."""
    of_fills, of_parts = (numbers[f"{who}, miss"] for who in ("fills", "retrieved parts"))

    def distances(i: Tensor) -> float:
        return float(of_fills[i].mean() / of_parts[i].mean())

    return bootstrap(distances, len(of_fills), generator=generator)


def main() -> None:
    """Measure I8 as the command line says, and print its record."""
    show(measure(**script_options(__doc__, "I8", claims=["I8"], draws=True)))
