from . import images as images
from . import runs as runs
from .images import NCSN as NCSN
from .images import train_ncsn as train_ncsn
