"""Runs that nothing loses: killed, stopped, damaged, out of room, taken by two processes; and where they compute."""

import contextlib
import dataclasses
import errno
import itertools
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import accelerate
import psutil
import pytest
import torch
from torch import nn

from processes import FORKS
from sbgm import cli as command
from sbgm.files import DiskFullError
from sbgm.images.weights import load_network
from sbgm.train import runs
from sbgm.train.images import train_ncsn
from sbgm.train.runs import Machine, Run, find_device, idle_cores, make_accelerator
from small_run import IMAGES, SETTINGS, as_a_command, assert_same_run, changed, live, set_of, small_network, steps_of

# --- runs ------------------------------------------------------------------------------------------------------------


SHOWN = (".lock", "log.csv", "losses.png", "progress.html")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- stopped and resumed ---------------------------------------------------------------------------------------------


def test_a_run_keeps_its_last_two_checkpoints_each_with_all_that_it_needs(whole):
    folder, _ = whole
    assert names(folder) == [*SHOWN, "settings.json", "sheets", "step-0000006", "step-0000008"]
    files = ["SHA256SUMS", "average.safetensors", "network.safetensors", "settings.json", "state.pt"]
    assert all(names(checkpoint) == files for checkpoint in Run(folder).checkpoints)


def test_checkpoints_to_keep_are_kept(tmp_path):
    list(steps_of(tmp_path / "run", changed(save_every=1, keep_every=3)))
    assert [int(p.name[5:]) for p in Run(tmp_path / "run").checkpoints] == [3, 6, 7, 8]
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 2; those there: \[3, 6, 7, 8\]"):
        Run(tmp_path / "run").network(step=2)


@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_a_run_that_is_closed_saves_and_goes_on_as_if_it_had_not_stopped(whole, tmp_path, stop_after):
    steps = steps_of(tmp_path / "run")
    first = [next(steps) for _ in range(stop_after)]
    steps.close()
    assert Run(tmp_path / "run").last_step == stop_after
    assert first + list(steps_of(tmp_path / "run", resume=True)) == whole[1]
    assert_same_run(tmp_path / "run", whole[0])


def test_a_finished_run_is_left_alone_and_more_steps_continue_it(tmp_path, whole):
    folder = tmp_path / "run"
    list(steps_of(folder, changed(n_steps=5)))
    before = (folder / "step-0000005" / "state.pt").stat().st_mtime_ns
    assert list(steps_of(folder, changed(n_steps=5), resume=True)) == []
    assert (folder / "step-0000005" / "state.pt").stat().st_mtime_ns == before
    assert list(steps_of(folder, resume=True)) == whole[1][5:]


def breaking(number, effect, settings=SETTINGS):
    """A small network; `effect` takes the place of its score in the training step of this number."""
    network, calls = small_network(settings), []

    def hook(module, given, score):
        if torch.is_grad_enabled():
            calls.append(None)
        return effect(score) if torch.is_grad_enabled() and len(calls) == number else score

    network.register_forward_hook(hook)
    return network


def interrupt(value):
    raise KeyboardInterrupt


def test_an_interrupt_in_the_middle_of_a_step_saves_the_step_before_and_frees_the_folder(tmp_path, whole):
    """Ctrl-C in a cell, which keeps its traceback, and with it the run; another process can then go on."""
    with pytest.raises(KeyboardInterrupt) as kept:
        list(steps_of(tmp_path / "run", network=breaking(6, interrupt)))
    assert Run(tmp_path / "run").last_step == 5  # before the update nothing of the new step has happened yet
    process = FORKS.Process(target=live, args=(tmp_path / "run", SETTINGS))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert kept
    assert_same_run(tmp_path / "run", whole[0])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_command_finish_its_step_and_save(tmp_path, whole, monkeypatch, capsys, number, status):
    def send(value):
        os.kill(os.getpid(), number)
        return value

    as_a_command(monkeypatch, lambda settings: breaking(5, send))
    before = signal.getsignal(number)
    arguments = ["train", "digits", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert command.main(arguments) == status
    assert signal.getsignal(number) == before
    assert "Stopped and saved at step 5 of 8. The same command with --resume goes on." in capsys.readouterr().out
    assert command.main([*arguments, "--resume"]) == 0
    assert_same_run(tmp_path / "run", whole[0])


@pytest.mark.parametrize("n_kills", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(n_kills, tmp_path):
    """kill -9 of a process that saves every third step, at moments drawn over the time that many steps take; then a few
    steps more, and as many in a run that was never killed."""
    folder, moments, often = tmp_path / "killed", random.Random(0), {"save_every": 3, "measure_every": 20}
    for _ in range(n_kills):
        start = Run(folder).last_step
        process = FORKS.Process(target=live, args=(folder, changed(n_steps=100_000, **often)))
        process.start()
        wait_for_a_checkpoint_after(start, folder, process)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it ended before it was killed"
    n_steps = Run(folder).last_step + 4
    list(steps_of(folder, changed(n_steps=n_steps, **often), resume=True))
    list(steps_of(tmp_path / "whole", changed(n_steps=n_steps, save_every=100_000, measure_every=20)))
    assert_same_run(folder, tmp_path / "whole")


def wait_for_a_checkpoint_after(step, folder, process):
    while Run(folder).last_step == step and process.is_alive():
        time.sleep(0.01)


# --- one process a folder --------------------------------------------------------------------------------------------


def test_a_notebook_reads_a_run_that_another_process_trains_and_can_take_it_over_once_that_is_dead(tmp_path):
    folder, settings = tmp_path / "run", changed(n_steps=100_000, save_every=20, measure_every=1_000)
    process = FORKS.Process(target=live, args=(folder, settings))
    process.start()
    wait_for_a_checkpoint_after(0, folder, process)
    run, seen = Run(folder), set()
    while len(seen) < 3:  # whatever instant it looks, what it reads is whole
        seen.add(run.network().facts["step"])
    assert min(seen) >= 20
    with pytest.raises(BlockingIOError, match=r"run is in use: another process trains the run there; stop it, or"):
        steps_of(folder, settings, resume=True)
    assert process.is_alive()
    process.kill()
    process.join()
    assert (folder / ".lock").exists()  # and is nobody's
    assert next(steps_of(folder, settings, resume=True)).step == Run(folder).last_step + 1


# --- what is written is whole ----------------------------------------------------------------------------------------


def gradient_of_nan(value):
    """The value, whose gradient is NaN: 0 · ∂√u/∂u at u = 0."""
    return value + 0 * (value - value).sqrt()


@pytest.mark.parametrize(
    ("effect", "message"),
    [
        (lambda value: value * math.nan, "the loss is nan at step 4 of 8"),
        (gradient_of_nan, "the sum of the gradient is nan at step 4 of 8"),
    ],
)
def test_a_nan_at_a_saving_step_stops_the_run_which_stands_at_its_last_checkpoint(tmp_path, whole, effect, message):
    after = r"; lower the learning rate \(.*/run stands at step 2: resume it, or start another from its weights\)"
    with pytest.raises(FloatingPointError, match=message + after):
        list(steps_of(tmp_path / "run", network=breaking(4, effect)))
    assert Run(tmp_path / "run").last_step == 2
    assert list(steps_of(tmp_path / "run", resume=True)) == whole[1][2:]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, bad):
    """Those of a network, and those in a run's state, where Fig. 1's run has them."""
    run, good = Run(tmp_path / "run"), small_network()
    run.create({})
    run.save(1, {"network": good}, {"losses": torch.tensor(math.nan)})
    broken = small_network()
    nn.init.constant_(broken.end.bias, bad)
    for networks, state in (({"network": good, "average": broken}, {}), ({}, {"network": broken.state_dict()})):
        with pytest.raises(FloatingPointError, match="the weights are not finite at step 2; lower the learning rate"):
            run.save(2, networks, state)
    assert names(run.folder) == [".lock", "settings.json", "step-0000001"]


@pytest.mark.parametrize("n_writes", [0, 3, 5, 6, 7])
def test_a_training_that_fills_the_disk_goes_on_where_it_was_once_there_is_room(tmp_path, monkeypatch, whole, n_writes):
    """Wherever there is no room: for the log, a sheet, the page, or each file of the checkpoint."""
    monkeypatch.setattr(runs, "SHARE", math.inf)  # no clock decides what is written
    folder, sync, room = tmp_path / "run", os.fsync, iter(range(n_writes))

    def full(file):
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    steps = steps_of(folder)
    next(steps), next(steps)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError, match=r"The disk is full: .* stands at step 2: resume it, or start another"):
            list(steps)
    assert not [*folder.rglob("*.partial"), *folder.glob("step-0000004")]
    assert list(steps_of(folder, resume=True)) == whole[1][2:]
    assert_same_run(folder, whole[0])


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path):
    """A run that stopped, to be damaged."""
    with contextlib.closing(steps_of(tmp_path / "run")) as steps:
        list(itertools.islice(steps, 5))
    return tmp_path / "run"


@pytest.mark.parametrize("n_flips", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_flipped_bit_in_any_file_is_named_or_does_no_harm(damaged, tmp_path, whole, n_flips):
    """A checkpoint that is named can be removed; the run then goes on from the one before it. The sums of the older
    checkpoint are not looked at until it is needed."""
    draw, named = random.Random(0), set()
    there = [path.relative_to(damaged) for path in sorted(damaged.rglob("*")) if path.is_file() and path.stat().st_size]
    files = [path for path in there if path.suffix not in (".png", ".html")]  # which a run shows and does not read
    assert len(files) == 12
    for file in files * n_flips:
        folder = shutil.copytree(damaged, tmp_path / "copy")
        content = bytearray((folder / file).read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        (folder / file).write_bytes(content)
        try:
            list(steps_of(folder, resume=True))
        except ValueError as error:
            assert f"{file.parent} is damaged" in str(error)  # noqa: PT017
            assert str(error).endswith("remove it to go on from step-0000004")  # noqa: PT017
            named.add(file)
            shutil.rmtree(folder / file.parent)
            list(steps_of(folder, resume=True))
        assert_same_run(folder, whole[0])
        shutil.rmtree(folder)
    assert named == {file for file in files if file.parent.name == "step-0000005"}


def test_a_damaged_checkpoint_is_named_also_where_it_is_only_read(damaged):
    with (damaged / "step-0000005" / "average.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ValueError, match=r"step-0000005 is damaged: average.safetensors changed since it was written"):
        load_network(damaged)
    (damaged / "step-0000004" / "state.pt").unlink()
    with pytest.raises(ValueError, match=r"no whole one is left before it: start anew"):
        load_network(damaged)


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_text(""), lambda path: path.write_text("0" * 64 + "  state.pt\n")]
)
def test_a_checkpoint_without_its_checksums_is_damaged(damaged, damage):
    """Nothing then tells whether a weight is as it was written. Missing, empty, and of one file only."""
    damage(damaged / "step-0000005" / "SHA256SUMS")
    names = "average.safetensors, network.safetensors, settings.json, state.pt"
    with pytest.raises(ValueError, match=f"step-0000005 is damaged: {names} changed"):
        list(steps_of(damaged, resume=True))


def test_what_is_no_checkpoint_is_left_alone(damaged, whole):
    for name in ("step-old", "step-0000060 (copy)", "step-12"):
        (damaged / name).mkdir()
    (damaged / "step-0000099").write_text("a file")
    assert list(steps_of(damaged, resume=True)) == whole[1][5:]
    assert_same_run(damaged, whole[0])


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [("seed", "sefd", "settings.json, but there .*sefd"), ("}", "", "settings.json is damaged")],
)
def test_settings_that_are_damaged_before_the_first_checkpoint_are_named(tmp_path, capsys, before, after, says):
    run, settings = Run(tmp_path / "run"), tmp_path / "run" / "settings.json"
    run.create(dataclasses.asdict(SETTINGS))
    run.lock.release()
    settings.write_text(settings.read_text().replace(before, after))
    assert command.main(["train", "digits", "--device", "cpu", "--out", str(run.folder), "--resume"]) == 1
    way_on = "replace it by that of a run started with the same settings elsewhere"
    assert re.search(f"{says}.*{way_on}", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("settings", "images", "says"),
    [
        (SETTINGS, IMAGES[:20], r"settings must be those .* images_sha256 = '\w{64}', not '\w{64}'"),
        (SETTINGS, 1 - IMAGES, r"settings must be those .* images_sha256 = '\w{64}', not '\w{64}'"),
        (changed(learning_rate=0.1, batch_size=4), IMAGES, "batch_size = 8, not 4, learning_rate = 0.01, not 0.1"),
        (changed(n_steps=5), IMAGES, "n_steps must be at least the 8 that the run has made, got 5"),
    ],
)
def test_a_run_does_not_go_on_with_other_images_or_settings_or_fewer_steps(whole, settings, images, says):
    with pytest.raises(ValueError, match=says):
        train_ncsn(settings, whole[0], network=small_network(), images=set_of(images), resume=True)


# --- nothing is overwritten ------------------------------------------------------------------------------------------


def test_a_run_whose_start_was_killed_can_be_started_again(tmp_path, monkeypatch, whole):
    """While its settings were written; and what a later kill leaves half made is gone once the run goes on."""
    monkeypatch.setattr("os.fsync", interrupt)
    monkeypatch.setattr("pathlib.Path.unlink", lambda *arguments, **options: None)
    with pytest.raises(KeyboardInterrupt):
        steps_of(tmp_path / "run")
    monkeypatch.undo()
    assert len(names(tmp_path / "run")) == 2  # the lock, and what was written
    assert next(steps_of(tmp_path / "run")) == whole[1][0]
    (tmp_path / "run" / "step-0000002.partial").mkdir()
    (tmp_path / "run" / "log.csv.4711.partial").write_text("step,lo")
    list(steps_of(tmp_path / "run", resume=True))
    assert names(tmp_path / "run") == names(whole[0])


def test_an_existing_run_is_not_overwritten_unasked(whole):
    before = {p: p.read_bytes() for p in whole[0].rglob("*") if p.is_file()}
    with pytest.raises(FileExistsError, match="is not empty; resume the run there, or choose another folder"):
        steps_of(whole[0])
    assert {p: p.read_bytes() for p in whole[0].rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("folder", ["nowhere", "empty", "other"])
def test_resuming_where_there_is_no_run_is_refused_and_starts_none(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("…")
    before, out = sorted(tmp_path.rglob("*")), tmp_path / folder
    assert command.main(["train", "digits", "--device", "cpu", "--out", str(out), "--resume"]) == 1
    error = f"sbgm: --resume must find a run in --out, but {out} holds no training run.* start one in an empty folder"
    assert re.match(error, capsys.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before


# --- hardware --------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(accelerate, "Accelerator", lambda cpu, **_: cpu)
    assert find_device(name) == expected
    assert make_accelerator(name) is (expected == "cpu")


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


@pytest.mark.parametrize(("own", "expected"), [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_a_waiting_thread_gives_its_core_up_before_torch_is_loaded(own, expected, tmp_path, monkeypatch):
    """Only the command line sets it, and not over the user's own."""
    (tmp_path / "torch.py").write_text("import os\nraise SystemExit(os.environ['GOMP_SPINCOUNT'])")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)} | own
    done = subprocess.run([sys.executable, "-m", "sbgm", "train"], capture_output=True, text=True, env=environment)
    assert done.stderr.split() == [expected]
