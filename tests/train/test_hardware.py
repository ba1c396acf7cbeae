"""Where to compute, and with how many threads: one rule for every command."""

import os
import subprocess
import sys

import accelerate
import psutil
import pytest
import torch

import curve
import I10
from sbgm import cli
from sbgm.train.runs import Machine, find_device, idle_cores, make_accelerator

COMMANDS = (
    "train digits --out x",
    "sample mnist_ncsn --out x",
    "inpaint mnist_ncsn mnist_small --out x",
    "evaluate --network mnist_ncsn --data mnist_small",
)


@pytest.mark.parametrize(
    ("cuda", "mps", "processes", "name", "expected"),
    [
        (False, False, "1", None, "cpu"),
        (True, False, "1", None, "cuda"),
        (True, False, "2", None, "cuda"),
        (False, True, "1", None, "mps"),
        (False, True, "2", None, "cpu"),
        (True, True, "1", "cpu", "cpu"),
    ],
)
def test_the_gpu_computes_if_there_is_one_unless_told_otherwise(cuda, mps, processes, name, expected, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", processes)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(accelerate, "Accelerator", lambda cpu: cpu)
    assert find_device(name) == expected
    assert make_accelerator(name) is (expected == "cpu")


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"device must be one of this machine's, such as cpu, got mps"):
        find_device("mps")


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_says_where_by_the_same_option(words):
    assert_says_where(cli.parser_for(words.split()[0]), words)


@pytest.mark.parametrize(("parser", "words"), [(I10.measure.parser, ""), (curve.parser, "mnist_ncsn")])
def test_every_script_does_too(parser, words):
    assert_says_where(parser(), words)


def assert_says_where(parser, words):
    for more, device in (("", None), ("--device cuda:1", "cuda:1"), ("--cpu", "cpu")):
        assert parser.parse_args(f"{words} {more}".split()).device == device
    assert "--cpu" not in parser.format_help()


def test_a_records_samples_are_the_same_on_every_cpu_and_a_gpu_takes_what_it_is_fast_in(monkeypatch):
    assert Machine("cpu").precision == "bf16"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert Machine("cuda").precision == "fp16"


@pytest.mark.parametrize(
    ("busy", "most", "expected"), [(0, 8, 8), (100, 8, 1), (50, 8, 4), (20, 2, 2), (99, 1, 1), (45, 4, 4)]
)
def test_threads_are_as_many_as_cores_are_idle(busy, most, expected, monkeypatch):
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: float(busy))
    monkeypatch.setattr(psutil, "cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: most)
    assert idle_cores() == expected


def test_a_waiting_thread_gives_its_core_up_before_torch_is_loaded():
    """Only the command line sets it, and not over the user's own."""
    code = "import os, sys; from sbgm import cli\ntry: cli.main(['train', '--help'])\nexcept SystemExit: pass"
    code += "\nprint(os.environ['GOMP_SPINCOUNT'])"
    for own, expected in ((None, "2000"), ("7", "7")):
        environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
        environment |= {"GOMP_SPINCOUNT": own} if own else {}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.split()[-1] == expected
