"""Runs that train a noise conditional score network: killed, stopped, resumed, spread over processes, never lost."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from accelerate import Accelerator

from processes import torchrun
from sbgm import cli as command
from sbgm import geometric_sigmas, ncsn_loss
from sbgm.data import load_images
from sbgm.lab.ncsn import NCSN, ORDER, train_ncsn
from sbgm.lab.runs import Run, TrainingSettings, load_checkpoint, load_trained, train
from sbgm.noise import derived_generator

TINY = NCSN(
    "digits",
    channels=4,
    n_levels=3,
    n_held_out=8,
    training=TrainingSettings(
        n_steps=12, batch_size=8, ema_decay=0.9, log_every=2, measure_every=4, save_every=4, learning_rate=1e-2
    ),
)


def tiny(**changes):
    """TINY with other settings of the training."""
    return dataclasses.replace(TINY, training=dataclasses.replace(TINY.training, **changes))


def weights(folder, **options):
    return Run(folder).network(**options).state_dict()


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    steps = list(train_ncsn(TINY, folder))
    return folder, steps


# --- what a run is ---------------------------------------------------------------------------------------------------


def test_a_run_holds_its_settings_a_log_and_the_latest_checkpoint(whole):
    folder, steps = whole
    run = Run(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["log.csv", "settings.json", "step-0000012"]
    assert NCSN.from_dict(run.settings) == TINY
    assert [s.step for s in steps] == list(range(1, 13))
    log = run.log()
    assert log["step"].tolist() == [2, 4, 6, 8, 10, 12]
    pairs = [(steps[i].loss + steps[i + 1].loss) / 2 for i in range(0, 12, 2)]
    assert log["loss"].tolist() == pytest.approx(pairs, rel=1e-6)
    assert log["held_out"].notna().tolist() == [False, True, False, True, False, True]
    assert log["held_out"].iloc[-1] == pytest.approx(log[["level_1", "level_2", "level_3"]].iloc[-1].mean())
    assert log["seconds"].is_monotonic_increasing
    assert run.last_step == 12


def test_the_network_of_a_run_knows_its_ladder_and_its_images(whole):
    network = Run(whole[0]).network()
    assert torch.equal(network.sigmas, geometric_sigmas(1.0, 0.01, 3))
    assert (network.image_shape, network.data_range) == ((1, 8, 8), (0.0, 1.0))
    assert network.facts["step"] == 12
    assert not any(p.requires_grad for p in network.parameters())


def test_the_average_follows_the_weights_by_its_formula(tmp_path):
    settings = tiny(n_steps=5, save_every=1, keep_every=1)
    list(train_ncsn(settings, tmp_path / "run"))
    average = weights(tmp_path / "run", step=1, averaged=False)  # the first average is the first weights
    for step in range(2, 6):
        new = weights(tmp_path / "run", step=step, averaged=False)
        average = {name: 0.9 * average[name] + 0.1 * new[name] for name in average}
    for name, value in weights(tmp_path / "run").items():
        torch.testing.assert_close(value, average[name], rtol=1e-5, atol=1e-6)


def test_the_average_does_not_change_the_training(tmp_path, whole):
    plain = list(train_ncsn(tiny(ema_decay=0.0), tmp_path / "run"))
    assert plain == whole[1]
    assert_same(weights(tmp_path / "run"), weights(whole[0], averaged=False))
    assert not list((tmp_path / "run").rglob("average*"))


def test_a_run_can_start_from_a_trained_network(tmp_path, whole):
    trained = str(whole[0] / "step-0000012" / "average.safetensors")
    settings = dataclasses.replace(tiny(n_steps=1, learning_rate=1e-12, save_every=1), initial=trained)
    list(train_ncsn(settings, tmp_path / "run"))
    expected = weights(whole[0])
    for name, value in weights(tmp_path / "run").items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-10)
    assert NCSN.from_dict(Run(tmp_path / "run").settings).initial == trained


def test_a_trained_network_of_another_shape_is_refused_before_the_run_begins(tmp_path, whole):
    trained = str(whole[0] / "step-0000012" / "average.safetensors")
    wider = dataclasses.replace(TINY, channels=8, initial=trained)
    with pytest.raises(ValueError, match="network must have the shapes saved in average"):
        train_ncsn(wider, tmp_path / "run")
    with pytest.raises(FileNotFoundError):
        train_ncsn(dataclasses.replace(TINY, initial="no_such_network"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_epoch_shows_each_image_once(monkeypatch, tmp_path):
    """Each image carries its own brightness; the batches are seen through the noise at a tiny σ."""
    from sbgm.lab import ncsn

    images = torch.arange(20.0).reshape(20, 1, 1, 1).expand(20, 1, 8, 8) / 20
    seen = []
    monkeypatch.setattr(ncsn, "ncsn_loss", lambda score, x, *a, **k: (seen.append(x), score(x, 0.01).mean())[1])
    list(train_ncsn(tiny(n_steps=5, batch_size=8, measure_every=9), tmp_path / "run", images=images, held_out=images))
    first = torch.cat(seen[:2]).mean(dim=(1, 2, 3))  # 20 images, batches of 8: two an epoch, four images left over
    values = (first * 20).round().int().tolist()
    assert len(set(values)) == 16
    order = torch.randperm(20, generator=derived_generator(0, ORDER, 0))[:16].tolist()
    assert values == order
    later = (torch.cat(seen[2:4]).mean(dim=(1, 2, 3)) * 20).round().int().tolist()
    assert later != values


def test_the_loss_is_the_papers(monkeypatch, tmp_path):
    """The zero score's loss is D/2 at every level: 32 for 8×8 images (the shift of the dequantised data cancels)."""
    from sbgm.lab import ncsn

    monkeypatch.setattr(
        ncsn, "ncsn_loss", lambda score, x, *a, **k: ncsn_loss(lambda x, s: 0 * score(x, s), x, *a, **k)
    )
    settings = tiny(n_steps=6, batch_size=256, measure_every=6)
    losses = torch.tensor([s.loss for s in train_ncsn(settings, tmp_path / "run")])
    se = math.sqrt(32 / (6 * 256))  # of the mean of ½χ²_64: its variance is 32
    assert float(losses.mean()) == pytest.approx(32, abs=4 * se)


# --- stopped and resumed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", [1, 5, 8, 11])
def test_a_run_that_is_closed_saves_and_goes_on_as_if_it_had_not_stopped(whole, tmp_path, stop_after):
    steps = train_ncsn(TINY, tmp_path / "run")
    first = [next(steps) for _ in range(stop_after)]
    steps.close()
    assert Run(tmp_path / "run").last_step == stop_after
    rest = list(train_ncsn(TINY, tmp_path / "run", resume=True))
    assert first + rest == whole[1]
    assert_same(weights(tmp_path / "run"), weights(whole[0]))
    assert_same(weights(tmp_path / "run", averaged=False), weights(whole[0], averaged=False))
    log, whole_log = Run(tmp_path / "run").log(), Run(whole[0]).log()
    assert log.drop(columns="seconds").equals(whole_log.drop(columns="seconds"))


def test_a_finished_run_is_left_alone_and_more_steps_continue_it(tmp_path, whole):
    folder = tmp_path / "run"
    list(train_ncsn(tiny(n_steps=6), folder))
    before = (folder / "step-0000006" / "state.pt").stat().st_mtime_ns
    assert list(train_ncsn(tiny(n_steps=6), folder, resume=True)) == []
    assert (folder / "step-0000006" / "state.pt").stat().st_mtime_ns == before
    rest = list(train_ncsn(TINY, folder, resume=True))
    assert rest == whole[1][6:]
    assert_same(weights(folder), weights(whole[0]))


def test_an_interrupt_in_the_middle_of_a_step_saves_the_step_before(tmp_path, whole):
    """Ctrl-C in a cell: between the gradient and the update, nothing of the new step has happened yet."""
    from sbgm.lab import ncsn

    calls = []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return ncsn_loss(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ncsn, "ncsn_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(train_ncsn(tiny(measure_every=100), tmp_path / "run"))
    assert Run(tmp_path / "run").last_step == 6
    assert list(train_ncsn(tiny(measure_every=100), tmp_path / "run", resume=True)) == whole[1][6:]


SMALL = ["digits", "--channels", 2, "--batch-size", 4, "--levels", 2, "--precision", "fp32", "--save-every", 3]


KILLING = """
import os, pathlib, random, signal, sys, time
from accelerate import Accelerator
from sbgm.cli import main
from sbgm.data import load_images
from sbgm.lab.runs import Run

load_images("digits")  # for all lives, as are the modules above
folder, n_kills, arguments = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
moments = random.Random(0)
for _ in range(n_kills):
    start = Run(folder).last_step
    child = os.fork()  # of a process that has imported torch, and used none of its threads
    if not child:
        os._exit(main([*arguments, *(["--resume"] if start else []), "--out", str(folder)]))
    while Run(folder).last_step == start and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.01)  # until it has written a checkpoint of its own
    time.sleep(moments.uniform(0, 0.2))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "it ended before it was killed"
    print(Run(folder).last_step, flush=True)
"""


@pytest.mark.parametrize("n_kills", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(n_kills, tmp_path):
    """kill -9 of a process that saves every third step, at moments drawn over the time that many steps take; then a few
    steps more, and as many in a run that was never killed."""
    arguments = ["train", *map(str, SMALL), "--steps"]
    killing = subprocess.run(
        [sys.executable, "-c", KILLING, str(tmp_path / "killed"), str(n_kills), *arguments, "100000"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert killing.returncode == 0, killing.stderr[-2000:]
    reached = [int(step) for step in killing.stdout.split()]
    assert len(set(reached)) == n_kills  # each life got further
    arguments.append(str(reached[-1] + 4))
    assert command.main([*arguments, "--resume", "--out", str(tmp_path / "killed")]) == 0
    assert command.main([*arguments, "--save-every", "100000", "--out", str(tmp_path / "whole")]) == 0
    for averaged in (True, False):
        assert_same(weights(tmp_path / "killed", averaged=averaged), weights(tmp_path / "whole", averaged=averaged))
    killed, whole = Run(tmp_path / "killed").log(), Run(tmp_path / "whole").log()
    assert killed.drop(columns="seconds").equals(whole.drop(columns="seconds"))


@pytest.fixture(scope="module")
def under_way(tmp_path_factory):
    """A long run in a process of its own, which has written a checkpoint, and its folder."""
    folder = tmp_path_factory.mktemp("under_way") / "run"
    command = [sys.executable, "-m", "sbgm", "train", *map(str, SMALL), "--steps", "100000", "--out", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not Run(folder).last_step and process.poll() is None:
            time.sleep(0.01)
        yield process, folder
        process.kill()


def test_a_notebook_attaches_to_a_run_that_another_process_writes(under_way):
    process, folder = under_way
    run, seen = Run(folder), set()
    for _ in range(20):  # whatever instant it looks, what it reads is whole
        seen.add(run.network().facts["step"])
    assert min(seen) >= 3
    assert process.poll() is None
    assert json.loads((folder / "settings.json").read_text())["data"] == "digits"


def test_ctrl_c_at_the_command_line_saves_and_says_how_to_go_on(under_way):
    process, folder = under_way
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    saved = Run(folder).last_step
    assert f"Stopped and saved at step {saved}. The same command with --resume goes on." in err


@pytest.mark.parametrize("part", ["network.safetensors", "state.pt"])
def test_a_write_that_fails_leaves_the_checkpoint_before_it(tmp_path, monkeypatch, part):
    from sbgm.lab import runs as module

    folder = tmp_path / "run"
    steps = train_ncsn(TINY, folder)
    [next(steps) for _ in range(4)]
    name = "save_network" if part == "network.safetensors" else "save_checkpoint"

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, name, full)
    with pytest.raises(OSError, match="No space left"):
        list(steps)
    monkeypatch.undo()
    assert Run(folder).last_step == 4
    assert [s.step for s in train_ncsn(TINY, folder, resume=True)] == list(range(5, 13))


# --- nothing is overwritten ------------------------------------------------------------------------------------------


def test_an_existing_run_is_not_overwritten_unasked(whole):
    before = {p: p.read_bytes() for p in whole[0].rglob("*") if p.is_file()}
    with pytest.raises(FileExistsError, match="is not empty; resume the run there, or choose another folder"):
        train_ncsn(TINY, whole[0])
    assert command.main([*map(str, ["train", *SMALL, "--out", whole[0]])]) == 1
    assert {p: p.read_bytes() for p in whole[0].rglob("*") if p.is_file()} == before


def test_a_folder_that_holds_something_else_is_not_taken_for_a_run(tmp_path):
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(FileExistsError, match="not empty"):
        train_ncsn(TINY, tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no training run"):
        train_ncsn(TINY, tmp_path, resume=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("folder", ["nowhere", "empty", "other"])
def test_resuming_where_there_is_no_run_is_refused_and_starts_none(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("…")
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / folder
    with pytest.raises(FileNotFoundError, match=f"/{folder} holds no training run"):
        train_ncsn(TINY, out, resume=True)
    assert command.main(["train", *map(str, SMALL), "--out", str(out), "--resume"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"sbgm: --resume must find a run in --out, but {out} holds no training run")
    assert error.endswith("leave --resume out to start one, or give a run's folder\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_resuming_with_other_settings_names_them(whole):
    with pytest.raises(ValueError, match=r"started with: channels = 4, not 8, learning_rate = 0.01, not 0.1"):
        train_ncsn(dataclasses.replace(tiny(learning_rate=0.1), channels=8), whole[0], resume=True)


# --- parts, processes, precision -------------------------------------------------------------------------------------


def test_the_parts_of_a_batch_make_the_same_step_as_the_whole(tmp_path):
    """A loss that draws nothing has the same value and gradient in parts. Adam hides the gradient's scale: the moments
    that it keeps, (1 − β) g and (1 − β²) g², do not."""
    images = load_images("digits")[:16]

    def part_loss(score, step, part, n_parts):
        x = images[part::n_parts]
        return (score(x, 0.1) - x).square().mean()

    losses, moments = [], []
    for accumulation in (1, 4):
        run = Run(tmp_path / str(accumulation))
        run.create({})
        settings = TrainingSettings(n_steps=1, batch_size=16, accumulation=accumulation)
        network = dataclasses.replace(TINY, n_levels=2, sigma_min=0.1).network((1, 8, 8))
        losses += [step.loss for step in train(network, part_loss, run, settings)]
        moments.append(load_checkpoint(run.checkpoints[-1] / "state.pt")["optimizer"]["state"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for i, whole in moments[0].items():
        for name in ("exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(
                moments[1][i][name], whole[name], rtol=1e-3, atol=1e-3 * float(whole[name].abs().max())
            )


def test_a_batch_that_does_not_divide_into_the_parts_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"batch_size must divide into 3 parts \(1 processes × accumulation 3\)"):
        train_ncsn(tiny(accumulation=3), tmp_path / "run")


def test_two_processes_do_what_one_does_with_twice_the_accumulation(tmp_path):
    arguments = ["train", *map(str, SMALL), "--steps", "6", "--out"]
    done = torchrun("-m", "sbgm", *arguments, tmp_path / "two")
    assert done.returncode == 0, done.stderr[-2000:]
    assert command.main([*arguments, str(tmp_path / "one"), "--cpu", "--accumulation", "2"]) == 0
    one, two = Run(tmp_path / "one"), Run(tmp_path / "two")
    assert two.log()["loss"].tolist() == pytest.approx(one.log()["loss"].tolist(), rel=1e-4)
    found = weights(two.folder)
    for name, value in weights(one.folder).items():
        torch.testing.assert_close(value, found[name], rtol=1e-3, atol=1e-4)
    moments = [load_checkpoint(run.checkpoints[-1] / "state.pt")["optimizer"]["state"] for run in (one, two)]
    for i, state in moments[0].items():  # which show the gradient's scale, as the weights after Adam's steps do not
        size = float(state["exp_avg_sq"].abs().max())
        torch.testing.assert_close(moments[1][i]["exp_avg_sq"], state["exp_avg_sq"], rtol=1e-2, atol=1e-3 * size)
    rest = torchrun("-m", "sbgm", *arguments, tmp_path / "two", "--steps", "9", "--resume")
    assert rest.returncode == 0, rest.stderr[-2000:]
    assert two.last_step == 9


def test_bfloat16_trains_the_same_network_within_its_rounding(tmp_path, whole):
    losses = [s.loss for s in train_ncsn(tiny(precision="bf16"), tmp_path / "run")]
    assert losses == pytest.approx([s.loss for s in whole[1]], rel=0.05)
    assert losses != [s.loss for s in whole[1]]
    assert all(p.dtype == torch.float32 for p in Run(tmp_path / "run").network().parameters())


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_its_checkpoint(tmp_path, monkeypatch):
    from sbgm.lab import ncsn

    calls = []

    def broken(*arguments, **options):
        calls.append(1)
        return ncsn_loss(*arguments, **options) * (math.nan if len(calls) == 6 else 1)

    monkeypatch.setattr(ncsn, "ncsn_loss", broken)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 6; lower the learning rate"):
        list(train_ncsn(tiny(measure_every=100), tmp_path / "run"))
    assert Run(tmp_path / "run").last_step == 4


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_steps", 0, "n_steps must be at least 1"),
        ("batch_size", 2.5, "batch_size must be a whole number"),
        ("precision", "fp16", "precision must be one of 'fp32', 'bf16'"),
        ("ema_decay", 1.0, "ema_decay must be at least 0 and below 1"),
        ("keep_every", -1, "keep_every must not be negative"),
    ],
)
def test_bad_settings_are_named(name, value, message):
    with pytest.raises((ValueError, TypeError), match=message):
        TrainingSettings(**{name: value})


def test_the_papers_settings_are_the_papers():
    mnist, cifar10 = NCSN.of_scale("mnist", "paper"), NCSN.of_scale("cifar10", "paper")
    for settings, channels, flips in ((mnist, 64, False), (cifar10, 128, True)):
        assert (settings.channels, settings.flips) == (channels, flips)
        assert (settings.sigma_max, settings.sigma_min, settings.n_levels) == (1.0, 0.01, 10)
        training = settings.training
        assert (training.batch_size, training.n_steps, training.learning_rate) == (128, 200_000, 1e-3)
        assert (training.ema_decay, training.precision, training.keep_every) == (0.0, "fp32", 5_000)
    with pytest.raises(ValueError, match="scale must be one of"):
        NCSN.of_scale("mnist", "huge")


def test_checkpoints_to_keep_are_kept(tmp_path):
    list(train_ncsn(tiny(save_every=2, keep_every=4), tmp_path / "run"))
    assert [p.name for p in Run(tmp_path / "run").checkpoints] == ["step-0000004", "step-0000008", "step-0000012"]
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 2; those there: \[4, 8, 12\]"):
        Run(tmp_path / "run").network(step=2)


def test_the_accelerator_is_where_the_training_runs(tmp_path):
    accelerator = Accelerator(cpu=True)
    next(train_ncsn(TINY, tmp_path / "run", accelerator=accelerator))
    assert accelerator.device.type == "cpu"


def test_a_network_is_found_by_its_file_and_by_the_folder_of_its_run(whole):
    by_run = load_trained(whole[0])
    assert_same(by_run.state_dict(), weights(whole[0]))
    by_file = load_trained(whole[0] / "step-0000012" / "network.safetensors")
    assert_same(by_file.state_dict(), weights(whole[0], averaged=False))


def test_a_network_that_is_nowhere_is_called_by_the_name_that_was_given(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^.*/run is no run's folder, no file of weights, and no network"):
        load_trained(tmp_path / "run")
