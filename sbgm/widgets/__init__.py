"""The sliders of the chapters, each a function that returns a widget.

Names are loaded when first used. The stub `__init__.pyi` lists them.
"""

import lazy_loader

try:
    import ipywidgets  # noqa: F401 - named here, before a slider's module fails on it
except ImportError as error:
    raise ImportError('the sliders need ipywidgets: pip install "sbgm[notebooks]"') from error

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
