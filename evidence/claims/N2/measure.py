"""N2: the slope of E‖s‖ against σ, of the networks that N1 measured; and of the mixture's exact scores, the control.

The law is one of the data, which look like a thin sheet at all scales of the ladder. The mixture has a width: once σ is
far below it, the slope must be 0. The RefineNet must obey E‖σs‖² + 2λℓ = D, as a score at its optimum does.
"""

from errors import level_by_level, of_perceptrons, off_dimension, slope
from ledger import Record, declared, load_record, record, reported, seed
from samples import narrower_width
from sbgm import derived_generator, geometric_sigmas, load_network, paper_mixture


def measure() -> Record:
    """Measure N2: the slopes, and how far each kind of score is from its optimum."""
    by_level = load_record("N1").tensors
    sigmas = load_network("mnist_ncsn").sigmas
    mixture = paper_mixture()
    mixture_sigmas = geometric_sigmas(10.0, 0.001, 17)
    clean = mixture.sample(20_000, generator=derived_generator(seed("N2")))
    options = {"generator": derived_generator(seed("N2"), 1), "n_noise": 1, "n_side": len(clean)}
    _, _, norms, sums = level_by_level(mixture.score, clean, mixture_sigmas, **options)
    small = mixture_sigmas <= 0.1001
    perceptrons = {"held-out": by_level["held_out"], "training": by_level["training"]}
    return record(
        "N2",
        [
            declared("N2", "slope, RefineNet", slope(sigmas, by_level["refinenet"][2])),
            declared(
                "N2",
                "control: RefineNet, E‖σs‖² + 2λℓ off D, the largest",
                off_dimension(by_level["refinenet"][3], 784),
            ),
            declared(
                "N2",
                "control: slope for σ ≤ 0.1, exact scores of the mixture",
                slope(mixture_sigmas[small], norms[small]),
            ),
            reported(
                "slope, five perceptrons",
                of_perceptrons(by_level["held_out"], lambda levels: slope(sigmas, levels[2])),
            ),
            reported(
                "the same, training digits",
                of_perceptrons(by_level["training"], lambda levels: slope(sigmas, levels[2])),
            ),
            *(
                reported(
                    f"perceptrons: sum off D, {digits} digits",
                    of_perceptrons(of_digits, lambda levels: off_dimension(levels[3], 64)),
                )
                for digits, of_digits in perceptrons.items()
            ),
            reported("exact scores of the mixture: sum off D", off_dimension(sums, 2)),
        ],
        narrower=f"{narrower_width()}on MNIST, one training; the perceptrons are not at their optimum on held-out "
        "digits and decide nothing",
        data="measured by N1: 1,000 MNIST test digits, 360 held-out and 1,437 training digits",
        networks=["mnist_ncsn"],
    )
