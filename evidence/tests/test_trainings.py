"""Numbers of other trainings of the MNIST network: those of the claims, on a file, and their scatter."""

import pytest
import torch

import ledger
import levels
import trainings
from claims.N1 import measure as N1
from errors import of_networks
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import ratio


def test_a_file_has_the_numbers_that_the_claims_bound(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(N1, "N_IMAGES", 8)
    file = str(mnist / "mnist_ncsn.safetensors")
    numbers = trainings.of_training(file, tmp_path, n_samples=130, n_steps=1, step_size=4e-5)
    for claim_id in ("I1", "I4", "I7"):
        bounds = ledger.claims()[claim_id].bounds
        bounded = {f"{claim_id}: {i}" for i, b in bounds.items() if claim_id == "I1" or not b.control}
        found = {i for i in numbers if i.startswith(claim_id) and not i.startswith("I1: share of ")}
        assert bounded == found
    assert "I6: annealed over the nearer control" in numbers
    shares = [numbers[f"I1: share of {digit}"] for digit in range(10)]
    assert min(shares) == pytest.approx(numbers["I1: smallest share of a class"])
    assert max(shares) == pytest.approx(numbers["I1: largest share of a class"])
    network, images = load_network(file), load_images("mnist", "test")[:8]
    by_level = levels.level_by_level(network, images, network.sigmas, generator=N1.generator_for(levels.N_NETWORKS))
    assert numbers["N1: largest over smallest λℓ"] == levels.spread(by_level[1]).value
    assert numbers["N2: slope"] == levels.slope(network.sigmas, by_level[2]).value
    of_two = ratio(*(levels.estimates(by_level[0])[i] for i in (0, 1)))  # with two levels, σ = 1 and 0.1
    assert numbers["N5: max/min, α ∝ σ²"] == pytest.approx(max(of_two.value, 1 / of_two.value))


def test_a_slope_is_that_of_a_power_law():
    sigmas = torch.tensor([1.0, 0.3, 0.1], dtype=torch.float64)
    by_level = torch.stack([5 * sigmas**-0.9, 0.01 * sigmas], dim=1)
    assert levels.slope(sigmas, by_level).value == pytest.approx(-0.9, abs=1e-5)


def test_the_scatter_of_trainings_is_students():
    found = trainings.between([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 2.5}, {"a": 5.0, "b": 2.0}])
    assert found == {"a": of_networks(torch.tensor([1.0, 3.0, 5.0])), "b": of_networks(torch.tensor([2.0, 2.5, 2.0]))}


def test_the_table_has_a_row_a_number_and_a_column_a_training():
    table = trainings.table_of(
        {"one": {"a": 1.0, "b": 2.0}, "two": {"a": 3.0, "b": 2.5}, "three": {"a": 5.0, "b": 2.0}}
    )
    assert list(table.columns) == ["number", "one", "two", "three", "mean", "plus_minus"]
    assert table.iloc[0].tolist()[:5] == ["a", 1, 3, 5, 3]
    assert table["plus_minus"][0] == 2 * of_networks(torch.tensor([1.0, 3.0, 5.0])).se
    assert list(trainings.table_of({"one": {"a": 1.0, "b": 2.0}}).columns) == ["number", "one"]


def test_so_few_samples_that_they_have_no_distance_are_refused_before_any_is_drawn(mnist, monkeypatch):
    monkeypatch.setattr("sys.argv", ["trainings.py", "runs/seed1", "--samples", "128"])
    with pytest.raises(ValueError, match="samples must be more than 128, the number of features, got 128"):
        trainings.main()
