"""Score-based generative modelling: *Generative Modeling by Estimating Gradients of the Data Distribution* reproduced.

A score is any callable `score(x, sigma)`: x of shape (B, *shape), sigma a float or a (B,) tensor, returning x's shape.
Exact mixtures, networks and energy gradients are then interchangeable in every loss and sampler.

The spine is an evening's reading, in this order: `mixtures`, `noise`, `losses`, `samplers`, `networks`, `training`.
`theory` has what is known exactly, `plots` the figures. A folder is a room that one may skip: `images`, `measure`,
`checks`, `widgets`, `apps`; `guard` and `files` serve them all.

Names are loaded when first used, so that `import sbgm` costs little. The stub `__init__.pyi` lists them.
"""

import lazy_loader as _lazy_loader  # so that no editor offers it as a name of the package

from sbgm import _moved

__version__ = "0.3.0"

_loaded, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Load a name of the package, or a module under its old name."""
    try:
        return _loaded(name)
    except AttributeError:
        return _moved.moved(f"sbgm.{name}")
