"""Checks of the exercises: `@checks.dsm_target` above a student's function says whether it is right, in one line.

The line names the likely mistake of a wrong function; `checks.dsm_target(dsm_target)` raises it as a WrongAnswer.
An untouched stub, which raises a bare NotImplementedError, is neither right nor wrong: the check says so, and lends a
right function to the cells below.

Each check calls the function on several random inputs, dtypes and shapes, and looks at values, gradients or the law of
what it draws.

The stub `checks.pyi` lists the names. Each chapter's checks are loaded when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__package__ or "", __file__)
