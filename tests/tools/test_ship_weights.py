"""What ships says how it was made: its command gives the settings again, and a log goes on from the one before it."""

import argparse
import dataclasses

import pandas
import pytest

import ship_weights
from sbgm.cli import train
from sbgm.train.images import NCSN

CHANGES = {
    "none": {},
    "of the network": {"channels": 16, "sigma_max": 0.5, "n_levels": 1, "conditional": False, "divide_by_sigma": True},
    "of the data": {"data": "cifar10", "flips": False, "initial": "cifar10_ncsn"},
}
OF_TRAINING = {"n_steps": 7, "learning_rate": 1e-4, "ema_decay": 0.0, "precision": "fp32", "compile": True, "seed": 3}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("of_training", [{}, OF_TRAINING], ids=["same training", "another training"])
def test_the_command_gives_the_settings_again(changes, of_training):
    settings = NCSN.of_scale(changes.get("data", "mnist_small"), "laptop")
    training = dataclasses.replace(settings.training, **of_training)
    settings = dataclasses.replace(settings, **changes, training=training)
    words = ship_weights.command(settings, "mine").split()
    assert words[:4] == ["python", "-m", "sbgm", "train"]
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    options = parser.parse_args(words[4:])
    assert options.out.as_posix() == "runs/mine"
    assert train.settings_from(options) == settings


def test_a_log_goes_on_from_the_one_before_it():
    earlier = pandas.DataFrame({"step": [50, 100], "loss": [3.0, 2.0], "seconds": [10.0, 20.0]})
    whole = ship_weights.continued(earlier, earlier)
    assert list(whole["step"]) == [50, 100, 150, 200]
    assert list(whole["seconds"]) == [10, 20, 30, 40]
