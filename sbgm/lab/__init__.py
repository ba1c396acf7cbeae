"""The paper's experiments as functions of their settings, at laptop scale and at the paper's own.

Names are loaded when first used. The stub `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
