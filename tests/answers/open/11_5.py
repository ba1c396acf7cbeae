"""The distance of noisy digits, by a line in 1/n."""

import torch

from sbgm import load_images, measure

SIZES = (300, 600, 1_200, 2_400)
classifier = measure.classifier.load_classifier()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def features(x):
    return measure.in_batches(classifier.features, measure.shown(x)).double()


digits = load_images("mnist_small", "test")[torch.randperm(5_000, generator=seeded())]
real_features = features(digits[:2_500])
real = measure.feature_statistics(real_features)
pool = digits[2_500:]
noisy = features(pool + 0.1 * torch.randn(pool.shape, generator=seeded(9)))
generator = seeded(10)
distances = []
for n in SIZES:
    draws = [torch.randperm(2_500, generator=generator)[:n] for _ in range(8)]
    distances.append(sum(measure.frechet_distance(noisy[draw], real).value for draw in draws) / 8)
line = torch.tensor([[1, 1 / n] for n in SIZES])
at_infinity, slope = torch.linalg.lstsq(line, torch.tensor(distances)[:, None]).solution[:, 0].tolist()
print(f"{SIZES[0]} to {SIZES[-1]:,} digits: {distances[-1]:.2f}, at infinity {at_infinity:.2f}, slope {slope:.0f}")

eigenvalues = torch.linalg.eigvalsh(real_features.T.cov()).clamp(min=1e-12)
products = eigenvalues[:, None] * eigenvalues / (eigenvalues[:, None] + eigenvalues)
print(f"bias {1.25 * eigenvalues.sum() + 0.5 * products.sum():.0f}")
