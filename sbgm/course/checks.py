"""Checks of the exercises: `checks.dsm_target(dsm_target)` raises a WrongAnswer that names the likely mistake.

An untouched stub, which raises a bare NotImplementedError, is neither right nor wrong: its check says so and goes on.
Each check calls the function on several random inputs, dtypes and shapes, and looks at values, gradients or the law of
what it draws.

The stub `checks.pyi` lists the names. Each chapter's checks are loaded when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__package__, __file__)
