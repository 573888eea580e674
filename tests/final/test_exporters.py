"""What monitors read: prometheus-redis-exporter (Debian's package) shows of this server what it shows of Redis.

On a machine without the program on the PATH, or in EXPORTER, the test is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import urllib.request
from typing import Any

import pytest

from stages.harness.ports import free_port
from tests.support.observing import await_true
from tests.support.oracle import final_server, redis_server

EXPORTER = shutil.which(os.environ.get("EXPORTER", "prometheus-redis-exporter"))
ALL = (
    "-include-config-metrics",
    "-include-system-metrics",
    "-export-client-list",
    "-check-keys",
    "*",
    "-count-keys",
    "*",
)
# Of memory allocators, defragmentation, threads for sockets and forks by modules, which are not here
NOT_HERE = r"redis_(allocator_|defrag_|active_defrag_|io_thread|module_fork_|latest_fork)"
LATER = (  # INFO, LATENCY and commandstats do not have them yet
    r"redis_(commands_|latency_|tracking_|mem_clients|memory_used_|net_|aof_(buffer|delayed|pending)"
    r"|client_recent_|clients_in_timeout|dump_payload|expired_(stale|time)|total_(reads|writes))"
)


def metrics_of(start: Any) -> set[str]:
    """Start a server and the exporter, and return the names of the metrics, with their labels for options."""
    port = free_port()
    with start("--latency-monitor-threshold", "1", "--slowlog-log-slower-than", "0") as server:
        client = server.connect()
        for request in (["SET", "k", "v", "EX", "1000"], ["RPUSH", "l", "a"], ["XADD", "s", "*", "a", "b"], ["NO"]):
            client.ask(*request)
        address = ("-redis.addr", f"redis://127.0.0.1:{server.port}", "-web.listen-address", f"127.0.0.1:{port}")
        exporter = subprocess.Popen([str(EXPORTER), *address, *ALL], stderr=subprocess.DEVNULL)
        try:
            found: list[str] = []

            def told() -> bool:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
                        found.extend(page.read().decode().splitlines())
                except OSError:
                    return False
                return bool(found)

            await_true(told, "it answers")
        finally:
            exporter.terminate()
            exporter.wait()
    return set(re.findall(r'^(redis_\w+(?:\{key="[^"]*",value)?)', "\n".join(found), re.MULTILINE))


@pytest.mark.slow
@pytest.mark.skipif(EXPORTER is None, reason="prometheus-redis-exporter is not on this machine")
def test_the_exporter_shows_what_it_shows_of_redis() -> None:
    theirs, ours = metrics_of(redis_server), metrics_of(final_server)
    missing = {name for name in theirs - ours if not re.match(f"{NOT_HERE}|{LATER}", name)}
    assert missing == set() and len(ours) > 250
