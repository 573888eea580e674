"""A pytest plugin for grading: writes the outcome of each test to a file descriptor at once, as a line of JSON.

At the end of the run it runs again what has failed and has points, until it passes: what has two outcomes is racy.

The plugin keeps a submission from writing there. pytest imports no code of the submission, and on Linux no other
process of the same user can open pytest's file descriptors or its memory.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Generator

import pytest

from stages.harness.sandbox import supervisors
from stages.harness.supervisor import PIPE

PR_SET_DUMPABLE = 4
LONGEST = 20_000
AGAIN = 7  # how often what has failed is run again; only once when most of the tests have failed
AGAIN_SECONDS = 20  # for all reruns of a submission


def pytest_configure(config: pytest.Config) -> None:
    """Make this process unreadable for others, and register the hooks."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    config.pluginmanager.register(OutcomePipe())


class OutcomePipe:
    """Writes first which tests there are and their points, then the outcome of each."""

    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []
        self.failed: set[str] = set()

    def write(self, **fields: object) -> None:
        """Write one line of JSON."""
        line = memoryview(json.dumps(fields).encode() + b"\n")
        while line:
            line = line[os.write(PIPE, line) :]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Write why a file with tests cannot be imported."""
        if report.failed:
            self.write(broken=report.longreprtext[:LONGEST])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write the tests: [name, step, points, hidden] for each."""
        tests = [(item.nodeid, dict(item.user_properties)) for item in session.items]
        self.write(tests=[(name, *(found[kind] for kind in ("step", "points", "hidden"))) for name, found in tests])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the outcome of a test, after its teardown."""
        self.reports.append(report)
        if report.when == "teardown":
            failed = [each.longreprtext for each in self.reports if each.failed]
            skipped = [each.longreprtext for each in self.reports if each.skipped]
            outcome = "failed" if failed else "skipped" if skipped else "passed"
            seconds = sum(each.duration for each in self.reports)
            said = "\n\n".join(failed or skipped)[:LONGEST]
            self.write(test=report.nodeid, outcome=outcome, seconds=seconds, said=said)
            self.reports = []
            (self.failed.add if failed else self.failed.discard)(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Run what has failed again, on servers of its own. Next is always the test that has had the least time."""
        done = yield
        end = time.monotonic() + AGAIN_SECONDS
        most = AGAIN if 2 * len(self.failed) < len(session.items) else 1
        again = [item for item in session.items if item.nodeid in self.failed and dict(item.user_properties)["points"]]
        spent = {item: [0.0] for item in again}  # 0, and the seconds of each run
        while spent and time.monotonic() < end:
            item = min(spent, key=lambda each: sum(spent[each]))
            begin = time.monotonic()
            supervisors.cache_clear()  # the next have another hash seed: a set may have another order
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            spent[item].append(time.monotonic() - begin)
            if item.nodeid not in self.failed or len(spent[item]) > most:
                del spent[item]
        return done
