"""Chapter 12's table of recall: of chapter 8's network, by the kick c and the guidance w, and precision beside it.

    python evidence/recall.py

Five times 500 digits for each, by the chapter's family of steps at eighteen levels; a mean with
Student's 95 % interval over the five. It takes an hour of one core.
"""

from itertools import pairwise

import torch
from torch import Tensor

from sbgm import geometric_sigmas, guided, load_images, load_network, measure
from sbgm.measure.classifier import load_classifier

N = 500  # digits of a draw
N_DRAWS = 5
NEIGHBOURS = 3  # k of recall
STUDENT = 2.776  # of four degrees of freedom


@torch.no_grad()
def digits(w: float, c: float, seed: int) -> Tensor:
    """Draw digits (N, 1, 28, 28), 50 of each class: x + (1 − r^{1+c}) σ² s + σ' √(1 − r^{2c}) z with r = σ'/σ."""
    sigmas = geometric_sigmas(5.0, 0.02, 19).tolist()
    score = guided(load_network("own_network"), torch.arange(N) % 10, w)
    generator = torch.Generator().manual_seed(9 + 10 * seed)
    x = torch.randn(N, 1, 28, 28, generator=torch.Generator().manual_seed(8 + 10 * seed))
    x = load_images("mnist_small").mean(dim=0) + sigmas[0] * x
    for sigma, following in pairwise(sigmas):
        r = following / sigma
        z = torch.randn(x.shape, generator=generator)
        x = x + (1 - r ** (1 + c)) * sigma**2 * score(x, sigma) + following * (1 - r ** (2 * c)) ** 0.5 * z
    return x + sigmas[-1] ** 2 * score(x, sigmas[-1])


def main() -> None:
    """Print precision and recall for each w and c."""
    torch.set_num_threads(1)
    classifier = load_classifier()

    def seen(images: Tensor) -> Tensor:
        return measure.in_batches(classifier.features, measure.shown(images)).detach().double()

    real = seen(load_images("mnist_small", "test")[:N])
    for w in (0, 1, 2):
        for c in (0, 1, 100):  # 100 renews all noise
            pairs = [measure.prdc(seen(digits(w, c, seed)), real, k=NEIGHBOURS)[:2] for seed in range(N_DRAWS)]
            values = torch.tensor([[share.value for share in pair] for pair in pairs], dtype=torch.float64)
            means = values.mean(dim=0)
            halves = STUDENT * values.std(dim=0) / N_DRAWS**0.5
            words = [f"{m:.2f} ± {h:.2f}" for m, h in zip(means.tolist(), halves.tolist(), strict=True)]
            print(f"w = {w}, c = {c}: precision {words[0]}, recall {words[1]}", flush=True)


if __name__ == "__main__":
    main()
