"""Score networks, each a `torch.nn.Module` that is called as `network(x, sigma)`."""

from sbgm.networks.energy import EnergyMLP
from sbgm.networks.image_mlp import ImageMLP
from sbgm.networks.in_range import in_range
from sbgm.networks.mlp import MLP, ConditionalMLP
from sbgm.networks.refinenet import RefineNet, rescaled
from sbgm.networks.resnet import ResNet

__all__ = ["MLP", "ConditionalMLP", "EnergyMLP", "ImageMLP", "RefineNet", "ResNet", "in_range", "rescaled"]
