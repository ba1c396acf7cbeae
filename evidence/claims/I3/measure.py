"""I3: faces by Algorithm 1, the way to them, and fills of generated faces; what is near a photograph is not shown."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from claims.I2.measure import HOG, object_measurements
from drawing import CPU, HOW_DRAWN, Drawing, Machine, draw
from ledger import Measurement, Record, guard, record, reported, script_options, show
from sbgm.files import file_hash
from sbgm.images.data import SPLITS, load_images
from sbgm.images.drawing import uniform_start
from sbgm.images.masks import right_half
from sbgm.images.weights import load_network, weights_file
from sbgm.measure import Estimate, Inception, controls, kid, nearest_neighbours, quantise, share, shown
from sbgm.measure.judging import feature_space, reference_for
from sbgm.noise import derived_generator
from sbgm.samplers import State, annealed_langevin, inpaint

BATCH = 32  # of samples, film and fills: a compiled network is compiled for each size
N_SHOWN = 64
N_FILM = 8
N_FILLS = 8
N_CONTROL = 100  # images of each control
PERCENTILE = 0.01
LEFT_OUT = "samples left out of those shown, as too near"


class Faces(NamedTuple):
    """Samples of a network on faces, the way to them, and fills.

    Attributes:
        samples: (N, C, H, W), as Algorithm 1 leaves them.
        denoised: (N, C, H, W), x + σ_L² s(x, σ_L) of each.
        film: (2L + 1, N_FILM, C, H, W), the first chains at the start, and in the middle and at the end of each level.
        fills: (BATCH, C, H, W), N_FILLS by Algorithm 2 of each of the first denoised, its right half hidden; denoised.
    """

    samples: Tensor
    denoised: Tensor
    film: Tensor
    fills: Tensor


class Distances(NamedTuple):
    """Distances to the nearest training face in one space, such as pixels, or features of mirrored pictures.

    Attributes:
        samples, denoised, fills: (N,), (N,) and (BATCH,), of those of `Faces`.
        held_out: (M,), of test faces.
    """

    samples: Tensor
    denoised: Tensor
    fills: Tensor
    held_out: Tensor

    @property
    def least(self) -> Tensor:
        """The distance that 1 % of test faces lie below; a picture that is shown may not."""
        return self.held_out.quantile(PERCENTILE)


def draw_faces(drawing: Drawing, folder: Path, machine: Machine = CPU) -> Faces:
    """Draw samples and fills batch by batch; those that are in `folder` are taken from there.

    Args:
        drawing: what to draw; film and fills are of the first of its samples, with the same settings.
        folder: of all such samples.
        machine: where the network runs, and how.
    """
    samples, denoised = (of_levels[-1] for of_levels in draw(drawing, folder, machine))
    network, score = drawing.on(machine)
    settings = drawing.facts("step_size", "n_steps")
    watched = (max(1, drawing.n_steps // 2), drawing.n_steps)
    known = {"mask": right_half(network.image_shape).to(machine.device), "denoise_last": True}
    images = shown(denoised[torch.arange(BATCH) // N_FILLS])

    def frames(x: Tensor, generator: torch.Generator) -> Tensor:
        states = annealed_langevin(score, x, network.sigmas, generator=generator, **settings)
        return torch.stack([state.x for state in states if state.step in watched], dim=1)

    def inpainted(x: Tensor, generator: torch.Generator, image: Tensor) -> Iterator[State]:
        return inpaint(score, x, network.sigmas, image=image, generator=generator, **known, **settings)

    first = dataclasses.replace(drawing, n_samples=BATCH)
    start = uniform_start((BATCH, *network.image_shape), derived_generator(drawing.seed, 0, device=machine.device))
    film = first.run(frames, network, folder, of="film")
    fills = first.run(inpainted, network, folder, of="fills", given=images)
    return Faces(samples, denoised, torch.cat([start.cpu()[:, None], film], dim=1)[:N_FILM].transpose(0, 1), fills)


def measure(
    folder: Path,
    n_samples: int = 1_000,
    n_steps: int = 100,
    step_size: float = 2e-5,
    weights: str = "celeba_ncsn",
    machine: Machine = CPU,
) -> Record:
    """Report I3: draw faces, compare them with test faces by KID, and look how near they come to training faces.

    The record holds the film, the fills, and the first 64 samples that `chains_to_show` does not leave out. A film or a
    fill that shows a face too near to a training face is an AssertionError, and nothing is recorded.

    Args:
        folder: of samples and fills.
        n_samples: how many, some more than the 64 that are shown.
        n_steps: T, Langevin steps a level.
        step_size: ε.
        weights: a file of a network's weights.
        machine: where the network runs.
    """
    sizes = {"n_samples": n_samples, "n_steps": n_steps, "step_size": step_size, "batch_size": BATCH}
    drawing = Drawing(weights, precision=machine.precision, every_level=False, **sizes)
    space = feature_space("celeba", inception := Inception(device=machine.device))
    training, test_faces = (load_images("celeba", split) for split in SPLITS)
    faces = draw_faces(drawing, folder, machine)
    train, test = (reference_for("celeba", space, split) for split in SPLITS)
    made = controls(training, min(n_samples, N_CONTROL), generator=torch.Generator().manual_seed(drawing.seed))
    drawn = {"samples": faces.samples, "denoised": faces.denoised}
    features = {name: space.function(x) for name, x in (drawn | made).items()}
    distances = {name: kid(x, test.features) for name, x in features.items()}
    pictures = drawn | {"fills": faces.fills, "held_out": test_faces}
    features |= {"fills": space.function(faces.fills), "held_out": test.features}
    near = {  # mirrored, too, since the network saw the training faces so
        "pixels": _nearest({name: shown(x) for name, x in pictures.items()}, training),
        "mirrored pixels": _nearest({name: shown(x).flip(-1) for name, x in pictures.items()}, training),
        "features": _nearest({name: features[name] for name in pictures}, train.features),
        "mirrored features": _nearest(
            {name: space.function(x.flip(-1)) for name, x in pictures.items()}, train.features
        ),
    }
    chosen = chains_to_show(near.values())
    sheets = {"samples": faces.samples[chosen], "denoised": faces.denoised[chosen]}
    tensors = {name: quantise(x) for name, x in (sheets | {"fills": faces.fills, "film": faces.film}).items()}
    return record(
        "I3",
        [*object_measurements("I3", drawn | made, test_faces), *i3_measurements(distances, near)],
        tensors,
        narrower=f"C = {load_network(weights).arguments['channels']}, {len(training):,} faces to train on",
        data=f"{n_samples:,} samples; {len(test.features):,} CelebA test images",
        note=f"KID: the kernel distance in Inception's features; {HOG}. The network does not ship; no photograph is "
        "shown.",
        facts=drawing.facts(*HOW_DRAWN)
        | {"weights": weights, "inception": inception.name, "network": file_hash(weights_file(weights))},
    )


def _nearest(pictures: dict[str, Tensor], training: Tensor) -> Distances:
    return Distances(**{name: nearest_neighbours(x, training).distances[:, 0] for name, x in pictures.items()})


def chains_to_show(near: Iterable[Distances]) -> Tensor:
    """The first chains to whose sample no training face is too near, as it is or denoised.

    The chains of the film are shown in any case, since it and the fills need them; a guard fails if one is too near.

    Args:
        near: the distances, one for each space.

    Returns:
        N_SHOWN indices, or as many as are left.
    """
    too_near = torch.stack([x < of.least for of in near for x in (of.samples, of.denoised)]).any(dim=0)
    too_near[:N_FILM] = False
    return (~too_near).nonzero()[:N_SHOWN, 0]


def i3_measurements(distances: dict[str, Estimate], near: dict[str, Distances]) -> list[Measurement]:
    """The measurements of I3.

    Args:
        distances: KID to test faces, by what is compared with them.
        near: the distances to training faces, by space.
    """
    found = [reported(f"KID, {name}", distance) for name, distance in distances.items()]
    chosen = chains_to_show(near.values())
    found.append(reported(LEFT_OUT, int(chosen[-1]) + 1 - len(chosen)))
    for space, of in near.items():
        pictures = torch.cat([of.samples[chosen], of.denoised[chosen], of.fills])
        nearer = f"nearer to a training face than 99 % of test faces, {space}"
        found += [
            reported(f"samples {nearer}", share(int((of.samples < of.least).sum()), len(of.samples))),
            reported(f"denoised samples {nearer}", share(int((of.denoised < of.least).sum()), len(of.denoised))),
            guard(f"pictures shown {nearer}", int((pictures < of.least).sum()), high=0),
            reported(f"the nearest of them, {space}", float(pictures.min())),
            reported(f"1 % of test faces are nearer than, {space}", float(of.least)),
        ]
    return found


def main() -> None:
    """Measure I3 as the command line says, and print its record."""
    options = script_options(
        __doc__,
        "samples",
        claims=["I3"],
        draws=True,
        more={
            "--n-samples": {"type": int, "default": 1_000, "help": "of samples, more than the 64 shown (1,000)"},
            "--n-steps": {"type": int, "default": 100, "help": "T, Langevin steps per level (100)"},
            "--step-size": {
                "type": float,
                "default": 2e-5,
                "help": "ε; with 5e-5, 40 steps go as far as the paper's 100 with 2e-5 (2e-5)",
            },
            "--weights": {"required": True, "help": "a file of a network's weights"},
        },
    )
    show(measure(**options))
