"""Nearest neighbours against brute force, and copies that must be found as copies."""

import pytest
import torch

from sbgm.measure import nearest_neighbours


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("k", [1, 4])
def test_they_are_those_of_brute_force(k):
    x, candidates = rand(10, 1, 3, 3), rand(23, 1, 3, 3, seed=1)
    found = nearest_neighbours(x, candidates, k)
    everything = torch.tensor([[float((a - b).double().norm()) for b in candidates] for a in x])
    distances, indices = everything.sort(dim=1)
    assert found.distances.shape == found.indices.shape == (10, k)
    assert torch.equal(found.indices, indices[:, :k])
    assert torch.allclose(found.distances, distances[:, :k].float())


def test_a_copy_has_the_distance_zero_and_a_near_copy_its_own_in_spite_of_large_norms():
    candidates = 100 + rand(50, 3, 16, 16)
    assert nearest_neighbours(candidates[7:9], candidates).distances.flatten().tolist() == [0, 0]
    nudged = candidates[7:8].clone()
    nudged[0, 0, 0, 0] += 0.25
    found = nearest_neighbours(nudged, candidates)
    assert (found.indices.item(), found.distances.item()) == (7, pytest.approx(0.25))


def test_all_candidates_may_be_asked_for():
    x, candidates = rand(2, 4), rand(5, 4, seed=1)
    found = nearest_neighbours(x, candidates, 5)
    assert found.indices.sort(dim=1).values.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert (found.distances.diff(dim=1) >= 0).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"candidates must be of the shape of x, \(N, 4\), got \(5, 3\)"):
        nearest_neighbours(rand(2, 4), rand(5, 3))
    with pytest.raises(ValueError, match="k must be at most the number of candidates, 5, got 6"):
        nearest_neighbours(rand(2, 4), rand(5, 4), 6)
