"""Exercise 2.5: the error of denoising score matching by σ and steps, and with the mean of the targets for a target."""

from functools import partial

import torch

from sbgm import MLP, denoising_score_matching_loss, fit_score, measure, paper_mixture

mixture = paper_mixture()
N_TRAININGS = 3


def mean_as_target(network, x, sigma, generator):
    """½‖s − ∇log q_σ‖² at the noisy points, a mean over the batch."""
    noisy = x + sigma * torch.randn(x.shape, generator=generator)
    return 0.5 * (network(noisy) - mixture.score(noisy, sigma)).square().sum(dim=1).mean()


def error_after(sigma, n_steps, loss):
    """The relative squared error to ∇log q_σ, a mean over trainings."""
    errors = []
    for seed in range(N_TRAININGS):
        generator = torch.Generator().manual_seed(seed)
        network = MLP(generator=generator)
        batches = partial(mixture.sample, generator=generator)
        recipe = {"n_steps": n_steps, "batch_size": 256, "learning_rate": 1e-2, "one_cycle": True}
        _ = list(
            fit_score(network, batches, partial(loss, sigma=sigma, generator=generator), **recipe, generator=generator)
        )
        noisy = mixture.sample(2_000, sigma, generator=generator)
        errors.append(float(measure.relative_squared_error(network(noisy).detach(), mixture.score(noisy, sigma))))
    return sum(errors) / N_TRAININGS


for sigma in (1.0, 0.3, 0.03):
    short = error_after(sigma, 200, denoising_score_matching_loss)
    long = error_after(sigma, 1250, denoising_score_matching_loss)
    by_mean = error_after(sigma, 200, mean_as_target)
    print(f"σ = {sigma:g}: {short:.2g} after 200 steps, {long:.2g} after 1,250; with the mean as target {by_mean:.2g}")
