"""Which image network the chapters go on with: the student's where it lies, else the one that ships."""

import pytest
import torch

import sbgm
import sbgm_course as checks
from seeds import seeded

LADDER = sbgm.geometric_sigmas(5.0, 0.02, 3)
SHIPS = "the network that ships: 3,000 training steps (your own is taken once chapter 8 has kept it in this folder)\n"


def keep(folder, network=None, **facts):
    """A network of one's own in a folder; return it."""
    network = network or sbgm.DigitNetwork(LADDER, generator=seeded())
    sbgm.save_network(network, folder / "own_network.safetensors", **facts)
    return network


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The folder in which a student works."""
    monkeypatch.delenv("SBGM_FRESH", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_file_the_network_that_ships_is_taken(work, capsys):
    shipped = sbgm.load_network("own_network")
    torch.testing.assert_close(checks.own_network().state_dict(), shipped.state_dict(), rtol=0, atol=0)
    assert capsys.readouterr().out == SHIPS


def test_the_students_own_is_taken_where_it_lies_with_its_steps(work, capsys):
    own = keep(work, n_steps=1_200)
    x = torch.rand(2, 1, 28, 28, generator=seeded())
    network = checks.own_network()
    torch.testing.assert_close(network(x, 1.0, 3), own(x, 1.0, 3))
    assert not any(p.requires_grad for p in network.parameters())
    assert capsys.readouterr().out.startswith("your network, own_network.safetensors: 1,200 training steps (")


def test_a_readers_network_is_not_looked_at_where_a_fresh_folder_is_asked_for(work, tmp_path, monkeypatch, capsys):
    keep(work, n_steps=1_200)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    monkeypatch.setenv("SBGM_FRESH", str(fresh))
    checks.own_network()
    assert capsys.readouterr().out == SHIPS
    keep(fresh, n_steps=7)
    checks.own_network()
    assert "7 training steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("network", "facts"),
    [
        (None, {}),
        (None, {"n_steps": 0}),
        (sbgm.DigitNetwork(LADDER, n_classes=3, generator=seeded()), {"n_steps": 9}),
        (sbgm.DigitNetwork(LADDER, image_shape=(1, 8, 8), generator=seeded()), {"n_steps": 9}),
        (sbgm.ImageMLP([1.0, 0.1], width=8, generator=seeded()), {"n_steps": 9}),
    ],
    ids=["untold", "untrained", "three classes", "small images", "another network"],
)
def test_what_chapter_6_did_not_train_is_refused(work, network, facts):
    keep(work, network, **facts)
    with pytest.raises(
        ValueError, match=r"own_network.safetensors must hold a network that chapter 8 has trained: move"
    ):
        checks.own_network()


def test_a_damaged_file_is_refused(work):
    (work / "own_network.safetensors").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"own_network.safetensors"):
        checks.own_network()
