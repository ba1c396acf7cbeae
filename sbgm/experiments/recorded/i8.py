"""I8, Fig. 6: test images inpainted behind masks of three shapes, and how the fills compare with the truth."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from sbgm import claims, masks
from sbgm.claims import check
from sbgm.data import load_images, load_labels
from sbgm.experiments.classifier import SHIPPED_CLASSIFIER
from sbgm.experiments.recorded.i8_fills import Inpainting, draw_fills, measure_fills
from sbgm.experiments.recorded.recording import command, enter
from sbgm.experiments.recorded.samples import CPU, Machine
from sbgm.metrics import estimate, quantise
from sbgm.weights import load_network, weights_file

DATA = "mnist_small"
LEAST_KEPT = {"right-half": 0.70, "random": 0.95}  # of the class; nothing is expected of the centre box
N_SHEET_IMAGES, N_SHEET_FILLS = 10, 6


def evaluate(
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
