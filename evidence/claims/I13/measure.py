"""I13: test images of CIFAR-10 inpainted behind a half and a box (Fig. 6), and a sheet of samples that may be shown.

CIFAR-10's images are not passed on: the record has numbers of them alone. What it shows are fills of the network's own
samples, those of I2.
"""

from pathlib import Path

import torch
from torch import Tensor

from controls import retrieved, seam
from fills import beside_truth, draw_fills, kept_and_spread, over_retrieved, seam_place
from ledger import Measurement, Record, declared, load_record, record, reported, seed
from samples import CPU, HOW_DRAWN, SIGMA_L, Drawing, Machine, how_narrow
from sbgm import derived_generator
from sbgm.images import masks
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import quantise
from sbgm.noise import perturb

OPTIONS = {"folder": "samples", "draws": True}
NETWORK = "cifar10_ncsn"
KINDS = ("right-half", "centre-box")
N_FILLS = 3
N_SHOWN = 4


def known_pixels(n: int, shape: tuple[int, ...]) -> Tensor:
    """The masks of n images, (M, n, 1, H, W), of each of KINDS."""
    of_kinds = torch.stack([masks.right_half(shape), masks.centre_box(shape)])
    return of_kinds[:, None].expand(-1, n, -1, -1, -1)


def measure(folder: Path, n_images: int = 8, n_steps: int = 100, machine: Machine = CPU) -> Record:
    """Measure I13: inpaint the first test images of CIFAR-10, and samples of the network to be shown.

    Args:
        folder: of fills.
        n_images: test images, two at least.
        n_steps: T, Langevin steps a level.
        machine: where the network runs.
    """
    images = load_images("cifar10", "test")[:n_images]
    training = load_images("cifar10")
    known = known_pixels(n_images, tuple(images.shape[-2:]))
    drawing = Drawing(NETWORK, n_steps=n_steps, precision="fp32", seed=seed("I13"))  # see I12
    fills, ys = draw_fills(drawing, images, known, folder, machine, n_fills=N_FILLS)
    numbers = {}
    for i, kind in enumerate(KINDS):
        of_kind = measure_kind(fills[i], ys[i], images, known[i], training, derived_generator(seed("I13"), 0, i))
        numbers |= {f"{kind}: {name}": values for name, values in of_kind.items()}
    originals = load_record("I2").tensors["denoised"][:N_SHOWN].float() / 255
    of_samples = known[:, :1].expand(-1, N_SHOWN, -1, -1, -1)
    to_show, _ = draw_fills(drawing, originals, of_samples, folder, machine, n_fills=N_FILLS)
    return record(
        "I13",
        measurements(numbers),
        {"originals": quantise(originals), "fills": quantise(to_show), "masks": known[:, 0].contiguous(), **numbers},
        data=f"{NETWORK}; the first {n_images} of CIFAR-10's test images, 50,000 training images",
        note=f"{N_FILLS} fills of each image behind each mask; ± is over images. The sheet is of the network's own "
        "samples, since CIFAR-10's images are not passed on.",
        narrower=how_narrow(load_network(NETWORK)),
        networks=[NETWORK],
        facts=drawing.facts(*HOW_DRAWN[1:]) | {"n_images": n_images},
    )


def measure_kind(
    fills: Tensor, ys: Tensor, images: Tensor, known: Tensor, training: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """All that is measured behind the masks of one kind, (N,) each.

    Args:
        fills, ys: (N, F, C, H, W), see `draw_fills`.
        images: (N, C, H, W), the truth.
        known: (N, 1, H, W) bool.
        training: what parts are retrieved from.
        generator: source of the noise that real images get.
    """
    numbers = kept_and_spread(fills, ys, images, known)
    parts = retrieved(images, known, training, N_FILLS)
    noisy = perturb(parts.flatten(0, 1), SIGMA_L, generator=generator).view_as(parts)
    for name, x in (("fills", fills), ("retrieved parts", noisy)):
        numbers |= {f"{name}, {number}": values for number, values in beside_truth(x, images, known).items()}
    numbers["truth, seam"] = seam(perturb(images, SIGMA_L, generator=generator), known)
    return numbers


def measurements(numbers: dict[str, Tensor]) -> list[Measurement]:
    """The measurements of I13, from the numbers of `measure_kind`, of two images or more."""
    changed = sum(int(numbers[f"{kind}: changed"].sum()) for kind in KINDS)
    listed = [declared("I13", "known pixels that are not the last y", changed)]
    for part, kind in enumerate(KINDS):
        n = {name.removeprefix(f"{kind}: "): values for name, values in numbers.items() if name.startswith(kind)}
        known_off = float(n["known, mean square"].mean().sqrt())
        spread = float(n["unknown, variance over fills"].mean().sqrt())
        in_seam = seam_place(n, derived_generator(seed("I13"), 1, part))
        far = over_retrieved(n, derived_generator(seed("I13"), 2, part))
        listed += [
            reported(f"{kind}: known pixels off by, RMS", known_off),
            declared("I13", f"{kind}: sd of unknown pixels over fills", spread),
            declared("I13", f"control: {kind}: seam", in_seam),
            reported(f"{kind}: distance to the truth", far),
        ]
    return listed
