"""Training on the mixture, and the networks that ship: that they are good, and that they can be remade."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open

from sbgm import ConditionalMLP, EnergyMLP, geometric_sigmas, paper_mixture
from sbgm.train import SHIPPED, MixtureTraining, level_errors, load_shipped, train_mixture, train_shipped
from sbgm.weights import weights_folder
from seeds import seeded


@pytest.mark.parametrize("objective", ["denoising", "sliced", "exact"])
def test_every_objective_learns_the_perturbed_score(objective):
    """A short training brings the error of most levels far below 1, the error of s = 0."""
    network = ConditionalMLP(width=64, data_std=5.0, generator=seeded())
    settings = MixtureTraining(objective, n_iterations=300)
    steps = list(train_mixture(network, paper_mixture(), settings))
    assert [step.step for step in steps] == list(range(1, 301))
    errors = level_errors(network, paper_mixture(), settings.sigmas, n=2_000, generator=seeded())
    assert float(errors.log().mean().exp()) < 0.1


def test_level_errors_are_zero_for_the_exact_score_and_one_for_none():
    mixture, sigmas = paper_mixture(), geometric_sigmas(20, 1, 4)
    assert torch.equal(level_errors(mixture.score, mixture, sigmas, n=100, generator=seeded()), torch.zeros(4))
    nothing = level_errors(lambda x, sigma: 0 * x, mixture, sigmas, n=100, generator=seeded())
    assert torch.equal(nothing, torch.ones(4))


def test_settings_make_their_ladder():
    assert torch.equal(MixtureTraining().sigmas, geometric_sigmas(20.0, 1.0, 10))
    assert torch.equal(MixtureTraining(sigma_max=10.0, sigma_min=0.1, n_levels=4).sigmas, geometric_sigmas(10, 0.1, 4))


def test_an_unknown_objective_is_refused_before_the_first_step():
    with pytest.raises(ValueError, match=r"objective must be one of 'denoising', 'sliced', 'exact', got 'contrastive'"):
        train_mixture(ConditionalMLP(), paper_mixture(), MixtureTraining("contrastive"))


def test_a_constant_rate_is_kept_without_one_cycle():
    """With one Adam step, each parameter with a gradient moves by the learning rate."""
    network = ConditionalMLP(width=8, generator=seeded())
    before = network.layers[0].weight.detach().clone()
    settings = MixtureTraining(n_iterations=1, learning_rate=1e-3, one_cycle=False)
    list(train_mixture(network, paper_mixture(), settings))
    assert (network.layers[0].weight - before).abs().max().item() == pytest.approx(1e-3, rel=0.01)


# --- what ships ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mixture_denoising_1", "mixture_sliced_0", "mixture_exact_0", "mixture_energy_0"])
def test_training_a_shipped_network_is_deterministic_to_the_last_byte(name, tmp_path):
    for folder in ("a", "b"):
        train_shipped(name, tmp_path / folder, n_iterations=100)
    first, second = ((tmp_path / folder / f"{name}.safetensors").read_bytes() for folder in ("a", "b"))
    assert first == second
    assert first != (weights_folder() / f"{name}.safetensors").read_bytes()  # 100 steps are not 3,000


@pytest.mark.slow
def test_the_shipped_files_can_be_remade(tmp_path):
    """To the last byte on the machine that made them; elsewhere as good a network."""
    for name in ("mixture_denoising_0", "mixture_energy_0"):
        train_shipped(name, tmp_path)
        if (tmp_path / f"{name}.safetensors").read_bytes() != (weights_folder() / f"{name}.safetensors").read_bytes():
            new, old = _facts(tmp_path, name), _facts(weights_folder(), name)
            for a, b in zip(*(f["relative_squared_error_by_level"] for f in (new, old)), strict=True):
                assert a < 3 * b


def _facts(folder, name):
    with safe_open(folder / f"{name}.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["facts"])


@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_file_states_its_training_and_is_as_good_as_it_says(name):
    architecture, settings = SHIPPED[name]
    facts = _facts(weights_folder(), name)
    assert facts["architecture"] == architecture.__name__
    assert {key: facts[key] for key in dataclasses.asdict(settings)} == dataclasses.asdict(settings)
    errors = level_errors(load_shipped(name), paper_mixture(), settings.sigmas, n=5_000, generator=seeded(3))
    stated = torch.tensor(facts["relative_squared_error_by_level"])
    assert float((errors / stated).log().abs().max()) < 0.7  # other samples, the same size
    assert float(errors.max()) < 0.02


def test_the_card_names_every_shipped_file_and_no_other():
    card = (weights_folder() / "README.md").read_text(encoding="utf-8")
    on_disk = {path.stem for path in weights_folder().glob("mixture_*.safetensors")}
    assert on_disk == set(SHIPPED)
    assert all(f"`{name}`" in card for name in SHIPPED)
    assert all(path.stat().st_size < 50_000 for path in weights_folder().glob("mixture_*.safetensors"))


def test_a_shipped_network_is_frozen_and_gives_scores():
    network = load_shipped("mixture_energy_0")
    assert isinstance(network, EnergyMLP)
    assert not any(p.requires_grad for p in network.parameters())
    assert network(torch.zeros(3, 2), 1.0).shape == (3, 2)


def test_an_unknown_name_or_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"name must be one of 'mixture_denoising_0', .*got 'mixture'"):
        load_shipped("mixture")
    with pytest.raises(FileNotFoundError, match="mixture_exact_0"):
        load_shipped("mixture_exact_0", tmp_path)
