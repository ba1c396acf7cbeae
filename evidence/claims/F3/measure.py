"""F3: samples of five perceptrons on the 8×8 digits, beside held-out digits and images that are no digits."""

from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from controls import joined_halves, turned
from errors import of_networks, ratio
from ledger import Record, declared, record, reported, seed
from recipes import perceptrons
from sbgm import derived_generator
from sbgm.images.data import load_images, load_labels
from sbgm.images.drawing import uniform_start
from sbgm.measure import Estimate, estimate, frechet_distance, quantise, shown
from sbgm.noise import perturb
from sbgm.samplers import annealed_langevin, final

OPTIONS = {"folder": "perceptrons"}
N_SAMPLES = 360  # as many as there are held-out digits
N_STEPS = (100, 10)
SIGMA_L = 0.01


def measure(folder: Path) -> Record:
    """Measure F3: the distance of samples to training digits and a classifier's confidence, over held-out digits'."""
    training = load_images("digits")
    classifier = LogisticRegression(max_iter=1_000).fit(training.flatten(1).numpy(), load_labels("digits").numpy())
    reference = training.flatten(1)

    def distance(images: Tensor) -> Estimate:
        return frechet_distance(shown(images).flatten(1), reference)

    def confidence(images: Tensor) -> Estimate:
        probabilities = classifier.predict_proba(shown(images).flatten(1).numpy())
        return estimate(torch.from_numpy(probabilities.max(axis=1)))

    held_out = load_images("digits", "test")
    labels = load_labels("digits", "test")
    generator = derived_generator(seed("F3"))
    real = perturb(held_out, SIGMA_L, generator=generator)
    far = distance(real)
    sure = confidence(real)
    numbers = []
    sheets = {}
    for n_steps in N_STEPS:
        drawn = []
        for network in perceptrons(folder):
            x = uniform_start((N_SAMPLES, *network.image_shape), generator)
            states = annealed_langevin(network, x, network.sigmas, step_size=2e-5, n_steps=n_steps, generator=generator)
            drawn.append(final(states))
        far_samples = of_networks(torch.tensor([distance(x).value for x in drawn]))
        sure_samples = of_networks(torch.tensor([confidence(x).value for x in drawn]))
        distances = ratio(far_samples, far)
        confidences = ratio(sure_samples, sure)
        if n_steps == 100:
            numbers.append(declared("F3", "distance over that of held-out digits, five networks", distances))
            numbers.append(declared("F3", "confidence over that on held-out digits, five networks", confidences))
        else:
            numbers.append(reported(f"distance over that of held-out digits, T = {n_steps}", distances))
            numbers.append(reported(f"confidence over that on held-out digits, T = {n_steps}", confidences))
        sheets[f"samples, T = {n_steps}"] = quantise(torch.stack([x[:16] for x in drawn]).flatten(0, 1))
    wrong = {"turned digits": turned(held_out), "joined halves": joined_halves(held_out, labels)}
    for name, images in wrong.items():
        noisy = perturb(images, SIGMA_L, generator=generator)
        distances = ratio(distance(noisy), far)
        confidences = ratio(confidence(noisy), sure)
        numbers.append(declared("F3", f"control: {name}, distance over held-out digits'", distances))
        numbers.append(declared("F3", f"control: {name}, confidence over held-out digits'", confidences))
    return record(
        "F3",
        [*numbers, reported("distance of held-out digits", far)],
        sheets,
        narrower="perceptrons on 8×8 digits, at T = 100",
        data="five perceptrons, 360 samples each; 360 held-out and 1,437 training digits",
        note="Fréchet distances in pixels, as shown, to training digits; real ones carry noise σ_L, as samples do.",
        facts={"n_samples": N_SAMPLES},
    )
