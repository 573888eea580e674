"""What the tests share: a line for the run's summary (`note`), and a copy of the stages to do things to (`house`)."""

from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.support.house import House, Note


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Give a copy of the stages."""
    return House(tmp_path / "house")


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Keep a line for the summary; it travels with the report, so it gets out of xdist's workers too."""
    return lambda text: request.node.user_properties.append(("note", text))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the lines that were kept."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    notes = {text for report in reports for name, text in getattr(report, "user_properties", []) if name == "note"}
    if notes:
        terminalreporter.section("what the chain found")
    for text in sorted(notes):
        terminalreporter.write_line(text)
