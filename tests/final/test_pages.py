"""The commands in final/README.md, final/OUTGROWN.md and the stages' pages print what those say, typed into a shell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, ReadOnlyError
from redis.retry import Retry

from stages.harness.course import COURSE, ROOT, STAGES, stage_folder
from stages.harness.target import Target
from tests.support.observing import await_true
from tests.support.oracle import redis_target, valkey_target
from tests.support.pages import steps, typist

README, OUTGROWN = ROOT / "final" / "README.md", ROOT / "final" / "OUTGROWN.md"
pytestmark = pytest.mark.slow
engines = pytest.mark.parametrize("engine", [redis_target, valkey_target], ids=["redis", "valkey"])
Engine = Callable[[], Target]


def test_the_commands_of_the_readme_print_what_it_says(tmp_path: Path) -> None:
    with typist(tmp_path, redis_target()) as shell:
        for command, printed in steps(README):
            shell.type(command, printed)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage >= COURSE])  # before, pages ask for two terminals
def test_the_commands_of_a_stage_print_what_its_page_says(tmp_path: Path, stage: int) -> None:
    with typist(tmp_path, redis_target()) as shell:
        for command, printed in steps(stage_folder(stage) / "README.md"):
            shell.type(command, printed)


@engines
def test_the_data_goes_over_with_the_commands_of_the_page_and_comes_back(tmp_path: Path, engine: Engine) -> None:
    with typist(tmp_path, engine()) as shell:
        for command, printed in steps(OUTGROWN):
            shell.type(command, printed)


class Writer(threading.Thread):
    """A client that increments a counter on one server until that takes no more writes, and then on the other one."""

    def __init__(self, key: str, *ports: int) -> None:
        super().__init__()
        self.key, self.ports = key, ports
        self.acknowledged: dict[int, list[int]] = {port: [] for port in ports}
        self.stop = threading.Event()

    def run(self) -> None:
        """Write until `stop` is set, and note each reply with the port of its server."""
        for port in self.ports:
            client = Redis(port=port, retry=Retry(NoBackoff(), 0))
            try:
                while not self.stop.is_set():
                    self.acknowledged[port].append(client.incr(self.key))
            except (ConnectionError, ReadOnlyError):
                pass


@engines
def test_no_acknowledged_write_is_lost_by_clients_that_go_over_live(tmp_path: Path, engine: Engine) -> None:
    with typist(tmp_path, engine()) as shell:
        here, there = shell.port("6379"), shell.port("6380")
        writers = [Writer(f"counter {number}", here, there) for number in range(4)]
        try:
            for command, printed in steps(OUTGROWN, "How to tell", "Live"):
                if command == "redis-cli FAILOVER":
                    await_true(lambda: all(len(writer.acknowledged[here]) > 100 for writer in writers), "writes here")
                shell.type(command, printed)
                if command == "mkdir replica":
                    for writer in writers:
                        writer.start()
            await_true(lambda: all(len(writer.acknowledged[there]) > 100 for writer in writers), "writes there")
        finally:
            for writer in writers:
                writer.stop.set()
            for writer in writers:
                writer.join()
    for writer in writers:
        before, after = (writer.acknowledged[port] for port in (here, there))
        assert after[0] > before[-1], f"{before[-1]} was acknowledged, and then {after[0]}"
