"""Training of a noise conditional score network: settings, loss, average, log, and its spread over processes."""

import contextlib
import dataclasses
import functools
import math

import pytest
import torch
from torch import nn

from processes import sbgm_on_two_processes
from sbgm import cli as command
from sbgm import save_network
from sbgm.images.data import load_images
from sbgm.images.weights import whole_checkpoint
from sbgm.noise import derived_generator
from sbgm.train import runs
from sbgm.train.images import NCSN, ORDER, train_ncsn
from sbgm.train.runs import Run, TrainingSettings, hardware, load_checkpoint, train
from small_run import SETTINGS, changed, set_of, small_network, steps_of


def weights(folder, **options):
    return Run(folder).network(**options).state_dict()


def mean_gradients(folder):
    """Adam's of each parameter at the end of a run: they show a gradient's scale, which its steps do not."""
    state = load_checkpoint(Run(folder).checkpoints[-1] / "state.pt")["optimizer"]["state"]
    return [of_one["exp_avg"] for of_one in state.values()]


assert_same = functools.partial(torch.testing.assert_close, rtol=0, atol=0)


# --- what a run is ---------------------------------------------------------------------------------------------------


def test_a_run_holds_its_settings_and_a_log(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SHARE", math.inf)
    settings, run = changed(log_every=2, measure_every=4, threads=1), Run(tmp_path / "run")
    steps = list(steps_of(run.folder, settings))
    assert NCSN.from_dict(run.settings) == settings
    assert [s.step for s in steps] == list(range(1, 9))
    log = run.log()
    assert log["step"].tolist() == [1, 2, 4, 6, 8]
    pairs = [(steps[i].loss + steps[i + 1].loss) / 2 for i in range(2, 8, 2)]
    assert log["loss"].tolist() == pytest.approx([steps[0].loss, steps[1].loss, *pairs], rel=1e-6)
    assert log["held_out"].notna().tolist() == [True, False, True, False, True]
    assert log["held_out"].iloc[-1] == pytest.approx(log[["level_1", "level_2"]].iloc[-1].mean())
    assert log["seconds"].is_monotonic_increasing
    assert run.load({})["hardware"] == hardware()


def test_the_network_of_a_run_knows_its_ladder_and_its_images(whole):
    network = Run(whole[0]).network()
    assert torch.equal(network.sigmas, SETTINGS.sigmas)
    assert (network.image_shape, network.data_range, network.facts["step"]) == ((1, 8, 8), (0.0, 1.0), 8)
    assert not any(p.requires_grad for p in network.parameters())


def test_the_average_follows_the_weights_by_its_formula(tmp_path):
    list(steps_of(tmp_path / "run", changed(n_steps=5, ema_decay=0.4, save_every=1, keep_every=1)))
    average = small_network().state_dict()
    for step in range(1, 6):
        new, m = weights(tmp_path / "run", step=step, averaged=False), min(0.4, (1 + step) / (10 + step))
        average = {name: m * average[name] + (1 - m) * new[name] for name in average}
    torch.testing.assert_close(weights(tmp_path / "run"), average, rtol=1e-5, atol=1e-6)


def test_the_average_does_not_change_the_training(tmp_path, whole):
    assert list(steps_of(tmp_path / "run", changed(ema_decay=0.0))) == whole[1]
    assert_same(weights(tmp_path / "run"), weights(whole[0], averaged=False))
    assert not list((tmp_path / "run").rglob("average*"))


def test_a_run_can_start_from_a_trained_network_and_goes_on_without_its_file(tmp_path):
    initial = tmp_path / "trained.safetensors"
    settings = dataclasses.replace(
        changed(n_steps=1, learning_rate=1e-12), channels=4, n_levels=1, initial=str(initial)
    )
    trained = dataclasses.replace(settings, initial=None, training=TrainingSettings(seed=1)).network((1, 8, 8))
    save_network(trained, initial)
    list(train_ncsn(settings, tmp_path / "run"))
    torch.testing.assert_close(weights(tmp_path / "run"), trained.state_dict(), rtol=0, atol=1e-10)
    initial.unlink()
    more = dataclasses.replace(settings, training=dataclasses.replace(settings.training, n_steps=2))
    assert [step.step for step in train_ncsn(more, tmp_path / "run", resume=True)] == [2]


class OfImages(nn.Module):
    """A network of no use, whose parameter has a gradient: its score is a factor times the images that it sees."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.weight, self.seen = factor, nn.Parameter(torch.ones(())), []

    def forward(self, x, sigma):
        if torch.is_grad_enabled():
            self.seen.append(x)
        return self.factor * self.weight * x


def test_every_epoch_shows_each_image_once(tmp_path):
    """Each image carries its own brightness; the batches are seen through the noise at a tiny σ."""
    images = torch.arange(20.0).reshape(20, 1, 1, 1).expand(20, 1, 8, 8) / 20
    settings = dataclasses.replace(changed(n_steps=5), n_levels=1, sigma_min=1e-4)
    list(train_ncsn(settings, tmp_path / "run", images=set_of(images), network=(network := OfImages(1e-9))))
    assert not (tmp_path / "run" / "sheets").exists()  # since one level is no ladder to go down
    values = (torch.cat(network.seen).mean(dim=(1, 2, 3)) * 20).round().int().tolist()
    assert len(set(values[:16])) == 16  # 20 images, batches of 8: two an epoch, four images left over
    assert values[:16] == torch.randperm(20, generator=derived_generator(0, ORDER, 0))[:16].tolist()
    assert values[16:32] != values[:16]


def test_the_loss_is_the_papers(tmp_path):
    """The zero score's loss is D/2 at every level: 32 for 8×8 images (the shift of the dequantised data cancels)."""
    settings = changed(n_steps=6, batch_size=256)
    losses = torch.tensor([s.loss for s in train_ncsn(settings, tmp_path / "run", network=OfImages(0.0))])
    se = math.sqrt(32 / (6 * 256))  # of the mean of ½χ²_64: its variance is 32
    assert float(losses.mean()) == pytest.approx(32, abs=4 * se)


# --- parts, processes, precision -------------------------------------------------------------------------------------


def test_the_parts_of_a_batch_make_the_same_step_as_the_whole(tmp_path):
    """A loss that draws nothing has the same value and gradient in parts."""
    images, losses = load_images("digits")[:16], []

    def part_loss(score, step, part, n_parts):
        x = images[part::n_parts]
        return (score(x, 1.0) - x).square().mean()

    for accumulation in (1, 4):
        run = Run(tmp_path / str(accumulation))
        run.create({})
        settings = TrainingSettings(n_steps=1, batch_size=16, accumulation=accumulation)
        losses += [step.loss for step in train(small_network(), part_loss, run, settings)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    torch.testing.assert_close(mean_gradients(tmp_path / "4"), mean_gradients(tmp_path / "1"), rtol=1e-3, atol=1e-6)


def test_two_processes_do_what_one_does_with_twice_the_accumulation(tmp_path):
    small = "--channels 2 --levels 2 --batch-size 4 --held-out 4 --precision fp32 --save-every 3"
    arguments = ["train", "digits", *small.split(), "--device", "cpu", "--out"]
    one, two = tmp_path / "one", tmp_path / "two"
    sbgm_on_two_processes(*arguments, two, "--steps", 6, said=tmp_path / "said")
    assert command.main([*arguments, str(one), "--steps", "6", "--accumulation", "2"]) == 0
    assert Run(two).log()["loss"].tolist() == pytest.approx(Run(one).log()["loss"].tolist(), rel=1e-4)
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mean_gradients(two), mean_gradients(one), rtol=1e-2, atol=1e-6)
    more = ("--steps", 900, "--resume", "--minutes", 0.0001)
    sbgm_on_two_processes(*arguments, two, *more, said=tmp_path / "said")
    assert Run(two).last_step == 7  # both stop after the same step


def test_bfloat16_trains_the_same_network_within_its_rounding(tmp_path, whole):
    losses = [s.loss for s in steps_of(tmp_path / "run", changed(precision="bf16"))]
    assert losses == pytest.approx([s.loss for s in whole[1]], rel=0.05)
    assert losses != [s.loss for s in whole[1]]
    assert all(p.dtype == torch.float32 for p in Run(tmp_path / "run").network().parameters())


def test_float16_scales_its_loss_leaves_overflows_out_and_resumes_to_the_same_bits(tmp_path, monkeypatch):
    """A scale of 2³⁰ overflows until it has been halved often enough; after two good steps it grows again."""
    scaler = functools.partial(torch.amp.GradScaler, init_scale=2.0**30, growth_interval=2)
    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    settings = changed(precision="fp16", n_steps=40, ema_decay=0.0, measure_every=40, save_every=1, keep_every=1)
    losses = [s.loss for s in steps_of(tmp_path / "run", settings)]
    states = [load_checkpoint(whole_checkpoint(tmp_path / "run", step) / "state.pt") for step in range(1, 41)]
    scales = [state["scaler"]["scale"] for state in states]
    assert scales[0] == 2.0**29
    n_left_out = next(i for i in range(1, 40) if scales[i] >= scales[i - 1])
    assert n_left_out >= 5
    start = small_network().state_dict()
    assert_same(weights(tmp_path / "run", step=n_left_out), start)
    assert not torch.equal(weights(tmp_path / "run", step=n_left_out + 1)["end.bias"], start["end.bias"])
    assert sum(losses[-5:]) < sum(losses[:5])
    for stop in (3, n_left_out + 1):
        with contextlib.closing(steps_of(tmp_path / f"stopped{stop}", settings)) as steps:
            for _ in range(stop):
                next(steps)
        assert [s.loss for s in steps_of(tmp_path / f"stopped{stop}", settings, resume=True)] == losses[stop:]
        assert_same(weights(tmp_path / f"stopped{stop}"), weights(tmp_path / "run"))


def test_a_float16_gradient_that_no_scale_mends_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.amp, "GradScaler", functools.partial(torch.amp.GradScaler, init_scale=4.0))
    network = small_network()
    network.end.bias.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(FloatingPointError, match="the sum of the gradient is nan at step 3"):
        list(steps_of(tmp_path / "run", changed(precision="fp16"), network))


def test_a_run_records_what_the_machine_decided_and_resumes_with_it(tmp_path, monkeypatch):
    def seen(folder, resume=False, **settings):
        return [(torch.get_num_threads(), s.loss) for s in steps_of(folder, changed(**settings), resume=resume)]

    monkeypatch.setattr(runs, "fast_precision", lambda device: "bf16")
    monkeypatch.setattr(runs, "idle_cores", lambda: 2)
    folder, before = tmp_path / "run", torch.get_num_threads()
    first = seen(folder, precision="auto", n_steps=1)
    recorded = Run(folder).settings["training"]
    assert (recorded["precision"], recorded["threads"], torch.get_num_threads()) == ("bf16", 2, before)
    monkeypatch.setattr(runs, "fast_precision", lambda device: "fp32")
    monkeypatch.setattr(runs, "idle_cores", lambda: 1)
    rest = seen(folder, precision="auto", n_steps=2, resume=True)
    assert {n for n, _ in first} == {2}
    assert first + rest == seen(tmp_path / "told", precision="bf16", threads=2, n_steps=2)
    with pytest.raises(ValueError, match="precision = 'bf16', not 'fp32'"):
        seen(folder, precision="fp32", n_steps=3, resume=True)
    assert len(seen(folder, precision="bf16", threads=1, n_steps=3, resume=True)) == 1


@pytest.mark.parametrize(("data", "channels", "flips"), [("mnist", 64, False), ("cifar10", 128, True)])
def test_the_papers_settings_are_the_papers(data, channels, flips):
    ladder = {"sigma_max": 1.0, "sigma_min": 0.01, "n_levels": 10}
    training = TrainingSettings(200_000, batch_size=128, learning_rate=1e-3, ema_decay=0.0, keep_every=5_000)
    settings = NCSN(data, channels, **ladder, flips=flips, n_held_out=1_000, training=training)
    assert NCSN.of_scale(data, "paper") == settings
