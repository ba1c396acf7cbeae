"""The recorded curves of samplers, and the maps over T and ε: whole, and as their files hold them."""

import json

import pytest
import torch
from safetensors.torch import load_file

import records
from records import CURVE, load_curve, load_step_map, results_folder

CURVES = sorted(path.stem for path in results_folder().glob(f"{CURVE}*.json"))


@pytest.fixture(autouse=True)
def of_the_project(monkeypatch, results, committed):
    """Records are read from where they are committed; nothing is written."""
    monkeypatch.setattr(records, "results_folder", lambda: committed)


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_has_every_point_and_its_sheet(name, committed):
    curve = load_curve(name.removeprefix(CURVE))
    assert sorted(f"{p.label}, {p.evaluations}" for p in curve.points.itertuples()) == sorted(curve.sheets)
    assert curve.points.groupby("label")["evaluations"].is_monotonic_increasing.all()
    content = json.loads((committed / f"{name}.json").read_text(encoding="utf-8"))
    for table in ("points", "confirmed"):
        assert getattr(curve, table).to_dict("records") == content[table]


@pytest.mark.parametrize("images", ["digits", "mnist"])
def test_a_map_has_every_cell_and_its_sheet(images, committed):
    loaded = load_step_map(images)
    tensors = load_file(committed / "I5.safetensors")
    assert torch.equal(loaded.sheets, tensors[f"{images}_sheets"])
    assert len(loaded.sheets) == len(loaded.cells)
    for row in tensors[images]:
        n_steps, step_size, *numbers = row.tolist()
        assert loaded.cells.loc[n_steps, step_size].tolist() == numbers
    assert torch.equal(loaded.tensors(images)[images], tensors[images])
