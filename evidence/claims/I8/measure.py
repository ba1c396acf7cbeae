"""I8, Fig. 6: test digits inpainted behind masks of three shapes, beside fills that are made without a network."""

from pathlib import Path

import torch
from torch import Tensor

from controls import retrieved, seam
from fills import beside_truth, draw_fills, kept_and_spread, over_fills, over_retrieved, seam_place
from ledger import Measurement, Record, declared, record, reported, seed
from samples import CPU, SIGMA_L, Drawing, Machine, narrower_width
from sbgm.images import masks
from sbgm.images.data import load_images, load_labels
from sbgm.measure import estimate, in_batches, quantise, shown
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier
from sbgm.noise import derived_generator, perturb

OPTIONS = {"folder": "I8", "draws": True}
DATA = "mnist_small"
FIRST = 1_000
"""The first of the test digits that are filled in: those before it were seen when the measures were chosen."""
FIRST_CONTROL = 3_000
N_CONTROL = 1_000
"""Other test digits for the controls, which no network enters: as many as make their ± small."""
N_FILLS = 5
KINDS = ("right-half", "centre-box", "random")
SURE = 0.9


def known_pixels(n: int, shape: tuple[int, ...]) -> Tensor:
    """The masks of n images, (M, n, 1, H, W), of each of KINDS; every image has a random mask of its own."""
    right_half = masks.right_half(shape).expand(n, -1, -1, -1)
    centre_box = masks.centre_box(shape).expand(n, -1, -1, -1)
    random = [masks.random_mask(shape, generator=derived_generator(seed("I8"), j)) for j in range(n)]
    return torch.stack([right_half, centre_box, torch.stack(random)])


# --- fills of one mask, and others beside them ------------------------------------------------------------------------


def read(images: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the second classifier is 90 % sure of a class, (N,) bool, and the likeliest class, (N,)."""
    certain, classes = in_batches(load_classifier(JUDGE), shown(images)).softmax(dim=1).max(dim=1)
    return certain >= SURE, classes


@torch.no_grad()
def measure_fills(fills: Tensor, images: Tensor, known: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What fills are judged by, for each image the mean of its fills: four (N,) numbers.

    Args:
        fills: (N, F, C, H, W).
        images: (N, C, H, W), the truth.
        known: (N, 1, H, W) bool.
        labels: (N,) the truth's classes.

    Returns:
        "seam", see `controls.seam`; "miss", the distance of the unknown pixels to the truth; "clear", whether the
        second classifier is sure of a class; "sure", whether it is sure of the truth's.
    """
    n_fills = fills.shape[1]
    is_clear, classes = read(fills.flatten(0, 1))
    is_sure = is_clear & (classes == labels.repeat_interleave(n_fills, dim=0))
    readings = {"clear": over_fills(is_clear, n_fills), "sure": over_fills(is_sure, n_fills)}
    return beside_truth(fills, images, known) | readings


def measure_kind(
    kind: str, fills: Tensor, ys: Tensor, images: Tensor, known: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """All that is measured behind the masks of one kind, by "kind: fills, seam" and so on: (N,) each.

    Args:
        kind: of the masks.
        fills, ys: (N, F, C, H, W), see `draw_fills`.
        images, known, labels: see `measure_fills`.
    """
    generator = derived_generator(seed("I8"), 0, 1 + KINDS.index(kind))
    classes = in_batches(load_classifier(), shown(fills.flatten(0, 1))).argmax(dim=1)
    numbers = kept_and_spread(fills, ys, images, known)
    numbers["class kept"] = over_fills(classes == labels.repeat_interleave(fills.shape[1]), fills.shape[1])
    numbers |= {f"fills, {number}": v for number, v in measure_fills(fills, images, known, labels).items()}
    numbers |= measure_others(images, known, labels, generator)
    return {f"{kind}: {name}": values for name, values in numbers.items()}


def measure_others(images: Tensor, known: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """The truth's seam, and all numbers of fills that no network made, by "mean digit, seam" and so on: (N,) each.

    All carry the noise σ_L, as samples do.

    Args:
        images, known, labels: see `measure_fills`.
        generator: source of the noise.
    """
    numbers = {"truth, seam": seam(perturb(images, SIGMA_L, generator=generator), known)}
    training = load_images("mnist")
    others = {
        "retrieved parts": retrieved(images, known, training, N_FILLS),
        "mean digit": torch.where(known, images, training.mean(dim=0))[:, None],
    }
    for name, fills in others.items():
        noisy = perturb(fills.flatten(0, 1), SIGMA_L, generator=generator).view_as(fills)
        numbers |= {f"{name}, {number}": v for number, v in measure_fills(noisy, images, known, labels).items()}
    return numbers


def control_numbers() -> dict[str, Tensor]:
    """`measure_others` on the digits of the controls, by "control, kind: mean digit, seam" and so on."""
    chosen = slice(FIRST_CONTROL, FIRST_CONTROL + N_CONTROL)
    images, labels = (load(DATA, "test")[chosen] for load in (load_images, load_labels))
    numbers = {}
    for i, known in enumerate(known_pixels(len(images), tuple(images.shape[-2:]))):
        others = measure_others(images, known, labels, derived_generator(seed("I8"), 0, 4 + i))
        numbers |= {f"control, {KINDS[i]}: {name}": values for name, values in others.items()}
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
    tensors = filled_in(drawing, folder, n_images, machine)
    return record(
        "I8",
        measurements(tensors),
        tensors,
        data=f"mnist_ncsn; test images {FIRST} to {FIRST + n_images - 1} of {DATA}, uncurated, and for the controls "
        f"{N_CONTROL:,} from {FIRST_CONTROL} on; 60,000 training digits",
        note=f"{N_FILLS} fills of each image behind each mask; ± is over images.",
        narrower=f"{narrower_width()}one training, on MNIST, where Fig. 6 has CelebA and CIFAR-10",
        networks=["mnist_ncsn", SHIPPED_CLASSIFIER, JUDGE],
        facts={"n_images": n_images}
        | drawing.facts("n_steps", "precision", "step_size")
        | {"compiled": machine.compile},
    )


def filled_in(drawing: Drawing, folder: Path, n_images: int, machine: Machine) -> dict[str, Tensor]:
    """The images, their fills, the masks, and all numbers of `measure_kind` and `control_numbers`, by name.

    Args:
        drawing: the network and its settings.
        folder, n_images, machine: see `measure`.
    """
    images, labels = (load(DATA, "test")[FIRST : FIRST + n_images] for load in (load_images, load_labels))
    known = known_pixels(n_images, tuple(images.shape[-2:]))
    fills, ys = draw_fills(drawing, images, known, folder, machine, n_fills=N_FILLS)
    numbers = {}
    for i, kind in enumerate(KINDS):
        numbers |= measure_kind(kind, fills[i], ys[i], images, known[i], labels)
    return {"images": quantise(images), "fills": quantise(fills), "masks": known, **numbers, **control_numbers()}


def measurements(numbers: dict[str, Tensor]) -> list[Measurement]:
    """The measurements of I8, from the numbers of `measure_kind` and `control_numbers`, of two images or more."""
    changed = sum(int(numbers[f"{kind}: changed"].sum()) for kind in KINDS)
    listed = [declared("I8", "known pixels that are not the last y", changed)]
    for kind in KINDS:
        n, of_controls = (
            {name.removeprefix(start): x for name, x in numbers.items() if name.startswith(start)}
            for start in (f"{kind}: ", f"control, {kind}: ")
        )
        more = estimate(n["fills, clear"] - n["mean digit, clear"])
        less = estimate(n["fills, clear"] - n["retrieved parts, clear"])
        less_of_controls = estimate(of_controls["mean digit, clear"] - of_controls["retrieved parts, clear"])
        known_off = float(n["known, mean square"].mean().sqrt())
        spread = float(n["unknown, variance over fills"].mean().sqrt())
        listed += [
            reported(f"{kind}: known pixels off by, RMS", known_off),
            declared("I8", f"{kind}: sd of unknown pixels over fills", spread),
            declared("I8", f"{kind}: clear digits, fills minus a mean digit", more),
            reported(f"{kind}: clear digits, fills minus retrieved parts", less),
            declared("I8", f"control: {kind}: clear digits, a mean digit minus retrieved parts", less_of_controls),
            reported(f"{kind}: distance to the truth", over_retrieved(n, derived_generator(seed("I8"), 0, 0, 2))),
            reported(f"{kind}: seam", seam_place(n, derived_generator(seed("I8"), 0, 0, 1))),
        ]
        for name in ("fills", "retrieved parts", "mean digit"):
            listed.append(reported(f"{kind}: clear digits, {name}", estimate(n[f"{name}, clear"])))
            listed.append(reported(f"{kind}: sure of the class, {name}", estimate(n[f"{name}, sure"])))
        listed.append(reported(f"{kind}: class kept by the first classifier", estimate(n["class kept"])))
    return listed
