"""Digits with a little noise and without, by two classifiers and three numbers of digits."""

import torch

from sbgm import load_images, measure


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


digits = load_images("mnist_small", "test")[torch.randperm(5_000, generator=seeded())]
real, clean = digits[:2_500], digits[2_500:]
noisy = clean + 0.04 * torch.randn(clean.shape, generator=seeded(1))
for name in ("mnist_classifier", "mnist_judge"):  # A and B
    classifier = measure.classifier.load_classifier(name)
    features = [measure.in_batches(classifier.features, measure.shown(x)).double() for x in (real, clean, noisy)]
    others = measure.feature_statistics(features[0])
    for n in (250, 1_000, 2_500):
        without, with_noise = (measure.frechet_distance(seen[:n], others).value for seen in features[1:])
        print(f"{n:,} digits: ratio {with_noise / without:.3g}, difference {with_noise - without:.2f}")
