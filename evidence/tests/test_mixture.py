"""Training on the mixture, and the networks that ship: that they are good, and that they can be remade."""

import pytest
import torch

from recipes import SHIPPED, MixtureTraining, fisher_divergence, level_errors, load_shipped, train_mixture
from sbgm import ConditionalMLP, GaussianMixture, geometric_sigmas, paper_mixture
from sbgm.files import load_tensors, read_facts
from sbgm.images.weights import weights_file, weights_folder
from seeds import seeded
from ship_weights import ship


@pytest.mark.parametrize("objective", ["denoising", "sliced", "exact"])
def test_every_objective_learns_the_perturbed_score(objective):
    """A short training brings the error of most levels far below 1, the error of s = 0."""
    network = ConditionalMLP(width=64, data_std=5.0, generator=seeded())
    settings = MixtureTraining(objective, n_steps=300)
    steps = list(train_mixture(network, paper_mixture(), settings))
    assert [step.step for step in steps] == list(range(1, 301))
    errors = level_errors(network, paper_mixture(), settings.sigmas, n=2_000, generator=seeded())
    assert float(errors.log().mean().exp()) < 0.1


def test_level_errors_are_zero_for_the_exact_score_and_one_for_none():
    mixture, sigmas = paper_mixture(), geometric_sigmas(20, 1, 4)
    assert torch.equal(level_errors(mixture.score, mixture, sigmas, n=100, generator=seeded()), torch.zeros(4))
    nothing = level_errors(lambda x, sigma: 0 * x, mixture, sigmas, n=100, generator=seeded())
    assert torch.equal(nothing, torch.ones(4))


def test_fisher_divergence_of_two_gaussians():
    """½E‖−x + x/v‖² = ½ D (1 − 1/v)² v for x ~ N(0, vI)."""
    wide = GaussianMixture([1.0], [[0.0, 0.0, 0.0]], 2.0)
    x = wide.sample(50_000, generator=seeded())
    divergence = fisher_divergence(lambda x, sigma: -x, wide.score, x)
    exact = 0.5 * 3 * (1 - 1 / 4) ** 2 * 4
    assert divergence.value == pytest.approx(exact, abs=4 * divergence.se)
    assert 0 < divergence.se < 0.02


# --- what ships ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mixture_denoising_1", "mixture_sliced_0", "mixture_exact_0", "mixture_energy_0"])
def test_training_a_shipped_network_is_deterministic_to_the_last_bit(name, tmp_path):
    files = [ship(name, tmp_path / folder, n_steps=100) for folder in ("a", "b")]
    first, second, ships = (load_tensors(file)[0] for file in [*files, weights_file(name)])
    assert first.keys() == second.keys() == ships.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], ships[key]) for key in first)  # 100 steps are not 3,000
    assert read_facts(files[0])["n_iterations"] == 100


@pytest.mark.slow
def test_the_shipped_files_can_be_remade(tmp_path):
    """To the last bit on the machine that made them; elsewhere as good a network."""
    for name in ("mixture_denoising_0", "mixture_energy_0"):
        (made, new), (ships, old) = (load_tensors(file) for file in (ship(name, tmp_path), weights_file(name)))
        if not all(torch.equal(made[key], value) for key, value in ships.items()):
            for a, b in zip(*(f["relative_squared_error_by_level"] for f in (new, old)), strict=True):
                assert a < 3 * b


MIXTURE = [name for name in SHIPPED if name.startswith("mixture")]


@pytest.mark.parametrize("name", MIXTURE)
def test_each_shipped_file_states_its_training_and_is_as_good_as_it_says(name):
    architecture, settings = SHIPPED[name]
    facts = read_facts(weights_file(name))
    assert facts["architecture"] == architecture.__name__
    assert settings.facts().items() <= facts.items()
    errors = level_errors(load_shipped(name), paper_mixture(), settings.sigmas, n=5_000, generator=seeded(3))
    stated = torch.tensor(facts["relative_squared_error_by_level"])
    assert float((errors / stated).log().abs().max()) < 0.7  # other samples, the same size
    assert float(errors.max()) < 0.02


def test_the_card_names_every_shipped_file_and_no_other():
    card = (weights_folder() / "README.md").read_text(encoding="utf-8")
    on_disk = {path.stem for path in weights_folder().glob("mixture_*.safetensors")}
    assert on_disk == set(MIXTURE)
    assert all(f"`{name}`" in card for name in SHIPPED)
    assert all(path.stat().st_size < 50_000 for path in weights_folder().glob("mixture_*.safetensors"))
