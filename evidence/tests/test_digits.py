"""Training on the digits: what is drawn, that it learns, what a file says of its making, and what ships."""

import dataclasses
import hashlib

import pytest
import torch
from safetensors.torch import load_file

from recipes import SHIPPED, DigitsTraining, train_digits, untrained
from sbgm import load_images, load_network, ncsn_loss
from sbgm.files import read_facts
from sbgm.images.weights import weights_folder
from sbgm.measure import level_losses
from seeds import seeded
from ship_weights import on_digits, ship

IMAGES, HELD_OUT = load_images("digits"), load_images("digits", "test")
NAME = "digits_mlp"
SMALL = DigitsTraining(width=32, n_blocks=1, n_steps=30)


@pytest.mark.parametrize("weighting", ["sigma_squared", "one"])
def test_a_step_is_one_of_adams_on_equation_6(weighting):
    """By hand: the same batch, the same loss, and a first step of Adam that moves each weight by about the rate."""
    settings = dataclasses.replace(SMALL, n_steps=1, weighting=weighting, one_cycle=False, learning_rate=1e-3)
    network, before = settings.network(), settings.network()
    (step,) = train_digits(network, IMAGES, settings)
    generator = seeded()
    x = IMAGES[torch.randint(len(IMAGES), (128,), generator=generator)]
    weight = {"sigma_squared": lambda s: s**2, "one": lambda s: 1.0}[weighting]
    loss = ncsn_loss(before, x, before.sigmas, generator=generator, weighting=weight)
    assert step.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    moved = (network.end.weight - before.end.weight).detach().abs()
    assert float(moved.max()) == pytest.approx(1e-3, rel=0.01)


# --- what ships ------------------------------------------------------------------------------------------------------


def test_making_a_shipped_network_again_gives_the_same_weights():
    made, facts = [], []
    for _ in range(2):
        network, settings = untrained(NAME, n_steps=20)
        facts.append(on_digits(network, settings, n_samples=70))
        made.append(network.state_dict())
    assert all(torch.equal(value, made[1][name]) for name, value in made[0].items())
    assert {name for name in facts[0] if facts[0][name] != facts[1][name]} <= {"seconds"}


def test_the_shipped_file_states_its_training_and_is_as_good_as_it_says():
    facts = read_facts(weights_folder() / f"{NAME}.safetensors")
    assert facts["settings"] == SHIPPED[NAME][1].facts()
    pixels = IMAGES.mul(16).round().byte().numpy().tobytes()
    assert facts["data_sha256"] == hashlib.sha256(pixels).hexdigest()
    assert {"command", "data", "seconds", "hardware", "torch"} <= facts.keys()
    network = load_network(NAME)
    losses = level_losses(network, HELD_OUT, network.sigmas, generator=seeded(3))
    for loss, stated in zip(losses, facts["held_out_loss_by_level"], strict=True):
        assert loss.value == pytest.approx(stated, abs=5 * loss.se)  # other noise on the same digits


@pytest.mark.slow
def test_the_shipped_weights_can_be_remade(tmp_path):
    """To the last bit on the machine that made them; elsewhere as good a network."""
    ship(NAME, tmp_path)
    new, old = load_file(tmp_path / f"{NAME}.safetensors"), load_file(weights_folder() / f"{NAME}.safetensors")
    if not all(torch.equal(new[key], old[key]) for key in old):
        stated = [read_facts(folder / f"{NAME}.safetensors") for folder in (tmp_path, weights_folder())]
        for a, b in zip(*(facts["held_out_loss_by_level"] for facts in stated), strict=True):
            assert a == pytest.approx(b, rel=0.2)


def test_the_card_names_every_shipped_network():
    card = (weights_folder() / "README.md").read_text(encoding="utf-8")
    for path in weights_folder().glob("*.safetensors"):
        assert f"`{path.stem}`" in card or f"`{path.name}`" in card, path.name
