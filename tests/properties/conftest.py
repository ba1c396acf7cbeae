"""Hypothesis, set up to draw the same examples on every machine: few, or ten times as many under `make test-slow`."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

FEW, MANY = 12, 120


def slow_alone(config: pytest.Config) -> bool:
    return config.option.markexpr == "slow"


def pytest_configure(config: pytest.Config) -> None:
    """No clock and no database decides what is drawn: a test fails everywhere or nowhere."""
    settings.register_profile(
        "sbgm",
        max_examples=MANY if slow_alone(config) else FEW,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("sbgm")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under `-m slow` the properties count as slow, and are tested on many examples."""
    for item in items:
        if slow_alone(config) and item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("slow")
