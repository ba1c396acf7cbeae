"""No student's code runs without walls: what a test must not do, this process does not do.

`harmless` marks a test whose every answer may run on anyone's machine. In all other tests a student's process runs
under bubblewrap, or the test is skipped. So a test that says nothing is safe, whatever it asks the grader for.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, is_hypothesis_test, settings

from grading.sandbox import refusal

STUDENT = "grading.student"
UNWALLED = "--without-isolation"


class Walls:
    """Looks at each process that this one starts, as an audit hook: it can't be taken off, and sees every thread.

    Attributes:
        harmless: whether the running test may start a student's process without bubblewrap.
    """

    harmless = False

    def __call__(self, event: str, arguments: tuple) -> None:
        """Let a process start, or end the test."""
        if event != "subprocess.Popen" or self.harmless:
            return
        words = arguments[1] if isinstance(arguments[1], list) else []
        is_student = STUDENT in words
        walled = is_student and any(Path(os.fsdecode(word or "")).name == "bwrap" for word in words)
        if is_student or UNWALLED in words:
            need_isolation()
        if UNWALLED in words or (is_student and not walled):
            pytest.fail("a student's code would run without bubblewrap, in a test that is not marked `harmless`")


def need_isolation() -> None:
    """Skip the test where bubblewrap can't be had; fail it where SBGM_REQUIRE_ISOLATION is set."""
    if refusal():
        (pytest.fail if os.environ.get("SBGM_REQUIRE_ISOLATION") else pytest.skip)(refusal())


WALLS = Walls()
sys.addaudithook(WALLS)


@pytest.fixture(autouse=True)
def walls(request: pytest.FixtureRequest):
    """Tell the walls what the test that now begins may do."""
    WALLS.harmless = request.node.get_closest_marker("harmless") is not None
    yield
    WALLS.harmless = False


@pytest.fixture(scope="session")
def isolation() -> None:
    """Skip, before anything is prepared, where bubblewrap can't be had."""
    need_isolation()


FEW = 12
MANY = 120


def slow_alone(config: pytest.Config) -> bool:
    return config.option.markexpr == "slow"


def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis draws the same examples on every machine: no clock and no database decides which."""
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
