"""A training on two processes, as `torchrun` starts them, where there is no GPU."""

import contextlib
import multiprocessing
import os
import socket
import sys

import torch.multiprocessing

from sbgm.__main__ import main
from sbgm.apps import train

# Most of a process's time goes into imports. This server has made them, and is forked.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["accelerate", "torch._dynamo", "sbgm.apps.train", "sbgm.apps.sample"])


def sbgm_on_two_processes(*words, said):
    """Do `sbgm WORDS` in two processes, which find torchrun's environment; what these print goes to the file `said`.

    Raises:
        ProcessExitedException: one has failed, and the other was ended.
    """
    arguments = (free_port(), list(map(str, words)), said)
    torch.multiprocessing.start_processes(_work, arguments, nprocs=2, start_method="forkserver")


def _work(rank, port, words, said):
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1, "CUDA_VISIBLE_DEVICES": ""}
    os.environ.update({name: str(value) for name, value in place.items()})
    train.N_EVALUATIONS = 1  # as in conftest.py
    with said.open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        sys.exit(main(words))


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
