"""What a budget of training buys in digits: the numbers of chapter 7's table.

    python evidence/budgets.py steps_4500=runs/a/step-0004500,runs/b/step-0004500 steps_9000=runs/a,runs/b,runs/c

Each BUDGET=RUNS names runs of `sbgm train mnist_small` that differ in their seed, or checkpoints in their folders. Of
each network 500 digits are drawn by Algorithm 1 with T = 50 and ε = 5e-5 (T ε is 1.25 times the paper's), and read by
a classifier that had no part in the training. `data/results/budgets.csv` holds a row for each network, one for the
first 500 of I1's samples of the shipped network, and the controls; budgets.safetensors holds the first eight samples of
each budget. What the files hold of other budgets stays. Samples are kept; a run that was stopped goes on with the
next batch.
"""

from pathlib import Path

import pandas
import torch
from torch import Tensor

from command_line import script_options
from features import prdc
from ledger import load_record, results_folder
from samples import SIGMA_L, Drawing, draw, too_near
from sbgm.files import load_tensors, save_tensors, write_bytes
from sbgm.images.data import load_images, load_labels
from sbgm.images.weights import load_network, run_weights, step_of
from sbgm.measure import in_batches, level_losses, shown
from sbgm.measure.classifier import JUDGE, load_classifier
from sbgm.noise import derived_generator, perturb
from sbgm.samplers import denoise

DATA = "mnist_small"
N_SAMPLES = 500
SHIPPED = "mnist_ncsn"
HOW = {"n_steps": 50, "step_size": 5e-5, "every_level": False}
SURE = 0.9  # the probability of its class from which on the judge counts as sure
NEIGHBOURS = 3  # k of recall, as in chapter 11


def weights_of(run: str) -> str:
    """The file of the averaged weights of a run, or of a checkpoint in its folder."""
    path = Path(run)
    is_checkpoint = path.name.startswith("step-")
    return str(run_weights(path.parent, step_of(path)) if is_checkpoint else run_weights(path))


def said_of(images: Tensor, noisy: Tensor) -> dict[str, float]:
    """What the judge says of digits: shares sure and of each class, recall, and the share of near copies.

    Args:
        images: (N, 1, 28, 28), without noise and in [0, 1].
        noisy: the same with the noise σ_L of the ladder's last level, as near copies are looked for.
    """
    judge = load_classifier(JUDGE)
    real = load_images(DATA, "test")[: len(images)]
    chances = in_batches(judge, shown(images)).softmax(dim=1)
    shares = chances.argmax(dim=1).bincount(minlength=10) / len(images)
    of_data = load_labels(DATA, "test").bincount(minlength=10) / len(load_labels(DATA, "test"))
    near = too_near({"samples": noisy}, DATA)["samples"]
    return {
        "sure": float((chances.amax(dim=1) > SURE).double().mean()),
        "rarest class over its share of the data": float((shares / of_data).min()),
        "commonest class over its share of the data": float((shares / of_data).max()),
        "recall": prdc(judge.features(shown(images)), judge.features(shown(real)), k=NEIGHBOURS).recall.value,
        "near copies, pixels": near["pixels"].value,
        "near copies, features": near["features"].value,
    }


def measured(weights: str, noisy: Tensor) -> tuple[dict[str, float], Tensor]:
    """The numbers of one network, and its samples (N, 1, 28, 28), denoised and in [0, 1].

    Args:
        weights: the file of the network, or its name.
        noisy: its samples as Algorithm 1 ends.
    """
    network = load_network(weights)
    test = load_images(DATA, "test")[:N_SAMPLES]
    losses = level_losses(network, test, network.sigmas, generator=derived_generator(0))
    of_zero = test[0].numel() / 2  # the loss of a score of zero
    loss = sum(number.value for number in losses) / len(losses)
    sigma = float(network.sigmas[-1])
    samples = in_batches(lambda x: denoise(network, x, sigma), noisy).clamp(0, 1)
    return {"held-out loss over D/2": loss / of_zero, **said_of(samples, noisy)}, samples


def controls() -> dict[str, Tensor]:
    """Images that are no samples, (N, 1, 28, 28), by name."""
    real = load_images(DATA, "test")[-N_SAMPLES:]
    return {
        "test digits": real,
        "blurred digits": torch.nn.functional.avg_pool2d(real, 5, 1, 2),
        "noise": torch.rand(real.shape, generator=derived_generator(1)),
    }


def main() -> None:
    """Measure the budgets that are named, the shipped network, and as controls digits, blurred digits and noise."""
    more = {"budgets": {"nargs": "*", "metavar": "BUDGET=RUNS", "help": "runs, separated by commas"}}
    options = script_options(__doc__, "samples", draws=True, more=more)
    machine = options["machine"]
    table = results_folder() / "budgets.csv"
    sheets = table.with_suffix(".safetensors")
    rows = pandas.read_csv(table).to_dict("records") if table.exists() else []
    strips = load_tensors(sheets)[0] if sheets.exists() else {}

    networks = [("shipped", 0, SHIPPED, load_record("I1").tensors["samples"] / 255)]
    for words in options["budgets"]:
        budget, _, runs = words.partition("=")
        for number, weights in enumerate(map(weights_of, runs.split(","))):
            drawing = Drawing(weights, n_samples=N_SAMPLES, batch_size=machine.n_chains, **HOW)
            networks.append((budget, number, weights, draw(drawing, options["folder"], machine).states[-1]))
    again = {budget for budget, *_ in networks}
    rows = [row for row in rows if row["budget"] not in again and row["held-out loss over D/2"] > 0]  # no control
    for budget, number, weights, noisy in networks:
        numbers, samples = measured(weights, noisy[:N_SAMPLES])
        rows.append({"budget": budget, "training": number, **numbers})
        if number == 0:
            strips[budget] = (255 * samples[:8]).round().byte()

    for name, images in controls().items():
        noisy = perturb(images, SIGMA_L, generator=derived_generator(2))
        rows.append({"budget": name, "training": 0, **said_of(images, noisy)})
    write_bytes(table, pandas.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode())
    save_tensors(sheets, strips)


if __name__ == "__main__":
    main()
