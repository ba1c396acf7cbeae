"""Every recorded claim is entered in one way: as its numbers bear, or, where they disappoint, if one accepts that."""

import dataclasses
import inspect

import pytest
import torch

import claims
import recorded
from claims import NotReproducedError, expected
from drawing import Drawn
from I3 import Faces
from I5 import N_SHEET
from N4 import NetworkRow
from sbgm.measure import Estimate, Measured, quantise, records
from sbgm.measure.judging import FeatureSpace, Reference
from sbgm.measure.records import Cell, StepMap, results_folder
from sbgm.training import Step

COMMITTED = claims.load_records(results_folder())
IMAGES = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
CHAINS = torch.stack([IMAGES, IMAGES])
CELL = Cell(100, 2e-5, 1.0, 0.1, 1.1, 1.1, 0.1)
SPACE = FeatureSpace(lambda x: x.flatten(1), "pixels", "pixels")
DISTANCE = Measured("distance", 1.0, 0.1, 20, 20, "images", "pixels")


def the_map(*_):
    return StepMap((CELL,), torch.zeros(1, N_SHEET, 1, 4, 4, dtype=torch.uint8))


class Inception:
    name, has_logits = "none", False

    def __init__(self, *_, **__):
        pass


class ColourSamples(Inception):
    reference = Reference(IMAGES.flatten(1), "images")

    def draw(self, weights, n):
        return quantise(IMAGES), IMAGES.flatten(1)

    def distances(self, features):
        return DISTANCE, DISTANCE

    def facts(self):
        return {}


# what takes time or a data set, by the name under which a claim's module calls it
STAND_INS = {
    "draw": lambda *_, **__: Drawn(CHAINS, CHAINS),
    "draw_faces": lambda *_, **__: Faces(IMAGES, IMAGES, IMAGES[None], IMAGES),
    "load_images": lambda *_: IMAGES,
    "load_labels": lambda *_: torch.zeros(20, dtype=torch.long),
    "some_images": lambda *_: IMAGES,
    "feature_space": lambda *_: SPACE,
    "reference_for": lambda *_: Reference(IMAGES.flatten(1), "images"),
    "load_record": lambda claim_id: dataclasses.replace(COMMITTED[claim_id], facts={"n_samples": 20}),
    "check_weights": lambda record: record,
    "digit_distance": lambda *_: DISTANCE,
    "require_enough_digits": lambda **_: None,
    "kid": lambda *_, **__: DISTANCE,
    "controls": lambda *_, **__: {"Gaussian": IMAGES},
    "Inception": Inception,
    "ColourSamples": ColourSamples,
    "noise_on_constant_pixels": lambda *_: Estimate(1.0, 0.1),
    "digits_map": the_map,
    "measure_map": the_map,
    "draw_fills": lambda *_: (torch.zeros(3, 20, 6, 1, 4, 4), torch.zeros(3, 20, 6, 1, 4, 4)),
    "measure_fills": lambda *_, **__: {"changed": torch.zeros(3, 20, 6)},
    "train_figure1": lambda *_, **__: iter([Step(1, -1.0)]),
    "_train_and_measure": lambda *_: [NetworkRow(8, 1, "layer", 1, 1, 1.0, 1.0, 1.0)],
}
HOLDS, FAILS, UNSURE = (expected(name, x, high=2, se=0.1) for name, x in (("a", 1), ("too large", 3), ("near", 1.9)))


@pytest.fixture(params=recorded.MEASURES)
def measure(request, monkeypatch, tmp_path):
    """Measure a claim, without its work, with measurements of our own; the claim's id is in `measure.claim_id`."""
    claim_id = request.param
    function = recorded.MEASURES[claim_id]
    home = inspect.getmodule(getattr(function, "func", function))
    for name in STAND_INS.keys() & vars(home).keys():
        monkeypatch.setattr(home, name, STAND_INS[name])
    monkeypatch.setattr(records, "results_folder", lambda: tmp_path / "results")
    options = {"weights": "cifar10_ncsn"} if claim_id == "I3" else {}  # no network on CelebA ships

    def evaluate(*measurements, **accept):
        name = "kid_measurements" if claim_id == "I2" else f"{claim_id.lower()}_measurements"
        monkeypatch.setattr(home, name, lambda *_, **__: list(measurements))
        return recorded.evaluate(claim_id, tmp_path / "runs", **accept, **options)

    evaluate.claim_id = claim_id
    return evaluate


@pytest.mark.parametrize(("found", "word"), [(FAILS, "not reproduced"), (UNSURE, "inconclusive")])
def test_a_failure_is_entered_only_if_one_accepts_it(measure, tmp_path, found, word):
    with pytest.raises(NotReproducedError, match=f"{measure.claim_id} {word} and was not recorded; --accept"):
        measure(HOLDS, found)
    assert not (tmp_path / "results").exists()
    record = measure(HOLDS, found, accept=True)
    assert repr(record) == f"{measure.claim_id} {word}"
    assert claims.load_record(measure.claim_id) == record
    assert claims.attached_file(record).parent == tmp_path / "results"


@pytest.mark.parametrize("accept", [True, False])
def test_a_record_has_the_form_of_the_committed_one(measure, accept):
    record, committed = measure(HOLDS, accept=accept), COMMITTED[measure.claim_id]
    words = {"I3": "reported", "I10": "reported", "I9": "reproduced"}
    assert record.status == words.get(measure.claim_id, "reproduced in part")
    assert claims.load_record(measure.claim_id) == record
    if committed.facts:  # I3 and I9 wait
        assert list(record.facts) == [name for name in committed.facts if name != "network of faces"]  # an option
        assert record.facts["file"] == committed.facts["file"]
        assert record.facts["command"].split()[:6] == committed.facts["command"].split()[:6]


def test_the_committed_records_can_be_read_with_their_files():
    for claim_id in recorded.MEASURES:
        record = COMMITTED[claim_id]
        granted = record.status if record.status in claims.GRANTED else None
        assert claims.word(record.measurements, narrower=record.narrower, granted=granted) == record.status
        if record.facts:
            assert claims.attached_file(record).is_file()
