"""The digit classifier: its shape, its training, the images that are no digits, and the one that ships."""

import functools

import pytest
import torch

from features import confident_share
from recipes import ClassifierTraining, accuracy, not_digits, train_classifier
from sbgm.files import read_facts
from sbgm.images.data import load_images, load_labels
from sbgm.measure import in_batches
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, DigitClassifier, load_classifier
from sbgm.training import n_parameters
from seeds import seeded
from ship_weights import ship

SHIPPED = pytest.mark.parametrize("name", [SHIPPED_CLASSIFIER, JUDGE])


def test_logits_are_a_linear_function_of_the_features():
    network = DigitClassifier(8, generator=seeded()).eval()
    x = torch.rand(3, 1, 28, 28, generator=seeded(1))
    features = network.features(x)
    assert features.shape == (3, 32)
    assert torch.equal(network(x), features @ network.logits.weight.T + network.logits.bias)
    assert n_parameters(DigitClassifier()) == 94_186


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (2, 3, 28, 28), (2, 784)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"x must be grey images \(B, 1, 28, 28\), got shape"):
        DigitClassifier(4)(torch.zeros(shape))


def test_training_learns_in_place_and_ends_in_evaluation_mode():
    images, labels = load_images("mnist_small"), load_labels("mnist_small")
    network = DigitClassifier(8, generator=seeded())
    settings = ClassifierTraining(channels=8, n_steps=60, batch_size=64, n_not_digits=9, learning_rate=1e-2)
    losses = [step.loss for step in train_classifier(network, images, labels, settings)]
    assert losses[0] > 2.2
    assert sum(losses[-10:]) / 10 < 1.8
    assert not network.training
    held_out = load_images("mnist_small", "test")[:1_000], load_labels("mnist_small", "test")[:1_000]
    assert accuracy(network, *held_out) > 0.35


# --- the one that ships ----------------------------------------------------------------------------------------------


SEEN = slice(2_500)  # half of the half of MNIST's test images that ships


@functools.cache
def logits_of(name):
    return in_batches(load_classifier(name), load_images("mnist_small", "test")[SEEN])


def is_right(name):
    """Which of these images a classifier names."""
    return logits_of(name).argmax(dim=1) == load_labels("mnist_small", "test")[SEEN]


@SHIPPED
def test_a_shipped_classifier_is_right_99_times_in_100(name):
    """99 % within 2 s.e. of a share."""
    network = load_classifier(name)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert float(is_right(name).float().mean()) > 0.99 - 2 * (0.99 * 0.01 / 2_500) ** 0.5
    assert confident_share(logits_of(name)).value > 0.94


@SHIPPED
def test_a_shipped_classifier_is_sure_of_nothing_that_is_no_digit(name):
    digits = load_images("mnist_small", "test")[:300]
    others = torch.cat([not_digits(digits, generator=seeded()), torch.rand(100, 1, 28, 28, generator=seeded(1))])
    assert confident_share(in_batches(load_classifier(name), others)).value < 0.01
    assert confident_share(load_classifier(name)(torch.zeros(1, 1, 28, 28))).value == 0


def test_the_two_err_on_different_digits():
    """Trained apart: of the digits that one gets wrong, the other gets most right."""
    wrong = [~is_right(name) for name in (SHIPPED_CLASSIFIER, JUDGE)]
    assert int((wrong[0] & wrong[1]).sum()) < 0.75 * min(int(w.sum()) for w in wrong)


def test_a_file_that_holds_no_classifier_is_refused():
    with pytest.raises(
        ValueError, match=r"^path must hold a network .*digits_mlp\.\w* does not: it holds no classifier"
    ):
        load_classifier("digits_mlp")


@pytest.mark.mnist
@SHIPPED
def test_a_trial_of_the_shipped_training_saves_its_facts(tmp_path, name):
    path = ship(name, tmp_path / "made", n_steps=2, batch_size=8, n_not_digits=3)
    assert read_facts(path)["n_iterations"] == 2
    assert load_classifier(path)(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
