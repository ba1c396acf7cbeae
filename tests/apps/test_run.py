"""Runs that nothing loses: stopped, killed, damaged, out of room, taken by two processes."""

import errno
import math
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pandas
import pytest
import torch

from processes import FORKS
from sbgm import __main__ as cli
from sbgm import load_network
from sbgm.apps import train as program
from sbgm.files import DiskFullError
from sbgm.images.weights import checkpoints, checksums
from small_run import (
    IMAGES,
    assert_same_run,
    changed,
    in_training,
    last_step,
    live,
    run,
    set_of,
    stop,
    weights,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- stopped and resumed ---------------------------------------------------------------------------------------------


def test_checkpoints_to_keep_are_kept(tmp_path):
    run(tmp_path / "run", changed(save_every=1, keep_every=3))
    assert [int(path.name[5:]) for path in checkpoints(tmp_path / "run")] == [3, 6, 7, 8]
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 2; those there: \[3, 6, 7, 8\]"):
        weights(tmp_path / "run", step=2)


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_run_that_is_stopped_saves_and_goes_on_as_if_it_had_not_stopped(whole, tmp_path, step):
    before = signal.getsignal(signal.SIGINT)
    run(tmp_path / "run", network=in_training(step, stop))
    assert signal.getsignal(signal.SIGINT) is before
    assert last_step(tmp_path / "run") == step
    assert (tmp_path / "run" / "sheets" / f"step-{step:07d}.png").is_file()
    assert run(tmp_path / "run", resume=True) == whole[1]
    assert_same_run(tmp_path / "run", whole[0])
    assert pandas.read_csv(tmp_path / "run" / "log.csv")["seconds"].is_monotonic_increasing


@pytest.mark.parametrize("watch", [None, lambda *_: None])
def test_ctrl_c_is_answered_at_once_unless_somebody_watches(tmp_path, capfd, watch):
    said = []

    def stop_and_read(score):
        stop(score)
        said.append(capfd.readouterr().err)
        return score

    run(tmp_path / "run", network=in_training(2, stop_and_read), watch=watch)
    assert ("Stopping after this step" in said[0]) == (watch is None)


def test_a_schedulers_sigterm_saves_too_and_is_told_by_the_exit_status(tmp_path, monkeypatch):
    network = in_training(3, lambda score: os.kill(os.getpid(), signal.SIGTERM) or score)
    number = program.train(changed(), tmp_path / "run", network=network, images=set_of(IMAGES))
    assert (number, last_step(tmp_path / "run")) == (signal.SIGTERM, 3)
    monkeypatch.setattr(program, "train", lambda *_, **__: number)
    assert cli.main(["train", "digits", "--out", str(tmp_path / "other")]) == 128 + signal.SIGTERM


def test_a_finished_run_is_left_alone_and_more_steps_continue_it(tmp_path, whole):
    folder = tmp_path / "run"
    run(folder, changed(steps=5))
    before = (folder / "step-0000005" / "state.pt").stat().st_mtime_ns
    run(folder, changed(steps=5), resume=True)
    assert (folder / "step-0000005" / "state.pt").stat().st_mtime_ns == before
    assert run(folder, resume=True) == whole[1]


@pytest.mark.parametrize("n_kills", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(n_kills, tmp_path):
    """kill -9 of a process that saves every third step, at moments drawn over the time that many steps take; then a few
    steps more, and as many in a run that was never killed."""
    folder, moments, often = tmp_path / "killed", random.Random(0), {"save_every": 3, "measure_every": 20}
    for _ in range(n_kills):
        start = last_step(folder)
        process = FORKS.Process(target=live, args=(folder, changed(steps=100_000, **often)))
        process.start()
        wait_for_a_checkpoint_after(start, folder, process)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it ended before it was killed"
    steps = last_step(folder) + 4
    run(folder, changed(steps=steps, **often), resume=True)
    run(tmp_path / "whole", changed(steps=steps, save_every=100_000, measure_every=20))
    assert_same_run(folder, tmp_path / "whole")


def wait_for_a_checkpoint_after(step, folder, process):
    while last_step(folder) == step and process.is_alive():
        time.sleep(0.01)


def test_a_notebook_reads_a_run_that_another_process_trains_and_can_take_it_over_once_that_is_dead(tmp_path):
    folder, settings = tmp_path / "run", changed(steps=100_000, save_every=20, measure_every=1_000)
    process = FORKS.Process(target=live, args=(folder, settings))
    process.start()
    wait_for_a_checkpoint_after(0, folder, process)
    seen = set()
    while len(seen) < 3:  # whatever instant it looks, what it reads is whole
        seen.add(load_network(folder).facts["step"])
    assert min(seen) >= 20
    with pytest.raises(BlockingIOError, match="run is in use: another process trains the run there"):
        run(folder, settings, resume=True)
    assert process.is_alive()
    process.kill()
    process.join()
    made = last_step(folder)
    run(folder, settings, in_training(1, stop), resume=True)
    assert last_step(folder) == made + 1


# --- what is written is whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "message"),
    [
        (lambda score: score * math.nan, "the loss is nan at step 4 of 8"),
        # whose gradient is NaN: 0 · ∂√u/∂u at u = 0
        (lambda score: score + 0 * (score - score).sqrt(), "the sum of the gradient is nan at step 4 of 8"),
    ],
)
def test_a_nan_at_a_saving_step_stops_the_run_which_stands_at_its_last_checkpoint(tmp_path, whole, effect, message):
    with pytest.raises(FloatingPointError, match=f"{message}; lower the learning rate"):
        run(tmp_path / "run", network=in_training(4, effect))
    assert last_step(tmp_path / "run") == 2
    assert run(tmp_path / "run", resume=True) == whole[1]


@pytest.mark.parametrize("n_writes", range(6))
def test_a_training_that_fills_the_disk_goes_on_where_it_was_once_there_is_room(tmp_path, monkeypatch, whole, n_writes):
    """Wherever there is no room after step 2: for the log, a sheet, or each file of the checkpoint."""
    folder, sync, room = tmp_path / "run", os.fsync, iter(range(n_writes))

    def full(file):
        if last_step(folder) == 2 and next(room, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError, match=r"The disk is full: there is no room for .*run"):
            run(folder)
    assert not [*folder.rglob("*.partial"), *folder.glob("step-0000004")]
    assert run(folder, resume=True) == whole[1]
    assert_same_run(folder, whole[0])


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path):
    """A run that stopped at step 5, to be damaged."""
    run(tmp_path / "run", network=in_training(5, stop))
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["average.safetensors", "network.safetensors", "state.pt"])
def test_a_flipped_bit_in_a_checkpoint_is_noticed_and_the_run_goes_on_from_the_one_before(stopped, whole, name):
    file = stopped / "step-0000005" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    for read in (lambda: run(stopped, resume=True), lambda: load_network(stopped)):
        with pytest.raises(ValueError, match="step-0000005 is damaged: its checksums do not agree; remove it"):
            read()
    shutil.rmtree(file.parent)
    run(stopped, resume=True)
    assert_same_run(stopped, whole[0])


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: path.write_text("0" * 64 + "  state.pt\n"),
        lambda path: path.write_bytes(b"\xc0" + path.read_bytes()[1:]),  # no text in UTF-8
        lambda path: path.parent.with_name("step-0000006").mkdir(),
    ],
)
def test_a_checkpoint_without_its_checksums_is_damaged(stopped, damage):
    damage(stopped / "step-0000005" / "SHA256SUMS")
    with pytest.raises(ValueError, match=r"step-000000(5|6) is damaged"):
        run(stopped, resume=True)


@pytest.mark.parametrize("name", [".DS_Store", ".ipynb_checkpoints/x.txt"])
def test_what_a_system_puts_into_a_checkpoint_is_not_looked_at(stopped, whole, name):
    path = stopped / "step-0000005" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("of the Finder, or of JupyterLab")
    assert load_network(stopped).facts["step"] == 5
    assert run(stopped, resume=True) == whole[1]


def with_sums(checkpoint):
    """As its writer would have left it."""
    (checkpoint / "SHA256SUMS").write_text(checksums(checkpoint))


def moments_of(state):
    """Of the first weight."""
    return state["optimizer"]["state"][0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: moments_of(state).update(exp_avg=torch.zeros(3)), "moments have other shapes"),
        (lambda state: moments_of(state).update(exp_avg=moments_of(state)["exp_avg"].half()), "another kind"),
        (lambda state: moments_of(state).update(exp_avg=moments_of(state)["exp_avg"].to_sparse()), "another kind"),
        (lambda state: state["optimizer"].update(state={}), "it has no moments"),
        (lambda state: state["optimizer"]["state"].update({99: {}}), "index"),
        (lambda state: state["log"]["losses"].append(1.0), "it is of step 6"),
        (lambda state: state["log"].update(seconds="long"), "could not convert string to float"),
        (lambda state: state.update(record=None), "NoneType"),
        (lambda state: state.pop("record"), "record"),
        (lambda state: state.pop("log"), "log"),
    ],
)
def test_a_strangers_state_is_refused_in_a_line(stopped, change, says):
    """A moment of another shape would be written beyond its end."""
    file = stopped / "step-0000005" / "state.pt"
    state = torch.load(file)
    change(state)
    torch.save(state, file)
    with_sums(file.parent)
    with pytest.raises(ValueError, match=f"state.pt can't be read: .*{says}"):
        run(stopped, resume=True)


def test_a_moment_whose_numbers_share_one_place_is_written_out(stopped):
    """Adam would write beyond that place, and the process would crash."""
    file = stopped / "step-0000005" / "state.pt"
    state = torch.load(file)
    shape = moments_of(state)["exp_avg"].shape
    moments_of(state).update(exp_avg=torch.zeros(1).expand(shape))
    torch.save(state, file)
    with_sums(file.parent)
    assert torch.load(file)["optimizer"]["state"][0]["exp_avg"].stride() == (0,) * len(shape)
    run(stopped, resume=True)
    assert last_step(stopped) == 8


@pytest.mark.parametrize("content", ["[]", "null", "[" * 200_000])
def test_settings_that_are_no_table_are_refused_in_a_line(stopped, content):
    (stopped / "settings.json").write_text(content)
    with pytest.raises(ValueError, match=r"settings\.json (can't be read|must hold settings by name)"):
        run(stopped, resume=True)


def test_a_renamed_checkpoint_is_no_other_step(stopped):
    (stopped / "step-0000005").rename(stopped / "step-0000007")
    with pytest.raises(ValueError, match=r"step-0000007/network\.safetensors is of step 5"):
        run(stopped, resume=True)


@pytest.mark.parametrize("name", ["network", "average"])
def test_a_network_of_another_step_is_refused(stopped, name):
    shutil.copy(stopped / "step-0000004" / f"{name}.safetensors", stopped / "step-0000005")
    with_sums(stopped / "step-0000005")
    with pytest.raises(ValueError, match=rf"step-0000005/{name}\.safetensors is of step 4"):
        run(stopped, resume=True)


def test_a_state_of_another_step_is_refused(stopped):
    shutil.copy(stopped / "step-0000004" / "state.pt", stopped / "step-0000005")
    with_sums(stopped / "step-0000005")
    with pytest.raises(ValueError, match=r"step-0000005/state\.pt can't be read: it is of step 4"):
        run(stopped, resume=True)


def test_code_in_a_checkpoint_is_not_run(stopped, tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"state": Malicious()}, stopped / "step-0000005" / "state.pt")
    with_sums(stopped / "step-0000005")
    with pytest.raises(ValueError, match=r"state\.pt can't be read"):
        run(stopped, resume=True)
    assert not (tmp_path / "harm").exists()


def test_what_is_no_checkpoint_is_left_alone(stopped, whole):
    for name in ("step-old", "step-0000060 (copy)", "step-12"):
        (stopped / name).mkdir()
    (stopped / "step-0000099").write_text("a file")
    assert run(stopped, resume=True) == whole[1]
    assert_same_run(stopped, whole[0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"seed": -1}', "--seed must be at least 0, got -1"),
        ('{"network": "Mine"}', "--network must be one of 'RefineNet', 'DigitNetwork', got 'Mine'"),
        ('{"seed"', "settings.json can't be read: Expecting"),
    ],
)
def test_settings_that_are_damaged_are_said_in_a_line(tmp_path, capsys, text, says):
    (tmp_path / "settings.json").write_text(text)
    assert cli.main(["train", "digits", "--device", "cpu", "--out", str(tmp_path), "--resume"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(says, error)


# --- a run goes on as it began ---------------------------------------------------------------------------------------


def test_settings_that_were_edited_are_not_gone_on_with(tmp_path, capsys):
    words = ["train", "digits", "--network", "DigitNetwork", "--held-out", "2", "--threads", "1", "--device", "cpu"]
    words += ["--out", str(tmp_path / "run"), "--steps"]
    assert cli.main([*words, "1"]) == 0
    path = tmp_path / "run" / "settings.json"
    path.write_text(edited := path.read_text().replace('"seed": 0', '"seed": 5'))
    capsys.readouterr()
    assert cli.main([*words, "2", "--resume"]) == 1
    assert capsys.readouterr().err == "sbgm: --seed must be 0, as in the run, got 5\n"
    assert path.read_text() == edited
    path.write_text(edited.replace('"seed": 5', '"seed": 0'))
    assert cli.main([*words, "2", "--resume"]) == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": lambda split: torch.arange(40) // 20}, "the labels that the run began with, got others"),
        ({"images": lambda split: 1 - IMAGES if split == "test" else IMAGES}, "the held out images that the run began"),
        ({"images": lambda split: 1 - IMAGES if split == "train" else IMAGES}, "the images that the run began with"),
    ],
)
def test_other_labels_and_other_images_are_not_gone_on_with(tmp_path, changes, says):
    data = set_of(IMAGES)._replace(labels=lambda split: torch.arange(40) % 2, classes=("a", "b"))
    settings = changed(classes=True, network="DigitNetwork", steps=1)
    program.train(settings, tmp_path / "run", images=data)
    with pytest.raises(ValueError, match=f"data must hold {says}"):
        program.train(settings, tmp_path / "run", images=data._replace(**changes), resume=True)


def test_a_class_without_a_training_image_is_refused_before_anything_is_written(tmp_path):
    data = set_of(IMAGES)._replace(labels=lambda split: torch.arange(40) % 2, classes=("a", "b", "c"))
    with pytest.raises(ValueError, match="classes must have a training image each, got none of c"):
        program.train(changed(classes=True, network="DigitNetwork"), tmp_path / "run", images=data)
    assert not (tmp_path / "run").exists()


def test_what_can_be_refused_without_the_pictures_is_refused_before_they_are_read(tmp_path, monkeypatch):
    run(tmp_path / "run", changed(steps=1))
    monkeypatch.setattr(program, "read_images", None)
    with pytest.raises(FileExistsError, match="holds files"):
        run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"seed must be 0, as in the run, got 1"):
        run(tmp_path / "run", changed(seed=1), resume=True)
    with pytest.raises(ValueError, match="folder must lie outside of"):
        run(tmp_path / "photos" / "run", changed(data=str(tmp_path / "photos")))


# --- nothing is overwritten ------------------------------------------------------------------------------------------


def test_a_run_that_was_killed_before_it_saved_anything_goes_on_from_the_start(tmp_path, whole):
    folder = tmp_path / "run"
    with pytest.raises(FloatingPointError, match="at step 1 of 8"):
        run(folder, network=in_training(1, lambda score: score * math.nan))
    (folder / "log.csv.4711.partial").write_text("step,lo")
    (folder / "step-0000002.partial").mkdir()
    (folder / "step-x_5k2q0z.partial").symlink_to(tmp_path)
    strangers = ["film.partial", "thesis.partial"]
    (folder / "film.partial").write_text("a download")
    (folder / "thesis.partial").mkdir()
    assert run(folder, resume=True) == whole[1]
    assert names(folder) == sorted([*names(whole[0]), *strangers])


def test_what_is_no_runs_is_never_taken_for_what_a_killed_one_left(tmp_path):
    for name in ("film.partial", "tmp.partial", "step-one.partial", "log.csv.partial"):
        folder = tmp_path / name.replace(".partial", "")
        (folder / name).mkdir(parents=True)
        with pytest.raises(FileExistsError, match="holds files"):
            run(folder)
        assert names(folder) == [name]


def test_an_existing_run_is_not_overwritten_unasked(whole):
    before = {path: path.read_bytes() for path in whole[0].rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=r"holds files; to continue .* add --resume"):
        run(whole[0])
    assert {path: path.read_bytes() for path in whole[0].rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("folder", ["nowhere", "other"])
def test_resuming_where_there_is_no_run_is_refused_and_starts_none(folder, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("…")
    before, out = sorted(tmp_path.rglob("*")), tmp_path / folder
    assert cli.main(["train", "digits", "--device", "cpu", "--out", str(out), "--resume"]) == 1
    error = f"there is no run to resume in {out}: it holds no settings.json"
    assert error in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
