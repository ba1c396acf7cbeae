"""A run of a small perceptron, a few milliseconds a step, by which tests see what becomes of a run's folder."""

import dataclasses
import os
import signal

import torch

from M2 import train_figure1
from sbgm.images.data import SETS
from sbgm.networks import ImageMLP
from sbgm.train import images as ncsn
from sbgm.train.images import NCSN, train_ncsn
from sbgm.train.runs import Run, TrainingSettings

SETTINGS = NCSN(
    "digits",
    n_levels=2,
    n_held_out=8,
    training=TrainingSettings(
        n_steps=8, batch_size=8, ema_decay=0.9, log_every=1, measure_every=2, save_every=2, learning_rate=1e-2
    ),
)

IMAGES = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def set_of(images):
    """A data set whose two splits are these images."""
    return SETS["digits"]._replace(images=lambda split: images)


def changed(**training):
    """SETTINGS with other settings of the training."""
    return dataclasses.replace(SETTINGS, training=dataclasses.replace(SETTINGS.training, **training))


def small_network(settings=SETTINGS):
    generator = torch.Generator().manual_seed(settings.training.seed)
    return ImageMLP(settings.sigmas, (1, 8, 8), width=16, n_blocks=1, generator=generator)


def steps_of(folder, settings=SETTINGS, network=None, **options):
    """The steps of a run in a folder."""
    return train_ncsn(settings, folder, network=network or small_network(settings), images=set_of(IMAGES), **options)


def as_a_command(monkeypatch, make=small_network):
    """Let `sbgm train` make the run, with the network that `make(settings)` gives."""
    monkeypatch.setattr(NCSN, "of_scale", lambda data, scale: SETTINGS)
    monkeypatch.setattr(NCSN, "network", lambda settings, *_: make(settings))
    monkeypatch.setattr(ncsn, "data_of", lambda name, size: set_of(IMAGES))


def live(folder, settings):
    """Begin a run, or go on with it: the life of a process, on one thread."""
    torch.set_num_threads(1)
    list(steps_of(folder, settings, resume=Run(folder).begun))


def figure1_killed_at(number, images, settings, folder, save_every):
    """A run of Fig. 1 whose process is killed after the iteration of this number."""
    for step in train_figure1(images, settings, folder=folder, save_every=save_every):
        if step.step == number:
            os.kill(os.getpid(), signal.SIGKILL)


def assert_same_run(folder, other):
    """Weights, their average and the log are equal to the last bit; a clock chooses which rows have measurements."""
    runs = Run(folder), Run(other)
    for averaged in (True, False):
        a, b = (run.network(averaged=averaged).state_dict() for run in runs)
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    a, b = (run.log().drop(columns="seconds") for run in runs)
    assert a[["step", "loss"]].equals(b[["step", "loss"]])
    both = a.notna() & b.notna()
    assert a[both].equals(b[both])
    assert both.iloc[-1].all()
