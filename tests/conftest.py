"""What all tests of the library, the exercises and the lessons share."""

import pytest

from sbgm.apps import train


@pytest.fixture(autouse=True, scope="session")
def short_sheets():
    """Draw the sheets of trainings in a step a level: 100 evaluations take longer than a small training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "N_EVALUATIONS", 1)
        yield
