"""The command `train`, which is `sbgm.apps.train`."""

from sbgm.apps.train import __doc__ as __doc__
from sbgm.apps.train import add_arguments as add_arguments
from sbgm.apps.train import run as run
