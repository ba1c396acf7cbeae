"""Pytest, set up so that a bare `pytest` and a bare `pytest --nbval notebooks/` do what this project means by them.

Slow tests run only with `-m slow`, tests on a large data set only where it is at hand; notebooks run in this
environment's kernel and are compared to the last printed digit (tools/comparison.py). Hypothesis draws the same
examples on every machine, and more of them where only slow tests run. nbval and Hypothesis may be missing.
"""

import importlib.util
import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

# The work here is small: on a busy machine two OpenMP threads that wait for each other are many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parent
NBVAL_DEFAULT_TIMEOUT = 2000.0
CELL_TIMEOUT = 1_200.0  # chapter 7 trains for two minutes, and longer on a busy core
FEW = 12  # examples of a property
MANY = 120
# what a test with a marker needs, in the data folder
DATA_SETS = {
    "mnist": "MNIST/raw",
    "fashion_mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-py",
    "celeba_sample": "faces/img_align_celeba",
}


def _nbval_is_on(config: pytest.Config) -> bool:
    return getattr(config.option, "nbval", False) or getattr(config.option, "nbval_lax", False)


def _slow_alone(config: pytest.Config) -> bool:
    return config.option.markexpr == "slow"


def _choose_examples(max_examples: int) -> None:
    """Let no clock and no database decide which examples Hypothesis draws."""
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        "sbgm",
        max_examples=max_examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("sbgm")


def pytest_configure(config: pytest.Config) -> None:
    """Run notebooks in this environment, a cell for at most CELL_TIMEOUT seconds, unless told otherwise.

    A worker of xdist that died is not replaced: with `--dist loadfile` the new one may be given no test, and waits for
    ever (pytest-xdist 3.8; its issues 784 and 1323).
    """
    if getattr(config.option, "maxworkerrestart", "0") is None:
        config.option.maxworkerrestart = "0"
    if importlib.util.find_spec("hypothesis"):
        _choose_examples(MANY if _slow_alone(config) else FEW)
    if not _nbval_is_on(config):
        return
    runs = tempfile.TemporaryDirectory()  # a reader's own runs are no part of what is compared
    config.add_cleanup(runs.cleanup)
    os.environ["SBGM_FRESH"] = runs.name
    if config.option.nbval_kernel_name is None:
        config.option.nbval_current_env = True
    if config.option.nbval_cell_timeout == NBVAL_DEFAULT_TIMEOUT:
        config.option.nbval_cell_timeout = CELL_TIMEOUT


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector):
    """Take a notebook from nbval and collect it as a Chapter."""
    collectors = yield
    if not (_nbval_is_on(parent.config) and file_path.suffix == ".ipynb"):
        return collectors
    from comparison import Chapter

    return [Chapter.from_parent(parent, path=file_path)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what takes minutes unless asked for, and what needs data that isn't there.

    Under `-m slow` the properties count as slow. What has passed in the run whose list SBGM_DONE names
    (.pytest_cache/v/passed) is not run again.
    """
    if done := os.environ.get("SBGM_DONE"):
        passed = set(json.loads(Path(done).read_text(encoding="utf-8")))
        items[:] = [item for item in items if item.nodeid not in passed]
    skip_slow = pytest.mark.skip(reason="takes minutes; run by `make test-slow`")
    slow_asked_for = "slow" in config.option.markexpr
    for item in items:
        if _slow_alone(config) and getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("slow")
    data_folder = Path(os.environ.get("SBGM_DATA") or ROOT / "data")
    missing = {name: place for name, place in DATA_SETS.items() if not (data_folder / place).is_dir()}
    for item in items:
        if item.get_closest_marker("slow") and not slow_asked_for:
            item.add_marker(skip_slow)
        for name, place in missing.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"needs {place} at SBGM_DATA or in data/"))


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(report: pytest.TestReport, sched: Any) -> None:
    """End the run when a worker of xdist has died: the test that it was at has failed, and the other workers stop."""
    sched.config.hook.pytest_runtest_logreport(report=report)
    pytest.exit(f"{report.longrepr}; the others were stopped", returncode=pytest.ExitCode.TESTS_FAILED)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name stale figures, and the tests that were skipped, by what they lack; keep in pytest's cache which passed."""
    if cache := getattr(terminalreporter.config, "cache", None):
        cache.set("passed", sorted({report.nodeid for report in terminalreporter.getreports("passed")}))
    finished = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    properties = [pair for report in finished for pair in report.user_properties]
    stale = [sentence for name, sentence in properties if name == "stale figure"]
    if stale:
        terminalreporter.section("Stale figures: build their notebooks anew")
    for sentence in stale:
        terminalreporter.line(sentence)
    skipped = {report.nodeid: report.longrepr[2] for report in terminalreporter.getreports("skipped")}
    by_reason: dict[str, Counter[str]] = {}
    for nodeid, reason in skipped.items():
        by_reason.setdefault(reason.removeprefix("Skipped: "), Counter())[nodeid.partition("[")[0]] += 1
    if skipped:
        terminalreporter.section(f"{len(skipped)} tests were skipped")
    for reason, tests in by_reason.items():
        terminalreporter.line(f"{tests.total()}: {reason}")
        for test, n in tests.items():
            times = f" ({n})" if n > 1 else ""
            terminalreporter.line(f"    {test}{times}")
