"""The controls of distances between images: what each keeps of the images, and what it destroys."""

import pytest
import torch
from torch.nn import functional

from sbgm.data import load_images
from sbgm.measure import controls, nearest_neighbours, quantise
from sbgm.measure.distances import shuffled_blocks
from seeds import seeded


@pytest.fixture(scope="module")
def patches():
    return load_images("photo_patches")[::9, :, :16, :16]


@pytest.fixture(scope="module")
def made(patches):
    return controls(patches, 300, generator=seeded())


def test_they_are_these_four_each_of_256_shades(made):
    assert list(made) == ["real images", "shuffled blocks", "low resolution", "Gaussian"]
    for x in made.values():
        assert x.shape == (300, 3, 16, 16)
        assert torch.equal(quantise(x).float() / 255, x)


def test_the_real_ones_are_different_images_of_the_set(patches, made):
    found = nearest_neighbours(made["real images"], patches)
    assert float(found.distances.max()) < 1e-5
    assert len(found.indices.unique()) == 300


def test_shuffling_moves_whole_blocks_all_colours_together(made):
    """Each 4×4 block, as a row of pixels, is one of the original's, each as often, and most at another place."""
    blocks = [functional.unfold(made[name], 4, stride=4) for name in ("real images", "shuffled blocks")]
    for real, moved in zip(*(b.transpose(1, 2)[:20] for b in blocks), strict=True):
        same = (real[:, None] == moved[None]).all(dim=2)
        assert same.any(dim=0).all()
        assert same.any(dim=1).all()
    stayed = (blocks[0] == blocks[1]).all(dim=1).float().mean()
    assert float(stayed) == pytest.approx(1 / 16, abs=0.03)


def test_every_order_is_as_likely():
    x = torch.arange(16.0).reshape(1, 1, 4, 4).expand(4_000, -1, -1, -1)
    places = shuffled_blocks(x, generator=seeded()).flatten(1)
    counts = torch.stack([(places == value).sum(dim=0) for value in range(16)])
    assert float((counts / 4_000 - 1 / 16).abs().max()) < 4.5 * (1 / 16 * 15 / 16 / 4_000) ** 0.5


def test_low_resolution_keeps_the_means_of_4_by_4_pixels_near_and_no_detail(made):
    real, low = made["real images"], made["low resolution"]
    assert float((functional.avg_pool2d(low, 4) - functional.avg_pool2d(real, 4)).abs().mean()) < 0.02
    curvature = [x.diff(dim=-1).diff(dim=-1).square().mean() for x in (low, real)]
    assert float(curvature[0]) < float(curvature[1]) / 20
    flat = torch.full((2, 1, 28, 28), 0.4)
    assert controls(flat, 1, generator=seeded())["low resolution"].unique().tolist() == pytest.approx([0.4])


def test_the_gaussian_has_the_mean_and_covariance_of_all_images(patches, made):
    mean = made["Gaussian"].mean(dim=0) - patches.mean(dim=0)
    assert float(mean.abs().mean()) < 3 * float(patches.std(dim=0).mean()) / 300**0.5
