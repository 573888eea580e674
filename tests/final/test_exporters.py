"""What monitors read: prometheus-redis-exporter (Debian's package) shows of this server what it shows of Redis.

On a machine without the program on the PATH, or in EXPORTER, the test is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
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


def metrics_of(start: Any, *options: str, tls_port: int = 0) -> set[str]:
    """Start a server and the exporter, and return the names of the metrics, with their labels for options.

    With a `tls_port` the exporter speaks TLS.
    """
    port = free_port()
    with start("--latency-monitor-threshold", "1", "--slowlog-log-slower-than", "0", *options) as server:
        client = server.connect()
        for request in (["SET", "k", "v", "EX", "1000"], ["RPUSH", "l", "a"], ["XADD", "s", "*", "a", "b"], ["NO"]):
            client.ask(*request)
        url = f"rediss://127.0.0.1:{tls_port}" if tls_port else f"redis://127.0.0.1:{server.port}"
        address = ("-redis.addr", url, "-skip-tls-verification", "-web.listen-address", f"127.0.0.1:{port}")
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
    assert theirs - ours == set() and len(ours) > 250


@pytest.mark.slow
@pytest.mark.skipif(EXPORTER is None or shutil.which("openssl") is None, reason="the exporter or openssl is missing")
def test_the_exporter_shows_the_same_over_tls(tmp_path: Path) -> None:
    files = ("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt"))
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", *files)
    subprocess.run(made, check=True, capture_output=True)
    port = free_port()
    options = (
        "--tls-port",
        str(port),
        "--tls-cert-file",
        str(tmp_path / "crt"),
        "--tls-key-file",
        str(tmp_path / "key"),
    )
    encrypted = metrics_of(final_server, *options, "--tls-auth-clients", "no", tls_port=port)
    assert metrics_of(final_server) - encrypted == set()
