"""The sliders of the chapters, each a function that returns a widget.

Names are loaded when first used. The stub `__init__.pyi` lists them.
"""

import lazy_loader

from sbgm.files import from_extra

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Load a slider. Until then ipywidgets is not missed, so that `help(sbgm)` works without it."""
    with from_extra("notebooks"):
        return _loaded(name)
