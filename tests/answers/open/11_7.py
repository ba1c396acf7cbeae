"""Digits with a little noise and without, by two classifiers and three numbers of digits."""

import math

import torch

from sbgm import load_images, measure


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


digits = load_images("mnist_small", "test")[torch.randperm(5_000, generator=seeded())]
real, clean = digits[:2_500], digits[2_500:]
noisy = clean + 0.04 * torch.randn(clean.shape, generator=seeded(1))


def distances(features, others, kept):
    """Of the digits that are kept, without noise and with it."""
    return torch.tensor([measure.frechet_distance(seen[kept], others).value for seen in features])


for name in ("mnist_classifier", "mnist_judge"):  # A and B
    classifier = measure.classifier.load_classifier(name)
    sets = (real, clean, noisy)
    of_real, *features = [measure.in_batches(classifier.features, measure.shown(x)).double() for x in sets]
    others = measure.feature_statistics(of_real)
    for n in (250, 1_000, 2_500):
        without, with_noise = distances(features, others, slice(n)).tolist()
        tenth = torch.arange(n) % 10  # the jackknife leaves out one tenth at a time
        pairs = torch.stack([distances(features, others, (tenth != k).nonzero()[:, 0]) for k in range(10)])
        error = 2 * math.sqrt(0.9 * 9) * float((pairs[:, 1] - pairs[:, 0]).std())
        print(f"{n:,} digits: ratio {with_noise / without:.3g}, difference {with_noise - without:.2f} ± {error:.2f}")
