"""Images that a measure of samples must tell from real ones, and the distances and fills that samples are held against.

Everything here is made of real images, so that a measure which only looks at strokes and brightness lets it pass.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from sbgm.measure import Estimate, nearest_neighbours
from sbgm.measure.estimates import Estimated


def turned(images: Tensor) -> Tensor:
    """Images (N, C, H, W) turned by 180°: every stroke is real, but most digits are none any more."""
    return images.flip(-2, -1)


def moved(images: Tensor, rows: int, columns: int) -> Tensor:
    """Images (N, C, H, W) moved down and to the right by whole pixels; black moves in."""
    return functional.pad(images, [columns, -columns, rows, -rows])


def joined_halves(images: Tensor, labels: Tensor) -> Tensor:
    """The left half of each image (N, C, H, W) beside the right half of an image of another class.

    Args:
        images: each half is used once.
        labels: (N,) their classes.

    Raises:
        ValueError: one class has more than half of the images.
    """
    order = labels.argsort(stable=True)
    partner = torch.empty_like(order)
    partner[order] = order.roll(len(order) // 2)
    if bool((labels[partner] == labels).any()):
        raise ValueError("labels must have no class of more than half of the images")
    middle = images.shape[-1] // 2
    return torch.cat([images[..., :middle], images[partner][..., middle:]], dim=-1)


def place(value: Estimated, real: Estimated, wrong: Estimated) -> Estimate:
    """Where a number of samples lies between that of real images, 0, and that of a control, 1: below ½ nearer to real.

    For a Fréchet distance its excess for few images cancels, if all three are of as many. The three estimates are taken
    as independent.
    """
    whole = wrong.value - real.value
    share = (value.value - real.value) / whole
    errors = (value.se, (1 - share) * real.se, share * wrong.se)
    return Estimate(share, math.hypot(*errors) / abs(whole))


def hidden_features(images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """The 100 hidden numbers of a small classifier of small images, trained here in seconds.

    Args:
        images: (N, *shape) training images.
        labels: (N,) their classes.

    Returns:
        A function of images (B, *shape) -> (B, 100) float64.
    """
    from sklearn.neural_network import MLPClassifier

    classifier = MLPClassifier((100,), random_state=0, max_iter=400).fit(images.flatten(1).numpy(), labels.numpy())
    weight, bias = (torch.from_numpy(x[0]).double() for x in (classifier.coefs_, classifier.intercepts_))
    return lambda x: (x.flatten(1).double() @ weight + bias).relu()


def legible(images: Tensor, known: Tensor, labels: Tensor, k: int = 5) -> Tensor:
    """Whether the k real images that are nearest to each image, pixel by pixel, are all of one class: (N,) bool.

    Args:
        images: (N, *shape), such as samples as they would be shown.
        known: (M, *shape), real images.
        labels: (M,) their classes.
    """
    classes = labels[nearest_neighbours(images, known, k).indices]
    return (classes == classes[:, :1]).all(dim=1)


def nearest_moved(images: Tensor, known: Tensor, features: Callable[[Tensor], Tensor], reach: int = 1) -> Tensor:
    """The distance from each image to the nearest known one, moved by up to `reach` pixels each way: (N,).

    Args:
        images: (N, C, H, W).
        known: (M, C, H, W), such as training images.
        features: what they are compared by, (B, C, H, W) -> (B, …).
    """
    points = features(images)
    steps = range(-reach, reach + 1)
    found = [nearest_neighbours(points, features(moved(known, r, c))).distances[:, 0] for r in steps for c in steps]
    return torch.stack(found).amin(dim=0)


def retrieved(images: Tensor, known: Tensor, candidates: Tensor, k: int = 1) -> Tensor:
    """Fills without a network: what is hidden of an image, from the k candidates nearest to it in the known pixels.

    Args:
        images: (N, C, H, W).
        known: (N, 1, H, W) bool, a mask for each image, True where a pixel is known.
        candidates: (M, C, H, W), such as training images.

    Returns:
        (N, k, C, H, W), the nearest candidate's fill first.
    """
    seen = known.expand_as(images).flatten(1).to(images.dtype)
    x = images.flatten(1) * seen
    c = candidates.flatten(1)
    distances = seen @ c.square().T - 2 * x @ c.T  # up to what does not depend on the candidate
    nearest = distances.topk(k, largest=False).indices
    return torch.where(known[:, None], images[:, None], candidates[nearest])


def seam(images: Tensor, known: Tensor) -> Tensor:
    """The mean squared difference of neighbouring pixels of which one is known and the other filled in: (N,).

    Args:
        images: (N, C, H, W) filled images.
        known: (N, 1, H, W) bool, True where a pixel is known.

    Raises:
        ValueError: a mask has no border.
    """
    squares = torch.zeros(len(images), dtype=images.dtype)
    pairs = torch.zeros(len(images))
    for dim in (-2, -1):
        border = known.diff(dim=dim)  # of booleans: where two neighbours differ
        squares += (images.diff(dim=dim).square() * border).sum(dim=(1, 2, 3))
        pairs += border.sum(dim=(1, 2, 3)) * images.shape[1]
    if bool((pairs == 0).any()):
        raise ValueError("known must have known and unknown pixels side by side in every mask")
    return squares / pairs
