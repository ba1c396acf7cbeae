from . import data as data
from . import devices as devices
from . import drawing as drawing
from . import masks as masks
from . import networks as networks
from . import own as own
from . import refinenet as refinenet
from . import weights as weights
