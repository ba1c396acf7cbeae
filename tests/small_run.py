"""A run of a small perceptron, a few milliseconds a step, by which tests see what becomes of a run's folder."""

import dataclasses
import os
import signal

import pandas
import torch

from sbgm.apps.train import Settings, train
from sbgm.images.data import SETS
from sbgm.images.weights import checkpoints, load_network, run_weights, step_of
from sbgm.networks import ImageMLP

SETTINGS = Settings(
    "digits",
    levels=2,
    held_out=8,
    steps=8,
    batch_size=8,
    learning_rate=1e-2,
    ema=0.9,
    log_every=1,
    measure_every=2,
    save_every=2,
    threads=1,
    device="cpu",
)
IMAGES = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def set_of(images):
    """A data set whose two splits are these images."""
    return SETS["digits"]._replace(images=lambda split: images)


def changed(**settings):
    """SETTINGS with changes."""
    return dataclasses.replace(SETTINGS, **settings)


def small_network():
    generator = torch.Generator().manual_seed(SETTINGS.seed)
    return ImageMLP(SETTINGS.sigmas, (1, 8, 8), width=16, n_blocks=1, generator=generator)


def run(folder, settings=SETTINGS, network=None, images=IMAGES, **options):
    """Train in a folder; return the losses of all steps."""
    train(settings, folder, network=network or small_network(), images=set_of(images), **options)
    return losses(folder)


def losses(folder):
    """Those of a run with a row a step."""
    return pandas.read_csv(folder / "log.csv")["loss"].tolist()


def last_step(folder):
    """That of the last checkpoint, 0 where there is none."""
    return max(map(step_of, checkpoints(folder)), default=0)


def state(folder):
    """What the last checkpoint holds beside the networks."""
    return torch.load(checkpoints(folder)[-1] / "state.pt")


def live(folder, settings):
    """Begin a run, or go on with it: the life of a process, on one thread."""
    torch.set_num_threads(1)
    run(folder, settings, resume=(folder / "settings.json").exists())


def in_training(number, effect):
    """A small network; `effect` takes the place of its score in the training step of this number."""
    network, calls = small_network(), []

    def hook(module, given, score):
        if torch.is_grad_enabled() and module.training:
            calls.append(None)
            return effect(score) if len(calls) == number else score
        return score

    network.register_forward_hook(hook)
    return network


def stop(score):
    """What Ctrl-C does, in the middle of a step."""
    os.kill(os.getpid(), signal.SIGINT)
    return score


def weights(folder, step=None, *, averaged=True):
    return load_network(run_weights(folder, step, averaged=averaged)).state_dict()


def assert_same_run(folder, other):
    """Weights, their average and the log, but for its seconds, are equal to the last bit."""
    for averaged in (True, False):
        a, b = (weights(place, averaged=averaged) for place in (folder, other))
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    a, b = (pandas.read_csv(place / "log.csv").drop(columns="seconds") for place in (folder, other))
    pandas.testing.assert_frame_equal(a, b, check_exact=True)
