"""Score-based generative modelling: "Generative Modeling by Estimating Gradients of the Data Distribution" reproduced.

A thousand points, spread over the plane, go down a ladder of noise levels and become samples of the paper's mixture:

    >>> import torch
    >>> from sbgm import annealed_langevin, final, geometric_sigmas, paper_mixture
    >>> sigmas, generator = geometric_sigmas(10, 0.1, 10), torch.Generator().manual_seed(0)
    >>> start, options = 16 * torch.rand(1000, 2, generator=generator) - 8, {"step_size": 0.005, "n_steps": 100}
    >>> x = final(annealed_langevin(paper_mixture().score, start, sigmas, generator=generator, **options))
    >>> print(f"{(x.sum(dim=1) > 0).float().mean():.1f} of them are at (5, 5), the mode whose weight is 0.8")
    0.8 of them are at (5, 5), the mode whose weight is 0.8

A score is any callable `score(x, sigma)`: x of shape (B, *shape), sigma a float or a (B,) tensor, returning x's shape.
Exact mixtures, networks and energy gradients are then interchangeable in every loss and sampler.

The spine is an evening's reading, in this order: `mixtures`, `noise`, `losses`, `samplers`, `networks`, `training`.
`theory` has what is known exactly, `plots` the figures. A folder is a room that one may skip: `images`, `measure`,
`widgets`, `apps`; `guard` and `files` serve them all.

Names are loaded when first used, so that `import sbgm` costs little. The stub `__init__.pyi` lists them.
"""

import lazy_loader as _lazy_loader  # so that no editor offers it as a name of the package

__version__ = "0.3.0"

__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)
