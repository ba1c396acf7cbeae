"""The recorded curve: its entries, a run that is stopped and goes on, and a record that must match its weights."""

import itertools
import json
import math

import pandas
import pytest
import torch
from safetensors.torch import load_file

import curve
import ledger
from curve import BUDGETS, SamplerCurve, draw_entry, guided_entries, load_curve, renewing
from features import some_images
from samples import digit_distance
from sbgm import denoise, geometric_sigmas, paper_mixture
from sbgm.images import weights
from sbgm.images.networks import DigitNetwork
from sbgm.images.weights import load_network
from sbgm.measure import quantise
from sbgm.networks import guided
from sbgm.noise import derived_generator
from sbgm.samplers import final

DIGITS = some_images("mnist_small", "train", 500)
CURVES = sorted(path.stem for path in ledger.results_folder().glob(f"{curve.CURVE}*.json"))


# --- the entries ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [1, 8, 20, math.inf])
def test_renewing_takes_one_minus_r_to_the_one_plus_c(c):
    sampler = renewing(1.0, 0.01, 50, c)
    r = sampler.sigmas[1] / sampler.sigmas[0]
    assert sampler.evaluations == 50
    assert sampler.step_size / (2 * 0.01**2) == pytest.approx(1 - r ** (1 + c), rel=1e-4)
    eta = sampler.step_size / (2 * 0.01**2)
    assert 1 - r < eta < 1 + r  # else some level has no real amount of fresh noise


def test_samplers_of_a_network_that_knows_classes_differ_in_nothing_else():
    ladder = geometric_sigmas(5.0, 0.02, 30)
    found = guided_entries(ladder)
    assert {(e.start, e.clamped, e.sampler.denoise_last) for e in found} == {("mean", False, True)}
    assert {tuple(round(sigma, 4) for sigma in (e.sampler.sigmas[0], e.sampler.sigmas[-1])) for e in found} == {
        (5, 0.02)
    }
    assert [e.evaluations for e in found if e.label == "Algorithm 1"] == [31, 91, 301, 991]
    for label in {entry.label for entry in found} - {"Algorithm 1"}:
        costs = sorted(entry.evaluations for entry in found if entry.label == label)
        assert all(budget - 2 < cost <= budget for cost, budget in zip(costs, BUDGETS, strict=True)), label


def test_a_network_that_knows_classes_is_guided_to_each_in_turn(tmp_path):
    network = DigitNetwork([5.0, 0.02], width=4, n_blocks=1, generator=torch.Generator().manual_seed(0))
    entry = guided_entries(network.sigmas)[4]
    with torch.no_grad():
        drawn = draw_entry(entry, network, DIGITS, 12, batch_size=12, folder=tmp_path)
        generator = derived_generator(0, 0)
        x = DIGITS.mean(dim=0) + 5 * torch.randn(12, 1, 28, 28, generator=generator)
        score = guided(network, torch.tensor([*range(10), 0, 1]), 2.0)
        expected = final(entry.sampler.states(score, x, generator))
    assert torch.allclose(drawn, expected, atol=1e-5)


# --- the record -------------------------------------------------------------------------------------------------------


def test_every_entry_is_measured_and_the_best_once_more_and_the_record_written(mnist, results, monkeypatch, tmp_path):
    monkeypatch.setattr(curve, "BUDGETS", (5, 10))
    monkeypatch.setattr(curve, "N_CONFIRMED", 140)
    monkeypatch.setattr("sys.argv", ["evidence/curve.py", "mnist_own"])
    folder = tmp_path / "samples"
    said = str(curve.measure_curve(folder, "mnist_own", 130, batch_size=65))
    measured, wanted = load_curve("mnist_own"), guided_entries(load_network("mnist_own").sigmas)
    points = list(measured.points.itertuples())
    assert [(p.label, p.evaluations) for p in points] == [(e.label, e.evaluations) for e in wanted]

    def drawn(entry, seed):
        title = f"{entry.label} {entry.evaluations}".replace(",", "").replace(" ", "-")
        files = sorted((folder / "mnist_own").glob(f"{title}-*/seed{seed}-batch*"))
        return torch.cat([load_file(file)["samples"] for file in files])

    for point, entry in zip(points, wanted, strict=True):
        samples = drawn(entry, 0)
        assert point.distance == pytest.approx(digit_distance(samples).value)
        assert torch.equal(measured.sheets[f"{entry.label}, {entry.evaluations}"], quantise(samples[:16]))
    cheaper, confirmed = measured.cheaper(), list(measured.confirmed.itertuples())
    best = [wanted[i] for i in dict.fromkeys([cheaper["distance"].idxmin(), cheaper["sure"].idxmax()])]
    for point, entry in zip(confirmed, best, strict=True):
        assert (point.label, point.evaluations) == (entry.label, entry.evaluations)
        samples = drawn(entry, 1)
        assert (point.n_samples, point.distance) == (140, pytest.approx(digit_distance(samples).value))
        assert not torch.equal(samples[:65], drawn(entry, 0)[:65])
        assert 0 <= point.smallest_class <= 0.1 <= point.largest_class <= 1
    assert "the flow, Heun  " in said
    assert all(f"anew, 140 samples of {entry.label}, {entry.evaluations}: " in said for entry in best)
    assert {"n_samples": 130, "batch_size": 65, "seed": 0}.items() <= measured.facts.items()
    assert {f"weights of mnist_{name}" for name in ("own", "classifier", "judge")} <= measured.facts.keys()

    (tmp_path / "mnist_own.safetensors").write_bytes(b"another network")
    monkeypatch.setattr(weights, "weights_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"mnist_own\.safetensors is missing or not the file that was recorded"):
        load_curve("mnist_own")


@pytest.mark.parametrize("name", CURVES)
def test_a_committed_curve_has_every_point_and_its_sheet(name, committed):
    found = load_curve(name.removeprefix(curve.CURVE))
    assert sorted(f"{p.label}, {p.evaluations}" for p in found.points.itertuples()) == sorted(found.sheets)
    assert found.points.groupby("label")["evaluations"].is_monotonic_increasing.all()
    content = json.loads((committed / f"{name}.json").read_text(encoding="utf-8"))
    for table in ("points", "confirmed"):
        assert getattr(found, table).to_dict("records") == content[table]


def test_the_best_of_algorithm_1_and_of_a_tenth_of_its_cost():
    rows = [
        ("Algorithm 1", 100, 1.0),
        ("Algorithm 1", 1_000, 3.0),
        ("Algorithm 1, NCSNv2", 951, 2.0),
        ("heun, power", 99, 0.5),
        ("multistep, power", 20, 1.7),
        ("euler, power", 50, 1.5),
    ]
    points = pandas.DataFrame(rows, columns=["label", "evaluations", "distance"])
    found = SamplerCurve(points, {}, {}, pandas.DataFrame())
    assert tuple(found.algorithm_1()) == rows[2]
    assert found.cheaper().index.tolist() == [5, 4]  # Heun's 99 are more than a tenth of 951


# --- a sampler that no chapter has ------------------------------------------------------------------------------------

MIXTURE = paper_mixture()
STEEP = [20.0, 8.0, 4.0, 3.6]


def test_each_step_is_as_published():
    """Consistent: η = ε/(2σ_L²); η = 1 replaces all the noise."""
    x = 20 * torch.randn(50, 2, generator=derived_generator(7), dtype=torch.float64)
    options = {"step_size": 2 * 3.6**2, "generator": derived_generator(1), "denoise_last": True}
    states = curve.consistent_annealed(MIXTURE.score, x, STEEP, **options)
    generator = derived_generator(1)
    for level, (a, b) in enumerate(itertools.pairwise(STEEP), start=2):
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = x + a**2 * MIXTURE.score(x, a) + b * z
        state = next(states)
        torch.testing.assert_close(state.x, x)
        assert (state.level, state.step, state.sigma) == (level, 1, b)
    (last,) = states
    torch.testing.assert_close(last.x, denoise(MIXTURE.score, x, STEEP[-1]))
    assert (last.level, last.step) == (4, 2)
