"""Images that a measure of samples must tell from real ones, and the distances and fills that samples are held against.

All but the blobs is made of real images, so that a measure which only looks at strokes and brightness lets it pass.
"""

import math
from collections.abc import Callable

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from sbgm.measure import Estimate, nearest_neighbours


def turned(images: Tensor) -> Tensor:
    """Images (N, C, H, W) turned by 180°: every stroke is real, but most digits are none any more."""
    return images.flip(-2, -1)


def moved(images: Tensor, rows: int, columns: int) -> Tensor:
    """Images (N, C, H, W) moved down and to the right by whole pixels; black moves in."""
    return functional.pad(images, [columns, -columns, rows, -rows])


def blobs(n: int, shape: tuple[int, ...], generator: torch.Generator, width: float = 2.0) -> Tensor:
    """Smooth noise between 0 and 1, which shows nothing: (n, C, H, W).

    Args:
        n: how many.
        shape: (C, H, W).
        generator: source of the noise.
        width: standard deviation of the Gaussian that smooths it, in pixels.
    """
    noise = torch.randn(n, *shape, generator=generator)
    smooth = torch.from_numpy(gaussian_filter(noise.numpy(), (0, 0, width, width), mode="wrap"))
    low, high = smooth.flatten(1).aminmax(dim=1)
    low, high = (v[:, None, None, None] for v in (low, high))
    return (smooth - low) / (high - low)


def joined_halves(images: Tensor, labels: Tensor) -> Tensor:
    """The left half of each image (N, C, H, W) beside the right half of an image of another class.

    Args:
        images: each half is used once.
        labels: (N,) their classes, of which none has more than half of the images.
    """
    order = labels.argsort(stable=True)
    partner = torch.empty_like(order)
    partner[order] = order.roll(len(order) // 2)
    middle = images.shape[-1] // 2
    left = images[..., :middle]
    right = images[partner][..., middle:]
    return torch.cat([left, right], dim=-1)


def place(value: Estimate, real: Estimate, wrong: Estimate) -> Estimate:
    """Where a number of samples lies between that of real images, 0, and that of a control, 1: below ½ nearer to real.

    For a Fréchet distance its excess for few images cancels, if all three are of as many. The three estimates are taken
    as independent.
    """
    whole = wrong.value - real.value
    share = (value.value - real.value) / whole
    se = math.hypot(
        value.se,
        (1 - share) * real.se,
        share * wrong.se,
    )
    return Estimate(share, se / abs(whole))


def hidden_features(images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """The 100 hidden numbers of a small classifier of small images, trained here in seconds.

    Args:
        images: (N, *shape) training images.
        labels: (N,) their classes.

    Returns:
        A function of images (B, *shape) -> (B, 100) float64.
    """
    from sklearn.neural_network import MLPClassifier

    classifier = MLPClassifier((100,), random_state=0, max_iter=400)
    classifier.fit(images.flatten(1).numpy(), labels.numpy())
    weight = torch.from_numpy(classifier.coefs_[0])
    bias = torch.from_numpy(classifier.intercepts_[0])

    def features(x: Tensor) -> Tensor:
        hidden = x.flatten(1).to(weight) @ weight + bias
        return hidden.relu().double()

    return features


def legible(images: Tensor, real: Tensor, labels: Tensor, k: int = 5) -> Tensor:
    """Whether the k real images that are nearest to each image, pixel by pixel, are all of one class: (N,) bool.

    Args:
        images: (N, *shape), such as samples as they would be shown.
        real: (M, *shape), such as training images.
        labels: (M,) their classes.
    """
    nearest = nearest_neighbours(images, real, k)
    classes = labels[nearest.indices]
    same = classes == classes[:, :1]
    return same.all(dim=1)


def nearest_moved(images: Tensor, training: Tensor, features: Callable[[Tensor], Tensor], reach: int = 1) -> Tensor:
    """The distance from each image to the nearest training image, moved by up to `reach` pixels each way: (N,).

    Args:
        images: (N, C, H, W).
        training: (M, C, H, W).
        features: what they are compared by, (B, C, H, W) -> (B, …).
    """
    points = features(images)
    least = torch.full((len(images),), math.inf)
    for rows in range(-reach, reach + 1):
        for columns in range(-reach, reach + 1):
            candidates = features(moved(training, rows, columns))
            nearest = nearest_neighbours(points, candidates)
            least = least.minimum(nearest.distances[:, 0])
    return least


def retrieved(images: Tensor, mask: Tensor, candidates: Tensor, k: int = 1) -> Tensor:
    """Fills without a network: what is hidden of an image, from the k candidates nearest to it in the known pixels.

    Args:
        images: (N, C, H, W).
        mask: (N, 1, H, W) bool, one for each image, True where a pixel is known.
        candidates: (M, C, H, W), such as training images.

    Returns:
        (N, k, C, H, W), the nearest candidate's fill first.
    """
    weights = mask.expand_as(images).to(images.dtype)
    weights = weights.flatten(1)
    x = images.flatten(1) * weights
    c = candidates.flatten(1)
    # the squared distance in the known pixels, up to what does not depend on the candidate
    squares = weights @ c.square().T
    distances = squares - 2 * x @ c.T
    nearest = distances.topk(k, largest=False)
    fills = candidates[nearest.indices]
    return torch.where(mask[:, None], images[:, None], fills)


def seam(images: Tensor, mask: Tensor) -> Tensor:
    """The mean squared difference of neighbouring pixels of which one is known and the other filled in: (N,).

    Args:
        images: (N, C, H, W) filled images.
        mask: (N, 1, H, W) bool, True where a pixel is known: some of them are, and some not.
    """
    total = torch.zeros(len(images))
    pairs = torch.zeros(len(images))
    for dim in (-2, -1):
        border = mask.diff(dim=dim)  # of booleans: True where two neighbours differ
        squares = images.diff(dim=dim).square() * border
        total += squares.sum(dim=(1, 2, 3))
        pairs += images.shape[1] * border.sum(dim=(1, 2, 3))
    return total / pairs
