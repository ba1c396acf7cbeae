"""Images: data sets by name and one's own, the paper's RefineNet, masks, files of weights, and drawing samples."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
