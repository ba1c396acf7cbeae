"""What a full run takes."""

import dataclasses

import pytest
import torch
from torch import nn

from sbgm.refinenet import RefineNet
from sbgm.train.images import NCSN
from sbgm.training import n_parameters
from scale import forward_flop, full_run, gpu_hour_table, hours, saved_numbers

SHAPE = (1, 8, 8)


class OneConvolution(nn.Module):
    """Whose operations and saved numbers can be counted by hand."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)

    def output(self, x, level):
        return self.conv(x)


def test_operations_are_two_for_each_multiplication():
    assert forward_flop(OneConvolution(), SHAPE) == 2 * 64 * 6 * 9


@pytest.mark.parametrize(
    ("data", "scale", "shape", "gflop"),
    [("mnist", "laptop", (1, 28, 28), 0.95), ("mnist", "paper", (1, 28, 28), 3.8)],
)
def test_the_networks_operations_are_those_of_the_papers_facts(data, scale, shape, gflop):
    network = NCSN.of_scale(data, scale).network(shape)
    assert forward_flop(network, shape) / 1e9 == pytest.approx(gflop, rel=0.01)


def test_saved_numbers_are_those_that_autograd_saves():
    """On real tensors, every storage counted once."""
    network = RefineNet([1.0, 0.1], channels=4, image_channels=1)
    kept = {}
    weights = {p.data_ptr() for p in network.parameters()}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        network.output(torch.rand(1, *SHAPE), torch.zeros(1, dtype=torch.long))
    found = sum(t.untyped_storage().nbytes() // t.element_size() for t in kept.values())
    assert saved_numbers(network, SHAPE) == pytest.approx(found, rel=0.02)


def test_a_full_run_is_the_sum_of_its_parts():
    settings = dataclasses.replace(NCSN.of_scale("mnist", "laptop"), channels=4)
    steps, batch = settings.training.n_steps, settings.training.batch_size
    run = full_run(settings, SHAPE, n_samples=10, n_evaluations=7)
    assert run.training == 3 * run.forward * steps * batch
    assert run.sampling == 70 * run.forward
    network = settings.network(SHAPE)
    weights, kept = 4 * n_parameters(network), 4 * saved_numbers(network, SHAPE)
    assert run.memory == 5 * weights + kept * batch  # averaged weights among them
    halves = full_run(settings, SHAPE, n_samples=10, n_devices=2, bytes_per_number=2)
    assert halves.memory == 5 * weights + kept * batch / 4
    assert halves.training == run.training


def test_hours():
    assert hours(3_600e12, peak=10e12, share=0.1) == pytest.approx(1)
    assert hours(3_600e12, peak=10e12, share=0.1, n_devices=8, scaling=0.5) == pytest.approx(1 / 4)
    with pytest.raises(ValueError, match="share must be"):
        hours(1, peak=1, share=0)


def test_an_hour_of_gpu_by_hand():
    """An H100 at three tenths of 989e12, 50 minutes; 19.85e9 operations an evaluation; three evaluations a step."""
    rows = [row.strip("| ").split(" | ") for row in gpu_hour_table().splitlines()]
    cells = {name: values for name, *values in rows}
    steps = 50 * 60 * 0.3 * 989e12 / (3 * 128 * 19.847e9)
    width, found, seen, drawing = cells["H100, bf16, 989 TFLOP/s"]
    assert (width, float(found.replace(",", ""))) == ("128", pytest.approx(steps, abs=60))
    assert seen == f"{steps * 128 / 50_000:.0f} times"
    assert drawing == f"{10_000 * 50 * 19.847e9 / (0.3 * 989e12) / 60:.1f} minutes"
    assert cells["T4, fp32, 8.1 TFLOP/s"][0] == "32"
