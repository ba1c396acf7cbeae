"""What stands in for the paper's data and networks in tests of the evidence, and where their records go."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

import command_line
import ledger
from sbgm import DigitNetwork, RefineNet
from sbgm.images import data, weights
from sbgm.images.weights import save_network
from sbgm.measure import inception, shown
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER
from sbgm.networks import drawn_from
from seeds import seeded

CLAIMS = ledger.claims_folder()
RESULTS = ledger.results_folder()
SHIPPED = weights.weights_folder()


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    """An empty folder of committed records, and one of what ships of them: no test writes beside claims."""
    monkeypatch.setattr(ledger, "claims_folder", lambda: tmp_path / "evidence" / "claims")
    monkeypatch.setattr(ledger, "results_folder", lambda: tmp_path / "results")
    for module in (ledger, command_line):
        monkeypatch.setattr(module, "declaration", lambda claim_id: "the commit of the bounds")
    return tmp_path / "evidence" / "claims"


@pytest.fixture
def shipped(results):
    """The empty folder in place of data/results."""
    return ledger.results_folder()


@pytest.fixture
def committed(results, monkeypatch):
    """The committed records are read, and what ships of them, from the folder that is returned."""
    monkeypatch.setattr(ledger, "claims_folder", lambda: CLAIMS)
    monkeypatch.setattr(ledger, "results_folder", lambda: RESULTS)
    return RESULTS


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """A folder of the shipped classifiers, and of untrained networks under the names of those that ship."""
    folder = tmp_path_factory.mktemp("weights")
    for name in (SHIPPED_CLASSIFIER, JUDGE, "digits_mlp"):
        (folder / f"{name}.safetensors").write_bytes((SHIPPED / f"{name}.safetensors").read_bytes())
    with drawn_from(seeded()):
        for name, sigmas, shape in (
            ("mnist_ncsn", [1.0, 0.1], (1, 28, 28)),
            ("mnist_one_level", [0.01], (1, 28, 28)),
            ("cifar10_ncsn", [1.0, 0.1], (3, 8, 8)),
        ):
            network = RefineNet(sigmas, channels=4, image_channels=shape[0], conditional=len(sigmas) > 1)
            save_network(network, folder / f"{name}.safetensors", image_shape=list(shape))
        save_network(DigitNetwork([1.0, 0.01], width=4, n_blocks=1), folder / "mnist_own.safetensors")
    return folder


@pytest.fixture
def mnist(monkeypatch, networks):
    """400 digits of each split in place of MNIST, and the folder of `networks`."""
    small = data.SETS["mnist_small"]
    few = {
        "images": lambda split: small.images(split)[:400],
        "labels": lambda split: small.labels(split)[:400],
    }
    monkeypatch.setitem(data.SETS, "mnist", small._replace(title="MNIST", **few))
    monkeypatch.setenv("SBGM_DATA", str(networks / "data"))  # where features are kept from test to test
    monkeypatch.setattr(weights, "weights_folder", lambda: networks)
    return networks


class SmallInception:
    """In place of Inception: means of 2×2 pixels for features, and logits that are linear in them."""

    name, has_logits = "means", True

    def __init__(self, weights=None, device="cpu"):
        self.weight = torch.randn(48, 10, generator=seeded())

    def features(self, images):
        return avg_pool2d(shown(images), 2).flatten(1)

    def logits(self, features):
        return features @ self.weight


@pytest.fixture
def colour(monkeypatch, tmp_path):
    """400 images of 8×8 pixels for each split of CIFAR-10; returns what stands in for Inception."""
    images = {
        split: torch.rand(400, 3, 8, 8, generator=seeded(seed)) ** 2 for seed, split in enumerate(("train", "test"))
    }
    monkeypatch.setitem(data.SETS, "cifar10", data.DataSet("CIFAR-10", (3, 8, 8), images=images.__getitem__))
    monkeypatch.setattr(inception, "N_FEATURES", 48)
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "data"))
    return SmallInception
