"""Score networks, each a `torch.nn.Module` that is called as `network(x, sigma)`."""

from sbgm.networks.energy import EnergyMLP
from sbgm.networks.mlp import MLP, ConditionalMLP
from sbgm.networks.refinenet import RefineNet
from sbgm.networks.resnet import ResNet

__all__ = ["MLP", "ConditionalMLP", "EnergyMLP", "RefineNet", "ResNet"]
