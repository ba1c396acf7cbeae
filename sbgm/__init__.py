"""Score-based generative modelling: *Generative Modeling by Estimating Gradients of the Data Distribution* reproduced.

A score is any callable `score(x, sigma)`: x of shape (B, *shape), sigma a float or a (B,) tensor, returning x's shape.
Exact mixtures, networks and energy gradients are then interchangeable in every loss and sampler.

A flat file here is course text: `distributions`, `noise`, `losses`, `samplers` and `networks` are an evening, the rest
serves them. A folder is a room that one may skip: `train`, `measure`, `course`, `widgets`, `cli`, `apps`.

Names are loaded when first used, so that `import sbgm` costs little. The stub `__init__.pyi` lists them.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
