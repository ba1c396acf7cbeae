"""Training as a notebook's cell does it: watched, by a loss of one's own, begun and gone on with by the same call."""

import functools
import signal
import threading

import pandas
import pytest
import torch

import sbgm
from sbgm.files import load_tensors
from seeds import seeded
from small_run import (
    SETTINGS,
    assert_same_run,
    changed,
    in_training,
    last_step,
    run,
    small_network,
    stop,
)

on_the_ladder = functools.partial(sbgm.ncsn_loss, sigmas=SETTINGS.sigmas)


def eq6(score, x, generator):
    """What a student writes in chapter 8."""
    return on_the_ladder(score, x, generator=generator)


def of_kernel():
    """What belongs to whoever calls."""
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), torch.get_num_threads()


@pytest.mark.parametrize("levels", [2, 1])
def test_a_watcher_is_shown_each_measurement_as_the_log_has_it_and_changes_nothing(tmp_path, whole, levels):
    shown = []

    def watch(step, row, sheet):
        shown.append((step, dict(row), sheet))
        row.clear()

    folder = tmp_path / "run"
    settings = changed(levels=levels)
    network = sbgm.ImageMLP(settings.sigmas, (1, 8, 8), width=16, n_blocks=1, generator=seeded())
    run(folder, settings, network, watch=watch)
    log = pandas.read_csv(folder / "log.csv").dropna()
    assert [step for step, _, _ in shown] == [1, 2, 4, 6, 8]
    pandas.testing.assert_frame_equal(pandas.DataFrame([row for _, row, _ in shown]), log.reset_index(drop=True))
    for step, _, sheet in shown:
        assert sheet is None if levels == 1 else (sheet.shape, sheet.device.type) == ((8, 1, 8, 8), "cpu")
        if levels == 2:
            assert torch.equal(load_tensors(folder / "sheets" / f"step-{step:07d}.safetensors")[0]["sheet"], sheet)
    if levels == 2:
        assert_same_run(folder, whole[0])


def test_a_loss_of_ones_own_trains_and_its_name_is_given_again_at_a_resume(tmp_path, whole):
    """Written as Eq. 6 it ends with the same bits."""
    folder = tmp_path / "run"
    run(folder, network=in_training(3, stop), loss=eq6)
    before = folder.stat().st_mtime_ns
    for other, name in ((None, "None"), (lambda score, x, generator: 0, r"'test_\w+\.<locals>\.<lambda>'")):
        with pytest.raises(ValueError, match=f"^loss must be 'eq6', as in the run, got {name}$"):
            run(folder, resume=True, loss=other)
    assert folder.stat().st_mtime_ns == before
    assert run(folder, resume=True, loss=eq6) == whole[1]
    assert_same_run(folder, whole[0])
    assert run(tmp_path / "double", loss=lambda *inputs: 2 * eq6(*inputs)) != whole[1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"loss": lambda score, x, generator: score(x, 1.0).square()}, r"loss must return a scalar .* \(2, 1, 8, 8\)"),
        ({"loss": lambda score, x, generator: x.mean()}, "loss must be computed from the network with gradients"),
        ({"network": small_network().requires_grad_(False)}, "loss must be computed from the network with gradients"),
    ],
)
def test_what_cant_be_trained_is_refused_before_anything_is_written(tmp_path, changes, says):
    with pytest.raises(ValueError, match=says):
        run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("made", [False, True])
def test_one_call_begins_a_run_and_goes_on_with_it(tmp_path, whole, made):
    folder = tmp_path / "run"
    if made:
        folder.mkdir()
        (folder / ".lock").touch()  # as a process leaves it that was killed early
    run(folder, network=in_training(3, stop), resume=True)
    assert last_step(folder) == 3
    assert run(folder, resume=True) == whole[1]
    assert_same_run(folder, whole[0])
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(FileNotFoundError, match="there is no run to resume in"):
        run(tmp_path, resume=True)


@pytest.mark.parametrize("step", [2, 6])
def test_an_error_in_the_watcher_and_an_interrupt_leave_the_kernel_as_it_was_and_lose_nothing(tmp_path, whole, step):
    folder = tmp_path / "run"
    settings = changed(save_every=4)
    before = of_kernel()

    def watch(number, *_):
        assert of_kernel() != before
        if number == step:
            raise RuntimeError("no such axis")

    with pytest.raises(RuntimeError, match="no such axis"):
        run(folder, settings, watch=watch)
    assert of_kernel() == before
    assert last_step(folder) == step // 4 * 4
    seen = []
    run(folder, settings, in_training(1, stop), resume=True, watch=lambda step, *_: seen.append(step))
    assert of_kernel() == before
    begun_at = step // 4 * 4
    assert last_step(folder) == begun_at + 1
    assert seen == [*([begun_at] if begun_at else []), begun_at + 1]  # where it goes on, and where it stopped
    assert run(folder, settings, resume=True) == whole[1]


def test_a_thread_that_may_not_set_handlers_trains_without(tmp_path, whole):
    thread = threading.Thread(target=run, args=(tmp_path / "run",))
    thread.start()
    thread.join()
    assert_same_run(tmp_path / "run", whole[0])
