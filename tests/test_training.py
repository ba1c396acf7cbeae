"""The training loop, its checkpoints, and a run of Fig. 1 that is stopped, killed and continued."""

import itertools
import math
import os
import signal

import pytest
import torch
from torch import nn

from M2 import Figure1, train_figure1
from processes import FORKS
from recipes import Figure2, train_figure2
from sbgm import MLP, annealed_langevin, final, geometric_sigmas, ncsn_loss, paper_mixture
from sbgm.data import load_images
from sbgm.losses import sliced_score_matching_loss
from sbgm.networks import ConditionalMLP
from sbgm.train import runs
from sbgm.train.runs import Run, load_checkpoint, save_checkpoint
from sbgm.training import fit, fit_score
from small_run import figure1_killed_at


def line_fit(seed=0):
    """A line y = 2x − 1 to be learned without noise: parameters, optimizer, loss."""
    generator = torch.Generator().manual_seed(seed)
    line = nn.Linear(1, 1)
    with torch.no_grad():
        line.weight.zero_(), line.bias.zero_()

    def loss():
        x = torch.randn(16, 1, generator=generator)
        return (line(x) - (2 * x - 1)).square().mean()

    return line, torch.optim.SGD(line.parameters(), lr=0.1), loss


# --- fit -------------------------------------------------------------------------------------------------------------


def test_fit_minimises_and_yields_every_loss_from_before_its_update():
    line, optimizer, loss = line_fit()
    steps = list(fit(loss, optimizer, 200))
    assert [s.step for s in steps] == list(range(1, 201))
    first = torch.randn(16, 1, generator=torch.Generator().manual_seed(0))
    assert steps[0].loss == pytest.approx(float((2 * first - 1).square().mean()))  # at weight and bias zero
    assert line.weight.item() == pytest.approx(2, abs=1e-4)
    assert line.bias.item() == pytest.approx(-1, abs=1e-4)


def test_fit_advances_the_schedule_once_a_step_and_counts_on_from_first_step():
    _, optimizer, loss = line_fit()
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    steps = list(fit(loss, optimizer, 7, schedule=schedule, first_step=5))
    assert [s.step for s in steps] == [5, 6, 7]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_raises_before_it_touches_the_parameters(bad):
    line, optimizer, loss = line_fit()
    losses = itertools.chain([1.0] * 3, [bad])
    kept = []
    steps = fit(lambda: loss() * next(losses), optimizer, 9)
    for _ in range(3):
        next(steps)
        kept.append({name: p.detach().clone() for name, p in line.named_parameters()})
    with pytest.raises(FloatingPointError, match=f"the loss is {bad} at step 4 of 9; lower the learning rate"):
        next(steps)
    assert len(kept) == 3
    assert all(torch.equal(p, kept[-1][name]) for name, p in line.named_parameters())


def test_a_gradient_that_is_no_number_raises_before_it_touches_the_parameters():
    line, optimizer, loss = line_fit()
    before = {name: p.detach().clone() for name, p in line.named_parameters()}
    with pytest.raises(FloatingPointError, match="the sum of the gradient is nan at step 1 of 9; lower the"):
        next(fit(lambda: loss() + line.bias.sum().sqrt() * 0, optimizer, 9))
    assert all(torch.equal(p, before[name]) for name, p in line.named_parameters())


# --- fit_score -------------------------------------------------------------------------------------------------------


def test_a_circle_is_trained_on_and_sampled_in_ten_lines():
    """Chains end at a distance of 1 from the origin, all around."""
    g = torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(2_000, generator=g)
    data = torch.stack([angle.cos(), angle.sin()], dim=1)
    sigmas = geometric_sigmas(2.0, 0.1, 8)
    score = ConditionalMLP(width=64, generator=g)
    loss = lambda score, x: ncsn_loss(score, x, sigmas, generator=g)  # noqa: E731
    for step in fit_score(score, data, loss, n_steps=1_000, learning_rate=1e-2, one_cycle=True, generator=g):
        assert math.isfinite(step.loss)
    start = 2 * torch.randn(500, 2, generator=g)
    x = final(annealed_langevin(score, start, sigmas, step_size=2e-3, n_steps=30, generator=g, denoise_last=True))
    assert step.step == 1_000
    assert float((x.norm(dim=1) - 1).abs().median()) < 0.15
    assert float(x.mean(dim=0).norm()) < 0.25


@pytest.mark.parametrize("one_cycle", [True, False])
def test_a_function_may_draw_the_data_and_the_steps_are_those_of_figure_2(one_cycle):
    mixture = paper_mixture()
    settings = Figure2(n_iterations=5, batch_size=32, learning_rate=1e-2, one_cycle=one_cycle, seed=3)
    networks = [MLP(width=8, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    g = torch.Generator().manual_seed(3)
    steps = fit_score(
        networks[0],
        lambda n: mixture.sample(n, generator=g),
        lambda score, x: sliced_score_matching_loss(score, x, generator=g),
        n_steps=5,
        batch_size=32,
        learning_rate=1e-2,
        one_cycle=one_cycle,
        generator=g,
    )
    assert list(steps) == list(train_figure2(networks[1], mixture, settings))
    assert all(map(torch.equal, *(network.parameters() for network in networks)))


def test_batches_are_rows_drawn_with_replacement_by_the_generator():
    data, batches, g = torch.arange(10.0)[:, None].repeat(1, 2), [], torch.Generator().manual_seed(1)

    def loss(score, x):
        batches.append(x)
        return score(x, 0.0).square().mean()

    list(fit_score(MLP(width=4), data, loss, n_steps=2, batch_size=6, generator=g))
    again = torch.Generator().manual_seed(1)
    assert all(torch.equal(x, data[torch.randint(10, (6,), generator=again)]) for x in batches)


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "run.pt"
    state = {"network": nn.Linear(3, 2).state_dict(), "losses": torch.arange(3.0), "step": 7, "name": "a"}
    save_checkpoint(path, **state)
    loaded = load_checkpoint(path)
    assert loaded.keys() == state.keys()
    assert torch.equal(loaded["network"]["weight"], state["network"]["weight"])
    assert torch.equal(loaded["losses"], state["losses"])
    assert (loaded["step"], loaded["name"]) == (7, "a")
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"state": Malicious()}, tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"path must be a whole file, but .*/run.pt is damaged \(UnpicklingError\)"):
        load_checkpoint(tmp_path / "run.pt")
    assert not (tmp_path / "harm").exists()


def test_a_write_that_fails_halfway_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    save_checkpoint(path, step=1)

    def half(state, file):
        file.write(b"half of a checkp")
        raise OSError("No space left on device")

    monkeypatch.setattr(runs.torch, "save", half)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, step=2)
    monkeypatch.undo()
    assert load_checkpoint(path) == {"step": 1}
    save_checkpoint(path, step=3)  # what the failure left does not stand in the way
    assert load_checkpoint(path) == {"step": 3}


# --- a run of Fig. 1, interrupted -------------------------------------------------------------------------------------

IMAGES = load_images("photo_patches", "test")[:50, :, :8, :8].clone()
SMALL = Figure1(noise_std=0.01, channels=8, batch_size=2, n_iterations=12)


def run(path, settings=SMALL, images=IMAGES, stop_after=None, save_every=4):
    steps = train_figure1(images, settings, folder=path, save_every=save_every)
    return list(itertools.islice(steps, stop_after))


def saved(path):
    return Run(path).load({})


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return run(path), saved(path)


def same_run(steps, state, uninterrupted):
    """Losses, weights, Adam's moments and the generator, all equal to the last bit."""
    whole_steps, whole_state = uninterrupted
    assert steps == whole_steps
    for name, weight in whole_state["network"].items():
        assert torch.equal(state["network"][name], weight), name
    for i, moments in whole_state["optimizer"]["state"].items():
        assert all(torch.equal(state["optimizer"]["state"][i][name], value) for name, value in moments.items())
    assert torch.equal(state["generator"], whole_state["generator"])
    assert torch.equal(state["losses"], whole_state["losses"])


@pytest.mark.parametrize("stop_after", [1, 4, 5, 8, 11])
def test_an_abandoned_run_is_continued_to_the_last_bit(tmp_path, uninterrupted, stop_after):
    path = tmp_path / "run"
    assert run(path, stop_after=stop_after) == uninterrupted[0][:stop_after]
    same_run(run(path), saved(path), uninterrupted)


def test_a_finished_run_is_replayed_without_training_and_continued_by_more_iterations(tmp_path, uninterrupted):
    path = tmp_path / "run"
    run(path, Figure1(noise_std=0.01, channels=8, batch_size=2, n_iterations=5))
    same_run(run(path), saved(path), uninterrupted)
    content = (Run(path).checkpoints[-1] / "state.pt").read_bytes()
    assert run(path) == uninterrupted[0]
    assert run(path, Figure1(noise_std=0.01, channels=8, batch_size=2, n_iterations=3)) == uninterrupted[0][:3]
    assert (Run(path).checkpoints[-1] / "state.pt").read_bytes() == content


def test_without_a_checkpoint_the_run_is_the_same(uninterrupted):
    assert list(train_figure1(IMAGES, SMALL)) == uninterrupted[0]


def test_a_killed_run_is_continued_to_the_last_bit(tmp_path, uninterrupted):
    path = tmp_path / "run"
    process = FORKS.Process(target=figure1_killed_at, args=(7, IMAGES, SMALL, path, 4))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(saved(path)["losses"]) == 4
    same_run(run(path), saved(path), uninterrupted)


def test_a_nan_gradient_at_a_saving_iteration_leaves_the_checkpoint_before_it(tmp_path, uninterrupted, monkeypatch):
    def loss(score, x, *, generator):
        value = sliced_score_matching_loss(score, x, generator=generator)
        calls.append(None)
        return value + 0 * (value - value).sqrt() if len(calls) == 8 else value  # 0 · ∂√u/∂u at u = 0

    calls, path = [], tmp_path / "run"
    monkeypatch.setattr("M2.sliced_score_matching_loss", loss)
    with pytest.raises(FloatingPointError, match="the sum of the gradient is nan at step 8 of 12; lower the learning"):
        run(path)
    monkeypatch.undo()
    assert Run(path).last_step == 4
    same_run(run(path), saved(path), uninterrupted)


@pytest.mark.parametrize(
    "other",
    [
        {"settings": Figure1(noise_std=0.0, channels=8, batch_size=2, n_iterations=12)},
        {"settings": Figure1(noise_std=0.01, channels=16, batch_size=2, n_iterations=12)},
        {"settings": Figure1(noise_std=0.01, channels=8, batch_size=3, n_iterations=12)},
        {"settings": Figure1(noise_std=0.01, channels=8, batch_size=2, n_iterations=12, learning_rate=1e-4)},
        {"settings": Figure1(noise_std=0.01, channels=8, batch_size=2, n_iterations=12, seed=1)},
        {"images": IMAGES[:49]},
        {"images": 1 - IMAGES},
        {"images": IMAGES.flip(0)},
    ],
)
def test_a_run_with_other_settings_or_images_is_refused_and_left_alone(tmp_path, other):
    path = tmp_path / "run"
    run(path, stop_after=4)
    content = (Run(path).checkpoints[-1] / "state.pt").read_bytes()
    with pytest.raises(ValueError, match=r"settings must be those that the run in .*/run was started with: \w+ = "):
        run(path, **other)
    assert (Run(path).checkpoints[-1] / "state.pt").read_bytes() == content


def test_the_run_leaves_torchs_global_generator_alone():
    before = torch.get_rng_state()
    run(None, stop_after=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_papers_settings_are_the_defaults():
    paper = Figure1(noise_std=0.01)
    assert (paper.channels, paper.batch_size, paper.learning_rate, paper.n_iterations) == (32, 128, 1e-3, 50_001)
