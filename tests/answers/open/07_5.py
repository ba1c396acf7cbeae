"""Exercise 7.5: training images that were moved by one pixel."""

import torch

import sbgm

training = sbgm.load_images("mnist_small")
real = sbgm.load_images("mnist_small", "test")


def distance_to_training(images):
    return torch.cdist(images.flatten(1), training.flatten(1)).amin(dim=1)


of_test = distance_to_training(real)
of_moved = distance_to_training(training[:500].roll(1, dims=-1))
print(f"median distances: test images {of_test.median():.1f}, moved copies {of_moved.median():.1f}")
assert not (of_moved < of_test.quantile(0.01)).any()
