"""Training of a noise conditional score network: loss, average, parts and processes, precision, settings, classes."""

import dataclasses
import functools
import json
import math

import pandas
import pytest
import torch
from torch import nn

from processes import sbgm_on_two_processes
from sbgm import __main__ as cli
from sbgm import save_network
from sbgm.apps import train as program
from sbgm.apps.options import flag_of
from sbgm.apps.train import ORDER, Settings, new_network, settings_of
from sbgm.images.data import load_images
from sbgm.images.weights import checkpoints
from sbgm.noise import derived_generator
from small_run import IMAGES, changed, in_training, last_step, losses, run, set_of, small_network, state, stop, weights

RARELY = {"measure_every": 10_000, "log_every": 10_000, "save_every": 10_000}
assert_same = functools.partial(torch.testing.assert_close, rtol=0, atol=0)


def mean_gradients(folder):
    """Adam's of each parameter at the end of a run: they show a gradient's scale, which its steps do not."""
    return [of_one["exp_avg"] for of_one in state(folder)["optimizer"]["state"].values()]


def recorded(folder):
    return json.loads((folder / "settings.json").read_text())


# --- a step ----------------------------------------------------------------------------------------------------------


def test_a_run_holds_its_settings_and_a_log(folder, whole):
    settings = changed(log_every=2, measure_every=4)
    run(folder, settings)
    record = recorded(folder) | {"network": "RefineNet"}
    assert {name: record.get(name) for name in vars(settings)} == vars(settings) | {"device": None}
    log = pandas.read_csv(folder / "log.csv")
    assert log["step"].tolist() == [1, 2, 4, 6, 8]
    each = whole[1]
    since = [each[0], each[1], sum(each[2:4]) / 2, sum(each[4:6]) / 2, sum(each[6:8]) / 2]
    assert log["loss"].tolist() == pytest.approx(since, rel=1e-6)
    assert log["held_out"].notna().tolist() == [True, False, True, False, True]
    last = log.iloc[-1]
    assert last["held_out"] == pytest.approx((last["level_1"] + last["level_2"]) / 2)
    assert log["seconds"].is_monotonic_increasing


def test_the_average_follows_the_weights_by_its_formula_and_does_not_change_the_training(folder, tmp_path, whole):
    run(folder, changed(steps=5, ema=0.4, save_every=1, keep_every=1))
    average = small_network().state_dict()
    for step in range(1, 6):
        new = weights(folder, step, averaged=False)
        m = min(0.4, (1 + step) / (10 + step))
        for name, old in average.items():
            average[name] = m * old + (1 - m) * new[name]
    torch.testing.assert_close(weights(folder), average, rtol=1e-5, atol=1e-6)
    assert run(tmp_path / "none", changed(ema=0.0)) == whole[1]
    assert_same(weights(tmp_path / "none"), weights(whole[0], averaged=False))
    assert not list((tmp_path / "none").rglob("average*"))


class OfImages(nn.Module):
    """A network of no use, whose parameter has a gradient: its score is a factor times the images that it sees."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, x, sigma):
        if torch.is_grad_enabled() and self.training:
            self.seen.append(x)
        return self.factor * self.weight * x


def test_every_epoch_shows_each_image_once(folder):
    """Each image carries its own brightness; the batches are seen through the noise at a tiny σ."""
    brightness = torch.arange(20.0) / 20
    images = brightness.reshape(20, 1, 1, 1).expand(20, 1, 8, 8)
    settings = changed(steps=5, levels=1, sigma_min=1e-4)
    network = OfImages(1e-9)
    run(folder, settings, network, images)
    assert not (folder / "sheets").exists()  # since one level is no ladder to go down
    seen = torch.cat(network.seen).mean(dim=(1, 2, 3))
    numbers = (20 * seen).round().int().tolist()
    order = torch.randperm(20, generator=derived_generator(0, ORDER, 0)).tolist()
    assert numbers[:16] == order[:16]  # 20 images, batches of 8: two an epoch, four images left over
    assert numbers[16:32] != numbers[:16]


def test_flips_mirror_every_other_image(folder):
    images = torch.cat([torch.ones(20, 1, 8, 4), torch.zeros(20, 1, 8, 4)], dim=3)
    network = OfImages(1e-9)
    run(folder, changed(steps=40, levels=1, sigma_min=1e-4, flips=True, **RARELY), network, images)
    mirrored = torch.cat([x[:, 0, 0, 7] > x[:, 0, 0, 0] for x in network.seen]).double()
    assert float(mirrored.mean()) == pytest.approx(0.5, abs=2 / math.sqrt(len(mirrored)))  # 4 standard errors


def test_the_held_out_loss_is_that_of_images_that_are_not_trained_on(folder):
    """The score w x at σ = 1, w = 1 less one step, has the loss ½E‖w x̃ + z‖²: 128 on black images, 160 on white."""
    of_split = {"train": torch.zeros(40, 1, 8, 8), "test": torch.ones(64, 1, 8, 8)}
    settings = changed(steps=1, levels=1, sigma_min=1.0, held_out=64, ema=0.0)
    data = set_of(None)._replace(images=of_split.get)
    program.train(settings, folder, network=OfImages(1.0), images=data)
    (held_out,) = pandas.read_csv(folder / "log.csv")["held_out"]
    assert held_out == pytest.approx(160, abs=4 * math.sqrt(64 * 12 / 64))


def test_the_loss_is_the_papers(folder):
    """The zero score's loss is D/2 at every level: 32 for 8×8 images (the shift of the dequantised data cancels)."""
    each = run(folder, changed(steps=6, batch_size=256), OfImages(0.0), load_images("digits"))
    se = math.sqrt(32 / (6 * 256))  # of the mean of ½χ²_64: its variance is 32
    assert sum(each) / 6 == pytest.approx(32, abs=4 * se)


def test_the_rate_rises_and_falls_as_asked_and_a_long_gradient_is_cut(folder, tmp_path):
    plain = changed(steps=100, learning_rate=0.2)
    assert {plain.rate(step) for step in (1, 50, 100)} == {0.2}
    shaped = dataclasses.replace(plain, schedule="cosine", warm_up=10)
    assert shaped.rate(5) == pytest.approx(0.1 * (1 + math.cos(0.04 * math.pi)) / 2)
    assert shaped.rate(51) == pytest.approx(0.1)
    assert 0 < shaped.rate(100) < 0.001
    network = OfImages(-1.0)
    run(tmp_path / "risen", dataclasses.replace(shaped, steps=1), network)
    assert abs(network.weight.item() - 1) == pytest.approx(0.02, rel=1e-4)  # Adam's first step is as long as the rate
    network = OfImages(-1.0)
    run(folder, changed(steps=1, clip=1e-12), network)
    assert 0 < abs(network.weight.item() - 1) < 1e-3  # Adam's step for a gradient of 1e-12 beside its ε of 1e-8
    run(tmp_path / "falling", changed(steps=1, schedule="cosine"))
    with pytest.raises(ValueError, match="steps must be 1, as in the run, got 2"):  # else the rate would jump
        run(tmp_path / "falling", changed(steps=2, schedule="cosine"), resume=True)


def test_a_process_that_began_on_one_device_says_so_where_another_is_asked_for(monkeypatch):
    program.make_accelerator("cpu")  # Accelerate keeps it for the process
    monkeypatch.setattr(program, "find_device", lambda device: "cuda")
    with pytest.raises(ValueError, match=r"^device must be cpu, as in this process's first run, got cuda$"):
        program.make_accelerator("cuda")


def test_a_run_can_not_go_on_to_a_step_behind_it(folder):
    run(folder, changed(steps=2))
    with pytest.raises(ValueError, match="steps must be at least the 2 that the run has made, got 1"):
        run(folder, changed(steps=1), resume=True)


def test_a_run_can_start_from_a_trained_network_and_goes_on_without_its_file(folder, tmp_path):
    initial = tmp_path / "trained.safetensors"
    small = {"channels": 4, "levels": 1, "batch_size": 8, "held_out": 2, "threads": 1, "precision": "fp32"}
    small["device"] = "cpu"
    trained = new_network(Settings("digits", seed=1, **small), torch.rand(4, 1, 8, 8), 0)
    save_network(trained, initial)
    settings = Settings("digits", steps=1, learning_rate=1e-12, from_=str(initial), **small)
    program.train(settings, folder)
    torch.testing.assert_close(weights(folder), trained.state_dict(), rtol=0, atol=1e-10)
    initial.unlink()
    program.train(dataclasses.replace(settings, steps=2), folder, resume=True)
    assert last_step(folder) == 2


# --- parts, processes, precision -------------------------------------------------------------------------------------


def test_the_parts_of_a_batch_make_the_same_step_as_the_whole(tmp_path, monkeypatch):
    """A loss that draws nothing has the same value and gradient in parts."""

    def draws_nothing(score, x, sigmas, generator):
        return (score(x, 1.0) - x).square().flatten(1).mean(dim=1)

    monkeypatch.setattr(program, "ncsn_losses", draws_nothing)
    monkeypatch.setattr(program, "dequantised", lambda x, generator: x)
    whole = tmp_path / "whole"
    parts = tmp_path / "parts"
    loss = run(whole, changed(steps=1))
    assert run(parts, changed(steps=1, accumulation=4)) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(mean_gradients(parts), mean_gradients(whole), rtol=1e-3, atol=1e-6)


def test_two_processes_do_what_one_does_with_twice_the_accumulation(tmp_path):
    small = "--network DigitNetwork --levels 2 --batch-size 4 --held-out 4 --precision fp32 --save-every 3 --threads 1"
    arguments = ["train", "digits", *small.split(), "--device", "cpu", "--out"]
    one = tmp_path / "one"
    two = tmp_path / "two"
    sbgm_on_two_processes(*arguments, two, "--steps", 4, said=tmp_path / "said")
    assert (tmp_path / "said").read_text().count("All 4 steps are done.") == 1
    assert cli.main([*arguments, str(one), "--steps", "4", "--accumulation", "2"]) == 0
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mean_gradients(two), mean_gradients(one), rtol=1e-2, atol=1e-6)
    more = ("--steps", 900, "--resume", "--minutes", 0.0001)
    sbgm_on_two_processes(*arguments, two, *more, said=tmp_path / "said")
    assert last_step(two) == 5  # both stop after the same step


def test_bfloat16_trains_the_same_network_within_its_rounding(folder, whole):
    each = run(folder, changed(precision="bf16"))
    assert each == pytest.approx(whole[1], rel=0.05)
    assert each != whole[1]
    assert all(value.dtype == torch.float32 for value in weights(folder).values())


def test_float16_scales_its_loss_leaves_overflows_out_and_resumes_to_the_same_bits(folder, tmp_path, monkeypatch):
    """A scale of 2³⁰ overflows until it has been halved often enough; after two good steps it grows again."""
    scaler = functools.partial(torch.amp.GradScaler, init_scale=2.0**30, growth_interval=2)
    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    settings = changed(precision="fp16", steps=40, ema=0.0, measure_every=40, save_every=1, keep_every=1)
    each = run(folder, settings)
    scales = []
    for checkpoint in checkpoints(folder):
        content = torch.load(checkpoint / "state.pt")
        scales.append(content["scaler"]["scale"])
    assert scales[0] == 2.0**29
    n_left_out = next(i for i in range(1, 40) if scales[i] >= scales[i - 1])
    assert n_left_out >= 5
    start = small_network().state_dict()
    assert_same(weights(folder, n_left_out), start)
    following = weights(folder, n_left_out + 1)
    assert not torch.equal(following["end.bias"], start["end.bias"])
    assert sum(each[-5:]) < sum(each[:5])
    for number in (3, n_left_out + 1):
        stopped = tmp_path / f"stopped{number}"
        run(stopped, settings, in_training(number, stop))
        assert run(stopped, settings, resume=True) == each
        assert_same(weights(stopped), weights(folder))


def test_a_float16_gradient_that_no_scale_mends_ends_the_run(folder, monkeypatch):
    monkeypatch.setattr(torch.amp, "GradScaler", functools.partial(torch.amp.GradScaler, init_scale=4.0))
    network = small_network()
    network.end.bias.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(FloatingPointError, match="the sum of the gradient is nan at step 3"):
        run(folder, changed(precision="fp16"), network)


def test_a_run_records_what_the_machine_decided_and_resumes_with_it(folder, tmp_path, monkeypatch):
    settings = changed(precision="auto", threads=0, steps=1)
    before = torch.get_num_threads()
    monkeypatch.setattr(program, "fast_precision", lambda device: "bf16")
    monkeypatch.setattr(program, "idle_cores", lambda: 2)
    run(folder, settings)
    record = recorded(folder)
    assert (record["precision"], record["threads"], torch.get_num_threads()) == ("bf16", 2, before)
    monkeypatch.setattr(program, "fast_precision", lambda device: "fp32")
    monkeypatch.setattr(program, "idle_cores", lambda: 1)
    each = run(folder, dataclasses.replace(settings, steps=2), resume=True)
    assert each == run(tmp_path / "told", changed(precision="bf16", threads=2, steps=2))
    with pytest.raises(ValueError, match="precision must be 'bf16', as in the run, got 'fp32'"):
        run(folder, changed(precision="fp32", steps=3), resume=True)
    assert len(run(folder, changed(precision="bf16", threads=1, steps=3), resume=True)) == 3


def test_a_compiler_may_store_the_channels_last(monkeypatch):
    """As Inductor does with the gradients of float32 layers on a CPU."""
    network = torch.nn.Conv2d(2, 3, 3)
    monkeypatch.setattr(program, "compiled", lambda network: network.to(memory_format=torch.channels_last))
    program.compile_checked(network, lambda: sum(w.square().sum() for w in network.parameters()))


def test_a_compiler_that_breaks_a_gradient_is_noticed(folder, monkeypatch):
    """Half of each gradient of the compiled network is lost."""

    def compiled(network):
        for parameter in network.parameters():
            parameter.register_hook(lambda gradient: 0.5 * gradient)

    monkeypatch.setattr(program, "compiled", compiled)
    with pytest.raises(ArithmeticError, match=r"the gradient of the compiled network is off by 0\.5; train"):
        run(folder, changed(compile=True))


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "channels", "flips"), [("mnist", 64, False), ("cifar10", 128, True)])
def test_the_papers_settings_are_the_papers(data, channels, flips):
    ladder = {"sigma_max": 1.0, "sigma_min": 0.01, "levels": 10}
    training = {"steps": 200_000, "batch_size": 128, "learning_rate": 1e-3, "ema": 0.0, "precision": "fp32"}
    more = {"channels": channels, "flips": flips, "held_out": 1_000, "keep_every": 5_000}
    assert settings_of(data, "paper") == Settings(data, **ladder, **training, **more)


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [({"unconditional": True}, {"conditional": False}), ({"divide_by_sigma": True}, {"divide_by_sigma": True})],
)
def test_a_new_refinenet_is_the_one_asked_for(settings, arguments):
    plain, other = (new_network(changed(channels=4, **more), IMAGES, 0).arguments for more in ({}, settings))
    assert other == plain | arguments != plain


@pytest.mark.parametrize("words", ["--channels 8", "--unconditional", "--divide-by-sigma"])
def test_the_students_network_refuses_what_it_would_ignore(words, folder, capsys):
    words = ["train", "digits", "--network", "DigitNetwork", *words.split(), "--out", str(folder)]
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    assert f"{words[4]} must be left out with DigitNetwork, which has no such setting" in capsys.readouterr().err
    assert not folder.exists()


def test_every_setting_has_a_flag_that_sets_it_and_nothing_else(monkeypatch):
    values = {int: "8", float: "0.25", bool: "", type(None): "9"}
    special = {"schedule": "cosine", "precision": "bf16", "network": "DigitNetwork", "from_": "mnist_ncsn"}
    asked = []
    monkeypatch.setattr(program, "train", lambda settings, *_, **options: asked.append(settings) or 0)
    for field in dataclasses.fields(Settings)[1:]:
        words = [flag_of(field.name), special.get(field.name, values.get(type(field.default)))]
        asked.clear()
        assert cli.main(["train", "mnist", "--out", "x", *filter(None, words)]) == 0
        before = dataclasses.asdict(settings_of("mnist"))
        after = dataclasses.asdict(asked[0])
        differ = {name for name in before if before[name] != after[name]}
        assert differ == {field.name} | ({"channels"} if field.name == "network" else set())
    assert cli.main(["train", "cifar10", "--scale", "gpu", "--out", "x", "--no-compile", "--no-flips"]) == 0
    assert not asked[-1].compile
    assert not asked[-1].flips


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data": "no-such"}, "source must be a folder of pictures, and no-such is none"),
        ({"data": "photo_patches", "classes": True}, "classes must be left out"),
        ({"data": "tests"}, "source must hold at least 8 images"),
        ({"accumulation": 3}, "batch_size must be .* divide into 3 parts"),
        ({"batch_size": 9_999}, "batch_size must be at most the 1437 images"),
        ({"channels": 4, "from_": "no_such"}, "there is no safetensors file at .*no_such"),
        ({"channels": 4, "from_": "digits_mlp"}, "must have the shapes saved in digits_mlp"),
    ],
)
def test_nothing_is_written_before_all_settings_are_looked_at(folder, settings, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        program.train(changed(**settings), folder)
    assert not folder.exists()


# --- classes ---------------------------------------------------------------------------------------------------------


class Told(nn.Module):
    """Sees labels, and keeps them with the brightness of the images."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, x, sigma, label):
        if torch.is_grad_enabled() and self.training:
            self.seen.append(torch.stack([label, x.mean(dim=(1, 2, 3))]))
        return -self.scale * x / (1 + sigma**2).reshape(-1, 1, 1, 1)


def test_an_image_comes_with_its_label_and_one_label_in_ten_is_hidden(folder):
    classes = torch.arange(20) % 2
    images = classes.float().reshape(20, 1, 1, 1).expand(20, 1, 8, 8)
    data = set_of(images)._replace(labels=lambda split: classes, classes=("a", "b"))
    settings = changed(classes=True, steps=200, levels=1, sigma_min=1e-4, **RARELY)
    network = Told()
    program.train(settings, folder, network=network, images=data)
    labels, brightness = torch.cat(network.seen, dim=1)
    hidden = labels == 2
    assert torch.equal(labels[~hidden], brightness[~hidden].round())
    se = math.sqrt(0.09 / len(labels))
    assert float(hidden.double().mean()) == pytest.approx(0.1, abs=4 * se)
