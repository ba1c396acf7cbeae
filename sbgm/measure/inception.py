"""Inception's features, by torch-fidelity, and what they measure: KID, FID and the Inception Score.

Needs the extra [fid], for torch-fidelity. It expects images quantised to 256 shades, and resizes them to 299×299
the way the original TensorFlow code did.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from sbgm.files import content_hash, fetch, from_extra
from sbgm.guard import Batch, Count, checked, require_batch
from sbgm.measure.distances import FeatureStatistics, frechet_distance, in_batches, kernel_distance, quantise
from sbgm.measure.estimates import Estimate, Logits

N_FEATURES = 2_048
FEWEST_FOR_FID = 2_560
WEIGHTS_VARIABLE = "SBGM_FID_WEIGHTS"
URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class Inception:
    """The Inception network of 2015-12-05 that FID is defined by.

    Args:
        weights: a file of its weights in torch-fidelity's form; None takes the file that $SBGM_FID_WEIGHTS names, and
            where that is not set the one that torch-fidelity's makers publish (96 MB, once, into torch's cache).
        device: the device on which the network runs.

    Attributes:
        name: "inception-" and the start of its weights' hash, which tells features of other weights apart.
        has_logits: whether the weights include the last layer, which the Inception Score needs.

    Raises:
        ImportError: torch-fidelity is not installed; the message says which extra brings it.
        FileNotFoundError: there is no such file.
        OSError, ValueError: the download failed, or what came is not the file.
    """

    def __init__(self, weights: Path | str | None = None, device: torch.device | str = "cpu") -> None:
        with from_extra("fid"):
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        path = weights or os.environ.get(WEIGHTS_VARIABLE)
        if path is None:
            path = fetch(URL, Path(torch.hub.get_dir()) / "checkpoints", URL.rsplit("/", 1)[1], SHA256)
        if not Path(path).is_file():
            raise FileNotFoundError(f"weights must be a file of Inception's weights, but there is none at {path}")
        torch.load(path, map_location="meta", weights_only=True)  # torch-fidelity would run code pickled in it
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
        self.has_logits = bool(network.fc.weight.any())
        self.name = f"inception-{content_hash(*network.state_dict().values())[:8]}"
        self.device = torch.device(device)
        self._network = network.to(self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - a quarter faster on a CPU

    def features(self, images: Batch, *, batch_size: Count = 50) -> Tensor:
        """Colour images (N, 3, H, W), clamped to [0, 1] and quantised -> (N, 2048) float32 on the CPU."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be colour images (N, 3, H, W), got shape {tuple(images.shape)}")
        return in_batches(lambda x: self._network(quantise(x).to(self.device))[0], images, batch_size)

    def logits(self, features: Tensor) -> Tensor:
        """Features (N, 2048) -> (N, 1008) float32 on the CPU, without the bias, as the Inception Score's.

        Raises:
            ValueError: the weights have no last layer.
        """
        if not self.has_logits:
            raise ValueError(
                "the Inception Score needs logits, and these weights have no last layer (theirs is all zeros); "
                "torch-fidelity's own weights have one"
            )
        return features @ self._network.fc.weight.cpu().T


def _inception(features: Tensor | FeatureStatistics, name: str) -> None:
    if isinstance(features, FeatureStatistics):
        return
    if require_batch(features, name).ndim != 2 or features.shape[1] != N_FEATURES:
        raise ValueError(f"{name} must be Inception features (N, {N_FEATURES}), got shape {tuple(features.shape)}")


InceptionFeatures = Annotated[Tensor, _inception]  # (N, 2048)
InceptionStatistics = Annotated[Tensor | FeatureStatistics, _inception]


@checked
def kid(samples: InceptionFeatures, reference: InceptionFeatures) -> Estimate:
    """The kernel distance in Inception's features; its mean does not depend on the number of samples.

    Args:
        samples: (N, 2048) features of samples.
        reference: (N', 2048) features of real images.
    """
    return kernel_distance(samples, reference)


@checked
def fid(samples: InceptionFeatures, reference: InceptionStatistics) -> Estimate:
    """The Fréchet distance in Inception's features, from 2,560 samples up: compare it at equal numbers of samples.

    Args:
        samples: (N, 2048) features of samples.
        reference: (N', 2048) features of real images, or their statistics.

    Raises:
        ValueError: either set is smaller than 2,560.
    """
    require_enough(len(samples), "samples")
    require_enough(reference.n if isinstance(reference, FeatureStatistics) else len(reference), "reference")
    return frechet_distance(samples, reference)


def require_enough(n: int, name: str) -> None:
    """Raise unless FID can be taken of so many images."""
    if n < FEWEST_FOR_FID:
        raise ValueError(
            f"{name} must be at least {FEWEST_FOR_FID:,} for FID, got {n:,}: the covariance of {N_FEATURES:,} features "
            "is singular from fewer images than features, and poor from barely more. Report KID, whose mean does not "
            "depend on the number"
        )


@checked
def inception_score(logits: Logits, *, n_splits: Count = 10) -> tuple[float, float]:
    """exp E KL(p(y | x) ‖ p(y)) of Salimans et al. 2016: mean and standard deviation over equal splits.

    Args:
        logits: (N, K), N ≥ n_splits.
        n_splits: parts, each with its own p(y), taken in order; ten by custom.
    """
    if len(logits) < n_splits:
        raise ValueError(f"logits must be at least {n_splits}, one a split, got {len(logits)}")
    ends = [i * len(logits) // n_splits for i in range(n_splits + 1)]
    scores = []
    for start, end in itertools.pairwise(ends):
        log_p = logits[start:end].double().log_softmax(dim=1)
        p = log_p.exp()
        scores.append(math.exp((p * (log_p - p.mean(dim=0).log())).sum(dim=1).mean()))
    return statistics.fmean(scores), statistics.pstdev(scores)
