"""L3: the share of Langevin chains that end at (5, 5), from uniform starts on [−8, 8]².

The start decides: the share should be that of the basin, ½ + ln 4/160 = 0.509, and a half with equal weights. The
paper's cloud has 1,280 chains; 32 of them are run. Exact samples, counted in the same way, are a guard.
"""

from ledger import Record, declared, guard, record, seed
from plane import N_CHAINS, N_CLOUDS, cloud_share, clouds
from sbgm import derived_generator, paper_mixture


def measure() -> Record:
    """Measure L3: the share with the paper's weights and with equal ones."""
    generator = derived_generator(seed("L3"))
    share = cloud_share(clouds(paper_mixture(), generator))
    even_share = cloud_share(clouds(paper_mixture(weight=0.5), generator))
    exact_share = cloud_share(paper_mixture().sample(N_CLOUDS * N_CHAINS, generator=generator))
    return record(
        "L3",
        [
            declared("L3", "share of the chains in (5, 5), truly 0.8", share),
            declared("L3", "the same with equal weights", even_share),
            guard("exact sampling", exact_share, low=0.79, high=0.81),
        ],
    )
