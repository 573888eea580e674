"""The server as a service: what systemd is told, the unit, and the container's command line as process 1."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from final.__main__ import parse_options
from stages.harness.course import ROOT
from stages.harness.ports import free_port
from stages.harness.server import Server
from tests.support.machine import within
from tests.support.observing import await_true
from tests.support.oracle import final_server, redis_server

SERVICE = ROOT / "final" / "service"
UNIT, DOCKERFILE = (SERVICE / "final.service").read_text(), (SERVICE / "Dockerfile").read_text()
NEEDED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Receive what a server tells systemd. The fixture is a function that returns all lines so far."""
    lines: list[str] = []
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
        tempfile.TemporaryDirectory() as folder,  # its path is short, as that of a socket has to be
    ):
        receiver.bind(f"{folder}/notify")
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/notify")

        def told() -> list[str]:
            try:
                while True:
                    lines.extend(receiver.recv(4096).decode().split())
            except BlockingIOError:
                return lines

        yield told


# supervised


@pytest.mark.parametrize("start", [final_server, redis_server], ids=["final", "redis"])
@pytest.mark.parametrize("supervised", ["systemd", "auto", "upstart", "no"])
def test_systemd_is_told_when_the_server_is_ready_and_when_it_stops(
    systemd: Callable[[], list[str]], start: Start, supervised: str
) -> None:
    with start("--supervised", supervised) as server:
        if supervised in ("systemd", "auto"):
            await_true(lambda: "READY=1" in systemd(), "READY=1")
        assert "STOPPING=1" not in systemd()
        assert server.stop() == 0
    assert ("STOPPING=1" in systemd()) == (supervised in ("systemd", "auto"))
    assert bool(systemd()) == (supervised in ("systemd", "auto"))


@pytest.mark.parametrize("address", ["", "@no such socket", "/no/such/socket"])
def test_a_server_that_cannot_tell_systemd_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with final_server("--supervised", "systemd") as server:
        assert server.connect().ask("PING") == "PONG"
        await_true(lambda: "cannot tell systemd READY=1: " in server.errors, "a message")
    monkeypatch.delenv("NOTIFY_SOCKET")
    with final_server("--supervised", "auto") as server:
        assert server.stop() == 0 and server.errors == ""


# The unit


def setting(name: str) -> str:
    """Return the value of a setting in the unit."""
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT, flags=re.M)
    return str(value)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze on this machine")
def test_systemd_takes_the_unit_without_a_warning() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", str(SERVICE / "final.service")], capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""


def test_the_unit_starts_a_server_that_tells_systemd_when_it_is_ready(
    tmp_path: Path, systemd: Callable[[], list[str]]
) -> None:
    python, *args = shlex.split(setting("ExecStart"))
    options = parse_options(args[2:])
    assert Path(python).name == "python3" and args[:2] == ["-m", "final"] and setting("Type") == "notify"
    assert (options.supervised, options.dir) == ("systemd", f"/var/lib/{setting('StateDirectory')}")
    with running([*args, "--dir", str(tmp_path)], ROOT) as (process, port):
        await_true(lambda: "READY=1" in systemd(), "READY=1")
        assert ping(port) == b"+PONG\r\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(within(10)) == 0


def test_the_unit_allows_as_many_files_as_the_server_needs() -> None:
    assert int(setting("LimitNOFILE")) == parse_options([]).maxclients + 32


# The container


def test_the_command_line_of_the_container_serves_and_stops_as_process_1(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--pid", "--fork", "true"], capture_output=True).returncode:
        pytest.skip("the system allows no namespace of processes")
    assert shutil.copytree(ROOT / found("COPY")[0], tmp_path / found("COPY")[1].lstrip("/"))
    data, here = tmp_path / found("VOLUME")[0].lstrip("/"), tmp_path / found("WORKDIR")[0].lstrip("/")
    python, *args = json.loads(" ".join(found("ENTRYPOINT")))
    args = [str(data) if arg in found("VOLUME") else arg for arg in args] + ["--requirepass", "secret"]
    data.mkdir()  # as a volume is there before the program starts
    with running(args, here, unshare, "--pid", "--fork", "--kill-child") as (process, port):
        await_true(lambda: ping(port) == b"-NOAUTH Authentication required.\r\n", "an answer")
        assert python == "python3" and (data / "appendonlydir").exists()
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        assert process.wait(within(10)) == 0


def found(instruction: str) -> list[str]:
    """Return the arguments of an instruction in the Dockerfile."""
    (line,) = re.findall(rf"^{instruction} (.*)$", DOCKERFILE, flags=re.M)
    return str(line).split()


def test_the_container_has_a_python_that_is_new_enough() -> None:
    (version,) = re.findall(r"^python:3\.(\d+)-slim$", found("FROM")[0])
    assert int(version) >= int(NEEDED.removeprefix(">=3."))


@contextmanager
def running(args: list[str], here: Path, *before: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run Python with these arguments in the folder `here`, on a free port; `before` is a command that starts it."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [*before, sys.executable, *args, "--port", str(port)]
    process = subprocess.Popen(command, cwd=here, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def ping(port: int) -> bytes:
    """Return the reply to PING; nothing as long as no server accepts connections."""
    try:
        with socket.create_connection(("127.0.0.1", port), within(10)) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64)
    except ConnectionRefusedError:
        return b""
