"""Lets a test say in the run's summary what it found, also where it passes: `note("…")`."""

from collections.abc import Callable

import pytest
from _pytest.terminal import TerminalReporter

Note = Callable[[str], None]


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Keep a line for the summary; it travels with the report, so it gets out of xdist's workers too."""
    return lambda text: request.node.user_properties.append(("note", text))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the lines that were kept."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    notes = {
        text
        for report in reports
        if getattr(report, "when", "") == "teardown" or getattr(report, "when", "") == "call"
        for name, text in report.user_properties
        if name == "note"
    }
    if notes:
        terminalreporter.section("what the chain found")
    for text in sorted(notes):
        terminalreporter.write_line(text)
