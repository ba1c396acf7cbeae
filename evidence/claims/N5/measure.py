"""N5: the largest over the smallest ratio α E‖s‖²/4 of a step's signal to its noise, over the levels, for α ∝ σ².

Exact scores of points on the ladder of Fig. 3 and the RefineNet that N1 measured decide. With a constant α the ratio
must vary more, and the network must obey E‖σs‖² + 2λℓ = D: the controls. On the text's ladder, far below the width of
the mixture's components, it does not stay level.
"""

import torch
from torch import Tensor

from errors import level_by_level, of_perceptrons, off_dimension, spread
from ledger import Record, declared, load_record, record, reported, seed
from plane import FIGURE3_SIGMAS, TEXT_SIGMAS
from samples import narrower_width
from sbgm import derived_generator, load_network, paper_mixture
from sbgm.measure import Estimate

N_POINTS = 50_000


def spreads(lengths: Tensor, ladder: Tensor) -> tuple[Estimate, Estimate]:
    """The largest over the smallest α E‖s‖²/4, from E‖σs‖² (L, 2): for α ∝ σ², and for a constant α."""
    return spread(lengths), spread(lengths / ladder[:, None] ** 2)


def measure() -> Record:
    """Measure N5: both ratios of each score."""
    by_level = load_record("N1").tensors
    sigmas = load_network("mnist_ncsn").sigmas
    points = paper_mixture(stds=0.0)
    generator = derived_generator(seed("N5"))
    centres = points.means[torch.multinomial(points.weights, N_POINTS, replacement=True, generator=generator)]
    options = {"generator": generator, "n_noise": 1, "n_side": N_POINTS}
    of_points, *_ = level_by_level(points.score, centres, FIGURE3_SIGMAS, **options)
    mixture = paper_mixture()
    clean = mixture.sample(20_000, generator=derived_generator(seed("N2")))
    of_mixture, *_ = level_by_level(mixture.score, clean, TEXT_SIGMAS, **options)
    exact, exact_constant = spreads(of_points, FIGURE3_SIGMAS)
    mnist, mnist_constant = spreads(by_level["refinenet"][0], sigmas)
    held_out = by_level["held_out"]
    return record(
        "N5",
        [
            declared("N5", "max/min, α ∝ σ², exact scores", exact),
            declared("N5", "max/min, α ∝ σ², RefineNet", mnist),
            declared("N5", "constant α, exact scores", exact_constant),
            declared("N5", "constant α, RefineNet", mnist_constant),
            declared(
                "N5",
                "control: RefineNet, E‖σs‖² + 2λℓ off D, the largest",
                off_dimension(by_level["refinenet"][3], 784),
            ),
            reported(
                "max/min, α ∝ σ², perceptrons", of_perceptrons(held_out, lambda levels: spreads(levels[0], sigmas)[0])
            ),
            reported("constant α, perceptrons", of_perceptrons(held_out, lambda levels: spreads(levels[0], sigmas)[1])),
            reported("α ∝ σ², 10 → 0.1 on unit-variance components (the limit)", spreads(of_mixture, TEXT_SIGMAS)[0]),
        ],
        narrower=f"{narrower_width()}one network on images; far below the data's own width it fails",
        data="exact scores of the mixture; of networks measured by N1, on 1,000 MNIST test digits and 360 held-out "
        "digits",
        networks=["mnist_ncsn"],
    )
