"""S9: whether networks by sliced score matching, on points without noise, are nearer to ∇log p than to ∇log q_σ.

They are trained as S2's, and compared under p. The control: by the same measure S2's networks must be nearer to
∇log q_σ.
"""

from errors import ratio
from ledger import Record, declared, record, reported, seed
from plane import FIGURE2_SIGMA, N_TRAININGS, denoising_network, distances, squared_distance, trained_on_points
from sbgm import derived_generator, paper_mixture, sliced_score_matching_loss


def measure() -> Record:
    """Measure S9: the distances of five networks of each kind to each exact score."""
    mixture = paper_mixture()
    x = mixture.sample(20_000, generator=derived_generator(seed("S9"), N_TRAININGS))
    generators = [derived_generator(seed("S9"), part) for part in range(N_TRAININGS)]
    networks = {
        "sliced": [trained_on_points(sliced_score_matching_loss, generator) for generator in generators],
        "denoising": [denoising_network(part) for part in range(N_TRAININGS)],
    }
    exact = {"∇log p": mixture.score(x), "∇log q_σ": mixture.score(x, FIGURE2_SIGMA)}
    far = {kind: {name: distances(of_kind, x, s) for name, s in exact.items()} for kind, of_kind in networks.items()}
    over = "distance to {} over distance to {}"
    return record(
        "S9",
        [
            declared(
                "S9", over.format("∇log q_σ", "∇log p"), ratio(far["sliced"]["∇log q_σ"], far["sliced"]["∇log p"])
            ),
            declared(
                "S9",
                f"control: denoising networks, {over.format('∇log p', '∇log q_σ')}",
                ratio(far["denoising"]["∇log p"], far["denoising"]["∇log q_σ"]),
            ),
            *(
                reported(f"squared distance to {name}, five {kind} networks", distance)
                for kind, of_kind in far.items()
                for name, distance in of_kind.items()
            ),
            reported("the exact scores from each other", squared_distance(*exact.values())),
        ],
    )
