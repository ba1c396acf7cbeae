"""What a budget of training buys: the recorded controls come out again, and the aims that chapter 8 states are met."""

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


def test_the_judge_knows_digits_from_blurred_ones_and_noise():
    assert TABLE.loc["test digits", "sure"] > 0.95
    assert TABLE.loc[["blurred digits", "noise"], "sure"].max() < 0.05


def test_half_an_hour_buys_most_of_what_hours_buy():
    hour, shipped = TABLE.loc["steps_9000"], TABLE.loc["shipped"]
    assert len(hour) == 3
    assert hour["sure"].mean() >= 0.82
    assert TABLE.loc["steps_4500", "sure"].mean() >= 0.75
    assert hour["recall"].min() >= 0.8 * shipped["recall"]
    assert hour["near copies, pixels"].max() <= TABLE.loc["test digits", "near copies, pixels"]
