"""A browser, a JupyterLab, and what the tests measured at the end of the report.

Without a browser these tests are skipped, or fail if SBGM_REQUIRE_BROWSER=1, as in CI.
"""

import os

import pytest

from .chromium import BrowserMissingError, running_chromium
from .lab import running_lab

MEASURED = "measured in the browser"


@pytest.fixture(scope="package")  # not session: while playwright runs, other tests can't start an event loop
def browser():
    """A headless Chromium."""
    try:
        with running_chromium() as browser:
            yield browser
    except BrowserMissingError as error:
        give_up = pytest.fail if os.environ.get("SBGM_REQUIRE_BROWSER") == "1" else pytest.skip
        give_up(str(error))


@pytest.fixture(scope="package")
def lab(browser, tmp_path_factory):
    """A JupyterLab, started only where there is a browser to open it."""
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def measured(record_property):
    """Call it with a sentence to have it at the end of the report, and in an XML report."""
    return lambda sentence: record_property(MEASURED, sentence)


def pytest_terminal_summary(terminalreporter):
    """List what was measured, of tests that passed and that failed."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    sentences = [value for report in reports for name, value in report.user_properties if name == MEASURED]
    if sentences:
        terminalreporter.section(MEASURED)
        for sentence in dict.fromkeys(sentences):
            terminalreporter.line(sentence)
