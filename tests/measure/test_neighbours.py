"""Nearest neighbours: copies must be found as copies."""

import pytest
import torch

from sbgm.measure import nearest_neighbours


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_copy_has_the_distance_zero_and_a_near_copy_its_own_in_spite_of_large_norms():
    candidates = 100 + rand(50, 3, 16, 16)
    assert nearest_neighbours(candidates[7:9], candidates).distances.flatten().tolist() == [0, 0]
    nudged = candidates[7:8].clone()
    nudged[0, 0, 0, 0] += 0.25
    found = nearest_neighbours(nudged, candidates)
    assert (found.indices.item(), found.distances.item()) == (7, pytest.approx(0.25))
