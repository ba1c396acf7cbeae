"""S2: whether networks by denoising score matching at σ = 1 are nearer to ∇log q_σ than to ∇log p, under q_σ."""

from errors import ratio
from ledger import Record, declared, record, reported, seed
from plane import FIGURE2_SIGMA, N_TRAININGS, denoising_network, distances, squared_distance
from sbgm import derived_generator, paper_mixture


def measure() -> Record:
    """Measure S2: the distances of five networks to each exact score, over noisy points."""
    mixture = paper_mixture()
    networks = [denoising_network(part) for part in range(N_TRAININGS)]
    x_noisy = mixture.sample(20_000, FIGURE2_SIGMA, generator=derived_generator(seed("S2"), N_TRAININGS))
    noisy_score = mixture.score(x_noisy, FIGURE2_SIGMA)
    clean_score = mixture.score(x_noisy)
    to_noisy = distances(networks, x_noisy, noisy_score)
    to_clean = distances(networks, x_noisy, clean_score)
    return record(
        "S2",
        [
            declared("S2", "distance to ∇log p over distance to ∇log q_σ", ratio(to_clean, to_noisy)),
            reported("squared distance to ∇log q_σ, five networks", to_noisy),
            reported("squared distance to ∇log p, five networks", to_clean),
            reported("the exact scores from each other", squared_distance(noisy_score, clean_score)),
        ],
    )
