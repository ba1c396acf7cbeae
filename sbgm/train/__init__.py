"""Trainings: of seconds and minutes, as chapters use them, and of hours, in a folder, that can be stopped and resumed.

Names are loaded when first used. The stub `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
