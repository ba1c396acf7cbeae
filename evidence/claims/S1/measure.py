"""S1: the trace objective and the Fisher divergence of five models, by sums over a grid.

Their difference must be −½E‖∇log p‖², about −1. A sum over a fine grid with weights p(x) Δ² has no standard error.
"""

import torch

from ledger import Record, declared, guard, record, seed
from plane import fine_grid
from sbgm import MLP, derived_generator, paper_mixture, score_matching_loss


def measure() -> Record:
    """Measure S1: the smallest and the largest difference, and the constant."""
    mixture = paper_mixture()
    points, weights = fine_grid()

    def mean_under_p(values: torch.Tensor) -> float:
        return float((weights * values).sum())

    exact = mixture.score(points)
    constant = -0.5 * mean_under_p(exact.square().sum(dim=1))
    quarter_turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    models = (
        mixture.score,
        lambda x, sigma: 0 * x,
        lambda x, sigma: -x,
        lambda x, sigma: mixture.score(x, sigma) + 0.3 * x @ quarter_turn,  # no gradient
        MLP(generator=derived_generator(seed("S1"), 0)).double(),  # untrained
    )
    differences = []
    for model in models:
        with torch.no_grad():
            objective = mean_under_p(score_matching_loss(model, points, reduction="none"))
            divergence = mean_under_p(0.5 * (model(points, 0.0) - exact).square().sum(dim=1))
        differences.append(objective - divergence)
    return record(
        "S1",
        [
            declared("S1", "J − F, the smallest of five models", min(differences)),
            declared("S1", "J − F, the largest of five models", max(differences)),
            declared("S1", "−½E‖∇log p‖²", constant),
            guard("distance from it, at most", max(abs(d - constant) for d in differences), high=1e-6),
            guard("sum of the grid's weights, off 1", abs(float(weights.sum()) - 1), high=1e-6),
        ],
    )
