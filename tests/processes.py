"""Commands on several processes, as `torchrun` starts them, where there is no GPU."""

import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import wait
from pathlib import Path

from sbgm.cli import main

# Most of torchrun's time goes into imports, its own and each process's. This server has made them, and is forked.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["accelerate", "torch._dynamo", "sbgm.cli.train", "sbgm.cli.sample", "sbgm.cli.inpaint"])


def torchrun(*words, n_processes=2):
    """Do `torchrun --nproc_per_node N WORDS`, on a port of its own; the finished process."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", n_processes, *words]
    return subprocess.run(list(map(str, launch)), env=without_gpu(), capture_output=True, text=True)


def sbgm_on_processes(*words, n_processes=2):
    """Do `sbgm WORDS` in processes that find the environment of torchrun's; as one finished process.

    Once one fails, the others are ended.
    """
    port, words = free_port(), list(map(str, words))
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("stdout", "stderr")]
        workers = []
        for rank in range(n_processes):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n_processes, "LOCAL_WORLD_SIZE": n_processes}
            place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            environment = without_gpu() | {name: str(value) for name, value in place.items()}
            workers.append(FORKS.Process(target=_work, args=(words, environment, outputs)))
            workers[-1].start()
        while running := [worker for worker in workers if worker.is_alive()]:
            wait([worker.sentinel for worker in running])
            if any(worker.exitcode for worker in workers):
                for worker in running:
                    worker.terminate()
        status = next((worker.exitcode for worker in workers if worker.exitcode), 0)
        return subprocess.CompletedProcess(words, status, *(path.read_text(encoding="utf-8") for path in outputs))


def without_gpu():
    """The environment of this process, with one thread and no GPU."""
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _work(words, environment, outputs):
    """One of the processes; what it prints goes to the end of the files `outputs`."""
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in zip((1, 2), outputs, strict=True):
        with path.open("a") as file:
            os.dup2(file.fileno(), stream)
    sys.exit(main(words))
