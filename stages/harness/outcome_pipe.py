"""A pytest plugin that tells who grades how each test went, at once: one line of JSON each, to a file descriptor.

pytest imports no student's code. On Linux it also makes itself unreadable to it: no process of the same user can
open its descriptors or its memory.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

import pytest

PR_SET_DUMPABLE = 4
LONGEST = 20_000


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the descriptor."""
    parser.addoption("--outcome-pipe", type=int, required=True, metavar="FD")


def pytest_configure(config: pytest.Config) -> None:
    """Close the shutters, and listen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    config.pluginmanager.register(OutcomePipe(config.option.outcome_pipe))


class OutcomePipe:
    """Tells first which tests there are and what they are worth, then how each went."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.reports: list[pytest.TestReport] = []

    def tell(self, **what: object) -> None:
        """Write a line."""
        line = memoryview(json.dumps(what).encode() + b"\n")
        while line:
            line = line[os.write(self.descriptor, line) :]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell which tests there are."""
        worth = [(item.nodeid, dict(item.user_properties).get("points", 1)) for item in session.items]
        self.tell(tests=worth)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell how a test went, when its last part is over."""
        self.reports.append(report)
        if report.when == "teardown":
            failed = [each.longreprtext for each in self.reports if each.failed]
            skipped = [each.longreprtext for each in self.reports if each.skipped]
            outcome = "failed" if failed else "skipped" if skipped else "passed"
            seconds = sum(each.duration for each in self.reports)
            said = "\n\n".join(failed or skipped)[:LONGEST]
            self.tell(test=report.nodeid, outcome=outcome, seconds=seconds, said=said)
            self.reports = []
