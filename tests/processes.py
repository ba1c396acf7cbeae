"""Commands on several processes, as `torchrun` starts them, where there is no GPU."""

import os
import subprocess
import sys


def torchrun(*words, n_processes=2):
    """Do `torchrun --nproc_per_node N WORDS`, on a port of its own; the finished process."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", n_processes, *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(list(map(str, launch)), env=environment, capture_output=True, text=True)
