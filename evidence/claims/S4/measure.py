"""S4: sliced and exact score matching on 4,000 fixed points, 250 draws of directions a field.

The fields are the exact score with a shear added, whose Jacobian is not symmetric, and a network of S2. For Gaussian
directions the variance of vᵀ∇s v is 2‖sym ∇s‖²_F. Rademacher directions, whose components are ±1, leave out the
diagonal terms: the control. Each of the four comparisons fails once in 370 runs by luck.
"""

import torch
from torch import Tensor

from ledger import Record, declared, record, seed
from plane import denoising_network
from sbgm import derived_generator, paper_mixture, score_matching_loss, sliced_score_matching_loss
from sbgm.guard import Score
from sbgm.measure import estimate


def jacobians(field: Score, x: Tensor) -> Tensor:
    """∇_x s(x), one 2 × 2 matrix a point."""
    x_leaf = x.clone().requires_grad_()
    s = field(x_leaf, 0.0)
    rows = [torch.autograd.grad(s[:, d].sum(), x_leaf, retain_graph=True)[0] for d in range(2)]
    return torch.stack(rows, dim=1)


def variance_off(losses: Tensor, predicted: Tensor) -> float:
    """How many standard errors the variance over directions, divided by the predicted one, lies from 1."""
    r = estimate(losses.var(dim=0) / predicted)  # over points
    return (r.value - 1) / r.se


def measure() -> Record:
    """Measure S4: the difference of both losses for each field, and the variance over directions."""
    mixture = paper_mixture()
    shear = torch.tensor([[0.2, -0.3], [0.9, 0.1]])
    fields = {"sheared": lambda x, sigma: mixture.score(x, sigma) + x @ shear.T, "learned": denoising_network(0)}
    x = mixture.sample(4_000, generator=derived_generator(seed("S4"), 0))
    generator = derived_generator(seed("S4"), 1)

    @torch.no_grad()
    def sliced_losses(name: str, projection: str) -> Tensor:
        """One loss for each draw of directions and each point: (250, 4000)."""
        options = {"generator": generator, "projection": projection, "reduction": "none"}
        return torch.stack([sliced_score_matching_loss(fields[name], x, **options) for _ in range(250)])

    losses = {name: sliced_losses(name, "gaussian") for name in fields}
    from_exact = []
    half_widths = []
    for name, field in fields.items():
        mean = estimate(losses[name].mean(dim=1))  # over draws, which are independent
        difference = (mean.value - score_matching_loss(field, x).item()) / mean.se
        from_exact.append(declared("S4", f"{name} field: sliced minus exact, in s.e.", difference))
        trace = float(jacobians(field, x).diagonal(dim1=1, dim2=2).sum(dim=1).mean())
        half_widths.append(1.96 * mean.se / abs(trace))
    J = jacobians(fields["sheared"], x)
    variance = 2 * (0.5 * (J + J.transpose(1, 2))).square().sum(dim=(1, 2))
    diagonal_part = 2 * J.diagonal(dim1=1, dim2=2).square().sum(dim=1)
    rademacher = variance_off(sliced_losses("sheared", "rademacher"), variance - diagonal_part)
    return record(
        "S4",
        [
            *from_exact,
            declared("S4", "half-width over the trace, the larger", max(half_widths)),
            declared("S4", "variance from 2‖sym ∇s‖²_F, in s.e.", variance_off(losses["sheared"], variance)),
            declared("S4", "control: Rademacher directions, variance from their formula, in s.e.", rademacher),
        ],
    )
