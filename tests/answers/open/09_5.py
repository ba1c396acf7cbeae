"""Exercise 9.5: training images that were moved by one pixel, or got noise."""

import torch

import sbgm
from sbgm.measure import load_classifier

training = sbgm.load_images("mnist_small")
real, labels = sbgm.load_images("mnist_small", "test"), sbgm.load_labels("mnist_small", "test")


def distance_to_training(images):
    return torch.cdist(images.flatten(1), training.flatten(1)).amin(dim=1)


of_test = distance_to_training(real)
limits = torch.stack([of_test[labels == digit].quantile(0.01) for digit in range(10)])
moved = training[:500].roll(1, dims=-1)
of_moved = distance_to_training(moved)
near = of_moved < limits[load_classifier("mnist_judge")(moved).argmax(dim=1)]
print(f"median distances: test images {of_test.median():.1f}, moved copies {of_moved.median():.1f}")
print(f"suspicious: {int(near.sum())} of {len(near)}")
noisy = training[:500] + 0.05 * torch.randn(moved.shape, generator=torch.Generator().manual_seed(0))
of_noisy = distance_to_training(noisy)
read = load_classifier("mnist_judge")(noisy.clamp(0, 1)).argmax(dim=1)
passes, is_one = of_noisy >= limits[read], sbgm.load_labels("mnist_small")[:500] == 1
print(f"with noise: {int((passes & is_one).sum())} of {int(is_one.sum())} ones pass,", end=" ")
print(f"{int((~passes & ~is_one).sum())} of {int((~is_one).sum())} other digits are caught")
print(f"limit of ones {limits[1]:.1f}, distance of noisy ones {of_noisy[is_one].median():.1f}, noise 0.05")
