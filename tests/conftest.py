"""Fixtures for all tests: `note` adds a line to the summary of the run, `stages_copy` copies the stages."""

from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.support.stages_copy import Note, StagesCopy


@pytest.fixture
def stages_copy(tmp_path: Path) -> StagesCopy:
    """Copy the stages into a temporary folder."""
    return StagesCopy(tmp_path / "copy")


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Add a line to the summary. As a property of the report it reaches xdist's main process."""
    return lambda text: request.node.user_properties.append(("note", text))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the lines of `note`, each once, in alphabetical order."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    notes = {text for report in reports for name, text in getattr(report, "user_properties", []) if name == "note"}
    if notes:
        terminalreporter.section("notes")
    for text in sorted(notes):
        terminalreporter.write_line(text)
