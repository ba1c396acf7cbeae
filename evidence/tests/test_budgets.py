"""What a budget of training buys: the recorded controls come out again."""

import pandas
import pytest

import budgets
from budgets import SIGMA_L, controls, said_of
from ledger import results_folder
from sbgm.noise import derived_generator, perturb

TABLE = pandas.read_csv(results_folder() / "budgets.csv").set_index("budget")


def test_the_controls_come_out_as_recorded():
    for name, images in controls().items():
        noisy = perturb(images, SIGMA_L, generator=derived_generator(2))
        for number, value in said_of(images, noisy).items():
            assert value == pytest.approx(TABLE.loc[name, number], abs=2 / budgets.N_SAMPLES), (name, number)
