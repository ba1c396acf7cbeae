"""I8: fills of 100 test digits behind a random mask, and every mask beside a mean digit and black, which must fail.

What is done is kept; a run that was stopped goes on with the next image.
"""

from pathlib import Path

import torch
from torch import Tensor

from claims import Found, claim, declared, load_record, record_tensors
from drawing import CPU, Drawing, Machine
from I8 import DATA, draw_fills, known_pixels, measure_fills
from sbgm.data import load_images, load_labels
from sbgm.measure import Estimate, estimate, in_batches, quantise, shown
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier
from sbgm.noise import perturb

N_IMAGES = {"random": 100, "right-half": 20, "centre-box": 20}
N_FILLS, N_CONTROL, SIGMA_L, SURE = 10, 1_000, 0.01, 0.9
SAYS = "the second classifier is 90 % sure of the class"


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


@claim("I8")
def measure(folder: Path, machine: Machine = CPU) -> Found:
    """Measure I8, with the numbers of the record before, of 20 fills each and of faces."""
    before, tensors = load_record("I8"), record_tensors("I8")
    images, labels = load_images(DATA, "test"), load_labels(DATA, "test")
    shares, found = {}, [declared("I8", "fills of an image", N_FILLS)]
    for kind, n in N_IMAGES.items():
        hidden = known_pixels(images.shape, [kind])
        fills, ys = draw_fills(Drawing("mnist_ncsn"), images[:n], folder, machine, n_fills=N_FILLS, kinds=[kind])
        measured = measure_fills(fills, ys, images[:n], hidden, labels=labels[:n])
        accepted = sure(fills[0].flatten(0, 1), labels[:n].repeat_interleave(N_FILLS)).reshape(n, N_FILLS)
        tensors |= {f"{kind}: fills": quantise(fills[0]), f"{kind}: sure": accepted, f"{kind}: kept": measured["kept"]}
        shares[kind] = estimate(accepted.double().mean(dim=1))
        if kind == "random":
            kept = estimate(measured["kept"][0].double().mean(dim=1))
            changed = int(measured["changed"].sum())
            found.append(declared("I8", "random, 100 digits: class kept", kept))
            found.append(declared("I8", "random, 100 digits: known pixels that are not the last y", changed))
            found.append(declared("I8", "random, 100 digits: images", n))
    for kind, share in shares.items():
        found.append(declared("I8", f"{kind}: {SAYS}", share))
        found += [declared("I8", f"control: {kind}, {name}: {SAYS}", c) for name, c in controls(kind).items()]
    return Found(
        [*(m for m in before.measurements if m.label not in {f.label for f in found}), *found],
        tensors,
        narrower=before.narrower,
        data=f"{before.data}; new fills of the first 100 behind the random mask, of the first 20 behind the others",
        note="Standard errors are over images. Numbers of 20 fills each, and of faces, are of the record before.",
        networks=["mnist_ncsn", SHIPPED_CLASSIFIER, JUDGE],
        facts={
            **{name: before.facts[name] for name in ("n_steps", "step_size", "sigma_min", "precision", "seed")},
            "n_fills": N_FILLS,
            "network of faces": before.facts["network of faces"],
            "before": str(before.facts["command"]),
            "compiled": machine.compile,
        },
    )


if __name__ == "__main__":
    measure.start()
