"""The authors' image network, CondRefineNetDilated: written out a second time, and the names of its parameters."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbgm.images.refinenet import RefineNet


class AuthorsNetwork:
    """The authors' network, CondRefineNetDilated, by torch's plain layers, with the weights of ours: a score.

    Their norm is an instance norm and three terms more, their poolings and resizings are torch's, and nothing is done
    in place.

    Args:
        ours: whose convolutions are called, and whose embeddings hold γ, α and β.
    """

    def __init__(self, ours: RefineNet) -> None:
        self.ours = ours
        self.level = torch.zeros(0)

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Images (B, C, H, W), σ a float or (B,) -> scores, by the level nearest to each σ."""
        ours = self.ours
        self.level = (torch.as_tensor(sigma).reshape(-1, 1) - ours.sigmas).abs().argmin(dim=1).expand(len(x))
        h = ours.begin(2 * x - 1)
        maps = []
        for block in (block for stage in ours.stages for block in stage):
            h = self.residual(block, h)
            maps.append(h)
        refined = self.refined(ours.refines[0], maps[-1:])
        for refine, skipped in zip(ours.refines[1:], maps[-3::-2], strict=True):  # what each stage ends with
            refined = self.refined(refine, [skipped, refined])
        return ours.end(self.active(ours.norm, refined))

    def normed(self, norm: nn.Module, x: Tensor) -> Tensor:
        """Conditional instance normalisation++, γ (x̂ + α μ̂) + β, term by term."""
        gamma, alpha, beta = norm.levels(self.level)[..., None, None].chunk(3, dim=1)
        means = x.mean(dim=(2, 3), keepdim=True)
        variance, mean = torch.var_mean(means, dim=1, keepdim=True)
        return gamma * (functional.instance_norm(x) + alpha * (means - mean) / torch.sqrt(variance + 1e-5)) + beta

    def active(self, norm: nn.Module, x: Tensor) -> Tensor:
        """The norm, then ELU."""
        return functional.elu(self.normed(norm, x))

    def residual(self, block: nn.Module, x: Tensor) -> Tensor:
        """The encoder's block: two convolutions plus a shortcut, then the mean over 2×2 if it halves."""
        h = block.conv1(self.active(block.norm1, x))
        h = block.conv2(self.active(block.norm2, h))
        return block.pool(h) + block.pool(block.shortcut(x))

    def convolved(self, unit: nn.Module, x: Tensor) -> Tensor:
        """A residual convolution unit."""
        for i in range(0, len(unit.convs), 2):
            h = unit.convs[i](self.active(unit.norms[i], x))
            x = unit.convs[i + 1](self.active(unit.norms[i + 1], h)) + x
        return x

    def refined(self, block: nn.Module, maps: Sequence[Tensor]) -> Tensor:
        """A refine block: a unit for each map, their fusion, the chained pooling, a unit."""
        units = [self.convolved(unit, x) for unit, x in zip(block.inputs, maps, strict=True)]
        if block.fusion is not None:
            layers = zip(block.fusion.convs, block.fusion.norms, units, strict=True)
            resize = partial(functional.interpolate, size=maps[0].shape[2:], mode="bilinear", align_corners=True)
            units = [torch.stack([resize(conv(self.normed(norm, x))) for conv, norm, x in layers]).sum(dim=0)]
        h = x = functional.elu(units[0])
        for norm, conv in zip(block.pooling.norms, block.pooling.convs, strict=True):
            h = conv(functional.avg_pool2d(self.normed(norm, h), 5, stride=1, padding=2))
            x = h + x
        return self.convolved(block.output, x)


def as_theirs(network: RefineNet) -> dict[str, Tensor]:
    """The parameters of ours under the names that their `checkpoint.pth` has, written out layer by layer."""
    layers = {"begin_conv": network.begin, "normalizer.embed": network.norm.levels, "end_conv": network.end}
    for i, stage in enumerate(network.stages, 1):
        for j, block in enumerate(stage):
            at, wrapped = f"res{i}.{j}", ".conv" if (i, j) == (2, 0) else ""
            layers[f"{at}.normalize1.embed"] = block.norm1.levels
            layers[f"{at}.conv1"] = block.conv1
            layers[f"{at}.normalize2.embed"] = block.norm2.levels
            layers[f"{at}.conv2{wrapped}"] = block.conv2
            if (i, j) in ((2, 0), (3, 0), (4, 0)):
                layers[f"{at}.shortcut{wrapped}"] = block.shortcut
    for i, block in enumerate(network.refines, 1):
        units = {"output_convs": block.output}
        for j, unit in enumerate(block.inputs):
            units[f"adapt_convs.{j}"] = unit
        for name, unit in units.items():
            for n, (norm, conv) in enumerate(zip(unit.norms, unit.convs, strict=True)):
                at = f"refine{i}.{name}.{('1_1', '1_2', '2_1', '2_2', '3_1', '3_2')[n]}"
                layers[f"{at}_norm.embed"] = norm.levels
                layers[f"{at}_conv"] = conv
        for name, part in {"crp": block.pooling, "msf": block.fusion}.items():
            for j in (0, 1) if part else ():
                layers[f"refine{i}.{name}.norms.{j}.embed"] = part.norms[j].levels
                layers[f"refine{i}.{name}.convs.{j}"] = part.convs[j]
    tensors = OrderedDict()
    for name, layer in layers.items():
        for kind, value in layer.state_dict().items():
            tensors[f"module.{name}.{kind}"] = value
    tensors._metadata = OrderedDict({"": {"version": 1}})  # as torch puts it into every state_dict
    return tensors
