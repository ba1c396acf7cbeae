"""Numbers of another training of the MNIST network: those of the claims, and how the page tells them."""

import pytest
import torch

import errors
import ledger
import recipes
import second_training
from claims.I8 import measure as I8
from claims.N1 import measure as N1
from sbgm.images.data import load_images
from sbgm.images.weights import load_network


def test_a_file_has_the_numbers_that_the_claims_bound(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(N1, "N_IMAGES", 8)
    monkeypatch.setattr(I8, "FIRST_CONTROL", 0)
    monkeypatch.setattr(I8, "FIRST", 0)
    monkeypatch.setattr(I8, "N_CONTROL", 2)
    file = str(mnist / "mnist_ncsn.safetensors")
    measured = second_training.of_training(file, tmp_path, n_samples=130, n_images=2, n_steps=1)
    numbers = {claim_id: {m.label: m for m in of_claim} for claim_id, of_claim in measured.items()}
    for claim_id, of_others in {
        "I1": set(),
        "I4": set(),
        "I7": set(),
        "I8": set(),
        "N1": {"twins' λℓ over it at the three largest σ, the least"},
    }.items():
        assert set(ledger.claims()[claim_id].bounds) - set(numbers[claim_id]) == of_others
    assert set(numbers["I6"]) | set(numbers["N2"]) == {"annealed over the nearer control", "slope, RefineNet"}
    network, images = load_network(file), load_images("mnist", "test")[:8]
    by_level = errors.level_by_level(network, images, network.sigmas, generator=N1.generator_for(recipes.N_PERCEPTRONS))
    assert numbers["N1"]["RefineNet: largest over smallest λℓ"].value == errors.spread(by_level[1]).value
    assert numbers["N2"]["slope, RefineNet"].value == errors.slope(network.sigmas, by_level[2]).value
    of_two = errors.ratio(*(errors.estimates(by_level[0])[i] for i in (0, 1)))  # with two levels, σ = 1 and 0.1
    assert numbers["N5"]["max/min, α ∝ σ², RefineNet"].value == pytest.approx(max(of_two.value, 1 / of_two.value))


def test_a_slope_is_that_of_a_power_law():
    sigmas = torch.tensor([1.0, 0.3, 0.1], dtype=torch.float64)
    by_level = torch.stack([5 * sigmas**-0.9, 0.01 * sigmas], dim=1)
    assert errors.slope(sigmas, by_level).value == pytest.approx(-0.9, abs=1e-5)


def test_missing_images_are_told_before_any_sample_is_drawn(monkeypatch, tmp_path):
    monkeypatch.setenv("SBGM_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["second_training.py", "runs/second"])
    with pytest.raises(FileNotFoundError, match="MNIST"):
        second_training.main()
