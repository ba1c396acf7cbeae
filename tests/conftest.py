"""Hypothesis draws the same examples on every machine, and more of them where only slow tests run; sheets are short."""

import pytest
from hypothesis import HealthCheck, Phase, is_hypothesis_test, settings

from sbgm.apps import train

FEW = 12
MANY = 120


def slow_alone(config: pytest.Config) -> bool:
    return config.option.markexpr == "slow"


def pytest_configure(config: pytest.Config) -> None:
    """Draw the same examples on every machine: no clock and no database decides which."""
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
        if slow_alone(config) and is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("slow")


@pytest.fixture(autouse=True, scope="session")
def short_sheets():
    """Draw the sheets of trainings in a step a level: 100 evaluations take longer than a small training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "N_EVALUATIONS", 1)
        yield
