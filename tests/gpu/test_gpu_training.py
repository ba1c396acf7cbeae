"""A training on the simulated GPU: the CPU's losses, the same bits after a stop, and two waits a step."""

import dataclasses
import itertools
import signal

import pytest
import torch

from sbgm.apps.train import Settings, new_network, train
from seeds import seeded
from simulated import Gpu
from small_run import assert_same_run, losses, set_of

SETTINGS = Settings("digits", levels=2, batch_size=4, flips=True, classes=True, ema=0.9, clip=100.0, steps=3)
SETTINGS = dataclasses.replace(SETTINGS, held_out=2, threads=1, log_every=1, measure_every=10)
IMAGES = torch.rand(16, 1, 8, 8, generator=seeded())
DATA = set_of(IMAGES)._replace(labels=lambda split: torch.arange(16) % 3, classes=("a", "b", "c"))


def run(folder, device="cuda", effect=None, **changes):
    """Train on a device; return how often the host waited between the scores of each training step and of the next."""
    settings = dataclasses.replace(SETTINGS, device=device, **changes)
    network = new_network(settings, IMAGES, 3)
    totals = []

    def hook(module, inputs, score):
        if module.training and torch.is_grad_enabled():
            totals.append(Gpu.waits.total())
            return score if effect is None else effect(score, len(totals))

    network.register_forward_hook(hook)
    train(settings, folder, network=network, images=DATA, resume=True, watch=stop_in(folder))
    return [after - before for before, after in itertools.pairwise(totals)]


def stop_in(folder):
    """A watcher that stops a run in a folder of this name as soon as it has begun."""

    def watch(step, row, sheet):
        assert sheet.device.type == "cpu"
        if folder.name == "stopped" and step == 1:
            signal.raise_signal(signal.SIGTERM)

    return watch


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_trains_as_the_cpu_does_in_32_bits_and_to_the_same_bits_with_a_stop_on_the_way(tmp_path, precision):
    """In 16 bits, too: on a simulated GPU the layers stay in 32, and the scale does not."""
    changes = {"network": "DigitNetwork", "precision": precision}
    with Gpu():
        waits = run(tmp_path / "whole", **changes)
        for n_steps in (2, 3):
            run(tmp_path / "stopped", **changes)
            assert len(losses(tmp_path / "stopped")) == n_steps
    assert waits[1] <= 2  # from the second step to the third; after the first it is measured
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
    run(tmp_path / "cpu", "cpu", **changes | {"precision": "fp32"})
    assert losses(tmp_path / "whole") == pytest.approx(losses(tmp_path / "cpu"), rel=1e-4)


def test_a_step_that_is_not_finite_is_named(tmp_path):
    with Gpu():
        assert run(tmp_path / "run", network="DigitNetwork")[1] == 1
        with pytest.raises(FloatingPointError, match="the loss is nan at step 2 of 3"):
            run(tmp_path / "nan", network="DigitNetwork", effect=lambda score, step: score / (step != 2) * (step != 2))
