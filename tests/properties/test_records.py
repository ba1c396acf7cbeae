"""Every record that ships reads as its files hold it, and its curve and maps keep every point and cell."""

import json

import pytest
import torch
from safetensors.torch import load_file

from sbgm.measure import load_curve, load_record, load_step_map
from sbgm.measure.records import results_folder

FILES = {path.stem: json.loads(path.read_text("utf-8")) for path in results_folder().glob("*.json")}
RECORDS = sorted(name for name, content in FILES.items() if "facts" in content)
CURVES = sorted(name for name in RECORDS if name.startswith("sampler_curve_"))


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_holds_what_its_files_hold(name):
    record, written = load_record(name), FILES[name]
    assert (record.id, record.facts, record.content) == (name, written["facts"], written)
    measured = [(m["label"], (m["value"], m.get("se", 0.0))) for m in written.get("measurements", [])]
    assert [(label, tuple(estimate)) for label, estimate in record.numbers.items()] == measured
    file = record.facts.get("file", "")
    tensors = load_file(results_folder() / file) if file.endswith(".safetensors") else {}
    assert record.tensors.keys() == tensors.keys()
    assert all(torch.equal(record.tensors[key], tensor) for key, tensor in tensors.items())


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_has_every_point_and_its_sheet(name):
    curve = load_curve(name.removeprefix("sampler_curve_"))
    assert sorted(p.name for label in curve.labels() for p in curve.curve(label)) == sorted(curve.sheets)
    assert [p.distance for p in curve.points] == [p["distance"] for p in FILES[name]["points"]]


@pytest.mark.parametrize("images", ["digits", "mnist"])
def test_a_map_has_every_cell_and_its_sheet(images):
    loaded, tensors = load_step_map(images), load_file(results_folder() / FILES["I5"]["facts"]["file"])
    for row, sheet in zip(tensors[images], tensors[f"{images}_sheets"], strict=True):
        cell = loaded.at(int(row[0]), float(row[1]))
        assert cell.distance == float(row[2])
        assert torch.equal(loaded.sheet(*cell.place), sheet.float() / 255)
