"""Batched generation: what depends on what, what is kept, and files of samples."""

import functools
import math

import numpy as np
import pytest
import torch
from PIL import Image

from sbgm import (
    RefineNet,
    ancestral,
    annealed_langevin,
    final,
    generate,
    geometric_sigmas,
    langevin,
    save_network,
)
from sbgm import __main__ as command
from sbgm.files import load_tensors
from sbgm.images.drawing import fitted_start, gaussian_start, kept_folder, uniform_start
from sbgm.noise import derived_generator
from sbgm.samplers import State
from seeds import seeded

SIGMAS = (1.0, 0.1, 0.01)
STEPS = {"step_size": 2e-5, "n_steps": 3}


def score(x, sigma):
    return (0.5 - x) / (0.04 + sigma**2)


def sample(x, generator):
    return annealed_langevin(score, x, SIGMAS, generator=generator, **STEPS)


# --- batches ---------------------------------------------------------------------------------------------------------


def test_batch_b_is_the_sampler_run_from_the_generator_of_seed_and_b():
    samples = generate(sample, (10, 1, 4, 4), seed=3, batch_size=4)
    assert samples.shape == (10, 1, 4, 4)
    for b, size in ((0, 4), (1, 4), (2, 2)):
        generator = derived_generator(3, b)
        x = torch.rand(size, 1, 4, 4, generator=generator)
        expected = final(annealed_langevin(score, x, SIGMAS, step_size=2e-5, n_steps=3, generator=generator))
        assert torch.equal(samples[4 * b : 4 * b + 4], expected)


def test_batches_are_kept_and_a_stopped_run_goes_on_with_them(tmp_path):
    drawn = []

    def start(shape, generator):
        drawn.append(shape[0])
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return uniform_start(shape, generator)

    folder = kept_folder(tmp_path / "key", {"sampler": "a"})
    options = {"seed": 3, "batch_size": 4, "start": start, "folder": folder}
    with pytest.raises(KeyboardInterrupt):
        generate(sample, (6, 1, 4, 4), **options)
    assert torch.equal(generate(sample, (6, 1, 4, 4), **options), generate(sample, (6, 1, 4, 4), seed=3, batch_size=4))
    assert drawn == [4, 2, 2]
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["seed3-batch0000-0to4.safetensors", "seed3-batch0001-4to6.safetensors", "settings.json"]
    generate(sample, (12, 1, 4, 4), **options)  # from which a batch that is not whole is left out
    assert drawn[3:] == [4, 4]


def test_batches_of_other_settings_seeds_sizes_and_devices_are_not_taken_for_these(tmp_path, monkeypatch):
    """On a GPU generators draw other numbers. Here a device without numbers stands for it."""
    settings = {"sampler": "a", "sigmas": [1.0, math.inf], "step_size": 0.1}
    folders = [kept_folder(tmp_path / "key", settings | change) for change in ({}, {"sampler": "b"}, {"more": None})]
    assert len(set(folders)) == 3
    assert kept_folder(tmp_path / "key", settings) == folders[0]
    monkeypatch.setattr("sbgm.images.drawing.derived_generator", lambda *numbers, device: derived_generator(*numbers))
    monkeypatch.setattr("sbgm.images.drawing.save_tensors", lambda file, tensors: file.touch())
    monkeypatch.setattr("sbgm.images.drawing.load_tensors", lambda file: ({"samples": torch.zeros(1)}, {}))
    calls = []

    def counted(x, generator):
        calls.append(len(x))
        return [State(x, 1, 0.0)]

    same = {"seed": 0, "batch_size": 5, "folder": folders[0], "device": "cpu"}
    for change in ({}, {"seed": 1}, {"batch_size": 10}, {"device": "meta"}, {"folder": folders[1]}):
        calls.clear()
        for _ in range(2):
            generate(counted, (12, 1, 4, 4), **same | change)
        assert len(calls) == math.ceil(12 / (same | change)["batch_size"]), change


def test_a_folder_whose_settings_were_changed_or_are_not_told_is_refused(tmp_path):
    file = kept_folder(tmp_path / "key", {"step_size": 0.1}) / "settings.json"
    file.write_text(file.read_text().replace("0.1", "0.2"))
    with pytest.raises(ValueError, match=r"settings must be those in .*settings\.json, which tells of other batches"):
        kept_folder(tmp_path / "key", {"step_size": 0.1})
    with pytest.raises(ValueError, match="folder must be one that kept_folder has made"):
        generate(sample, (2, 1, 4, 4), seed=0, folder=tmp_path)


def test_what_is_kept_of_chains_may_be_more_than_their_ends(tmp_path):
    def every_state(x, generator):
        return torch.stack([state.x for state in sample(x, generator)], dim=1)

    samples, kept = (generate(sampler, (5, 1, 4, 4), seed=3, batch_size=2) for sampler in (sample, every_state))
    assert kept.shape == (5, 9, 1, 4, 4)
    assert torch.equal(kept[:, -1], samples)


def test_a_gaussian_start_is_the_mean_and_noise():
    mean = torch.tensor([1.0, -2.0])
    z = torch.randn(5, 2, generator=derived_generator(0))
    assert torch.equal(gaussian_start(3.0, mean)((5, 2), derived_generator(0)), mean + 3 * z)


def test_a_fitted_start_has_the_mean_and_covariance_of_perturbed_data():
    """20,000 starts, 5 standard errors; without the fit, the first coordinate would have variance 1 and not 2."""
    mixing = torch.tensor([[1.0, 0.0], [0.8, 0.3]])
    images = torch.randn(5, 1, 2, generator=derived_generator(1)) @ mixing.T + torch.tensor([2.0, -1.0])
    x = fitted_start(images, 1.0)((20_000, 1, 2), derived_generator(2))
    wanted = images.flatten(1).T.cov() + torch.eye(2)
    variances = wanted.diag()
    se = ((variances[:, None] * variances + wanted**2) / 20_000).sqrt()
    assert float(((x.flatten(1).T.cov() - wanted) / se).abs().max()) < 5
    shift = (x.mean(dim=0) - images.mean(dim=0)).flatten() / variances.sqrt() * math.sqrt(20_000)
    assert float(shift.abs().max()) < 5


# --- files -----------------------------------------------------------------------------------------------------------


def small_network(conditional=True):
    network = RefineNet(SIGMAS, 8, 1, conditional=conditional, divide_by_sigma=not conditional, generator=seeded(0))
    network.image_shape = (1, 8, 8)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_network(small_network(), path)
    return path


def run(*arguments):
    return command.main([str(a) for a in arguments] + ["--device", "cpu"])


def test_sample_writes_what_generate_gives_and_a_sheet(weights, tmp_path, capsys):
    out = tmp_path / "made" / "here"
    how = ["-n", 5, "--batch-size", 2, "--n-steps", 3, "--seed", 7, "--precision", "fp32"]
    assert run("sample", weights, "--out", out, *how) == 0
    assert capsys.readouterr().out.startswith("9 evaluations of the score for each image, in ")
    loaded, facts = load_tensors(out / "samples.safetensors")
    network = small_network()
    sigmas = network.ladder
    steps = {"step_size": 0.2 * sigmas[-1] ** 2, "n_steps": 3}
    sampler = functools.partial(annealed_langevin, network, sigmas=sigmas, **steps)
    samples = generate(lambda x, g: sampler(x, generator=g), (5, 1, 8, 8), seed=7, batch_size=2)
    assert torch.equal(loaded["samples"], samples)
    wanted = {"sampler": "annealed", "evaluations": 9, "seed": 7, "n_steps": 3, "step_size": pytest.approx(2e-5)}
    assert facts | wanted == facts
    pixels = np.array(Image.open(out / "sheet.png").convert("L"))
    first = (samples[0, 0].clamp(0, 1) * 255).round().byte().numpy()
    assert pixels.shape == (16 * 10, 16 * 46)  # a row of five images of 8 × 8, with a border of one
    assert np.array_equal(pixels[16:144, 16:144], np.kron(first, np.ones((16, 16))))
    assert sorted(p.name for p in out.iterdir()) == ["samples.safetensors", "sheet.png"]


def test_nothing_is_overwritten_unasked(weights, tmp_path, capsys):
    arguments = ["sample", weights, "--out", tmp_path, "-n", 1, "--n-steps", 1]
    assert run(*arguments) == 0
    before = (tmp_path / "samples.safetensors").read_bytes()
    capsys.readouterr()
    assert run(*arguments, "--seed", 1) == 1
    held = "samples.safetensors and sheet.png"
    assert capsys.readouterr().err == f"sbgm: {tmp_path} holds {held}; to replace them, add --overwrite\n"
    assert (tmp_path / "samples.safetensors").read_bytes() == before
    assert run(*arguments, "--seed", 1, "--overwrite") == 0
    assert (tmp_path / "samples.safetensors").read_bytes() != before


def test_no_batch_of_a_stopped_run_goes(weights, tmp_path):
    stopped = tmp_path / ".batches-0123456789abcdef"
    stopped.mkdir()
    assert run("sample", weights, "--out", tmp_path, "--n-steps", 1, "-n", 2) == 0
    assert [path.name for path in tmp_path.glob(".batches*")] == [stopped.name]


@pytest.mark.parametrize(
    ("options", "evaluations"),
    [
        (["--sampler", "ancestral", "--levels", 5], 4),
        (["--sampler", "ancestral", "--denoise"], 3),
        (["--n-steps", 2, "--step-size", 1.5e-5, "--precision", "bf16"], 6),
    ],
)
def test_other_samplers_ladders_and_precisions(weights, tmp_path, capsys, options, evaluations):
    assert run("sample", weights, "--out", tmp_path, "-n", 2, *options) == 0
    assert capsys.readouterr().out.startswith(f"{evaluations} evaluations of the score")
    loaded, facts = load_tensors(tmp_path / "samples.safetensors")
    assert bool(torch.isfinite(loaded["samples"]).all())
    if "--levels" in options:
        assert facts["sigmas"] == pytest.approx(geometric_sigmas(1.0, 0.01, 5).tolist())


def test_a_network_without_levels_takes_any_ladder(tmp_path):
    save_network(small_network(conditional=False), tmp_path / "v2.safetensors")
    options = ["--sampler", "ancestral", "--levels", 7, "--precision", "fp32"]
    assert run("sample", tmp_path / "v2.safetensors", "--out", tmp_path / "a", "-n", 1, *options) == 0
    network = small_network(conditional=False)
    ladder = geometric_sigmas(1.0, 0.01, 7)
    generator = derived_generator(0, 0)
    x = gaussian_start(1.0)((1, 1, 8, 8), generator)
    expected = final(ancestral(network, x, ladder, generator=generator))
    torch.testing.assert_close(load_tensors(tmp_path / "a" / "samples.safetensors")[0]["samples"], expected)


@pytest.mark.parametrize("shape", [(1, 2), (7, 2), (5, 3), (2,)])
def test_as_many_samples_come_out_as_were_asked_for_or_none(shape):
    def sampler(x, generator):
        return langevin(lambda x, sigma: -x, x, step_size=0.1, n_steps=1, generator=generator)

    with pytest.raises(ValueError, match=r"start must give chains of shape \(5, 2\), got"):
        generate(sampler, (5, 2), seed=0, start=lambda *_: torch.zeros(shape))
    with pytest.raises(ValueError, match=r"sampler must give chains of shape \(5, 2\), got"):
        generate(lambda x, generator: [State(torch.zeros(shape), 1, 0.0)], (5, 2), seed=0)
