"""The recorded runs of chapter 11: what a run's folder tells, as tensors."""

import pandas
import torch

import full_experiment
from sbgm.files import load_tensors, write_json
from sbgm.plots import save_sheet
from seeds import seeded


def test_a_run_is_recorded_beside_those_that_are_there(tmp_path, results):
    results.mkdir()
    sheets = torch.randint(256, (2, 8, 1, 8, 8), generator=seeded(), dtype=torch.uint8)
    for name, side in (("first", 8), ("second", 5)):
        run = tmp_path / name
        (run / "sheets").mkdir(parents=True)
        write_json(run / "settings.json", {"channels": side})
        rows = [{"step": 1, "loss": 9.0, "seconds": 1.0, "held_out": 8.0}, {"step": 2, "loss": 8.0, "seconds": 2.0}]
        rows.append({"step": 50, "loss": 5.0, "seconds": 61.0, "held_out": 4.0})
        pandas.DataFrame(rows).to_csv(run / "log.csv", index=False)
        for step, sheet in zip((1, 50), sheets, strict=True):
            save_sheet(run / "sheets" / f"step-{step:07d}.png", sheet[..., :side, :side] / 255)
        full_experiment.main([f"{name}={run}"])
    tensors, facts = load_tensors(results / full_experiment.FILE)
    assert tensors["first_steps"].tolist() == [1, 50]
    assert tensors["first_held_out"].tolist() == [8.0, 4.0]
    assert torch.equal(tensors["first_sheets"], sheets[:, :, 0])
    assert torch.equal(tensors["second_sheets"], sheets[:, :, 0, :5, :5])
    assert facts == {"first": {"channels": 8, "seconds": 61}, "second": {"channels": 5, "seconds": 61}}
