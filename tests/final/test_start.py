"""How the server starts: the files that it writes, where it listens, and what it is told in the configuration."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis

from final.__main__ import parse_options
from final.config.options import RELEASE
from final.engine.command import rename
from final.net.endpoints import CannotListen, Endpoint, endpoints
from final.net.listener import Listener
from stages.harness.course import ROOT
from stages.harness.ports import free_port
from tests.support.machine import within
from tests.support.observing import await_true
from tests.support.oracle import args_of, final_server, redis_server, redis_target
from tests.support.server_log import messages

BOTH = pytest.mark.parametrize("start", [final_server, redis_server], ids=["final", "redis"])


def refused(folder: Path, *args: str) -> tuple[int, str]:
    """Start a server that does not start; return its status and what it says."""
    command = [sys.executable, "-m", "final", "--appendonly", "no", *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=within(20))
    return done.returncode, done.stderr


# Files


def test_a_second_server_on_the_port_leaves_the_files_of_the_first(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with final_server("--pidfile", str(pid), "--logfile", str(tmp_path / "log")) as server:
        await_true(pid.exists, "the file is there")
        info = server.connect().ask("INFO", "server")
        assert isinstance(info, bytes)
        written = f"{info.split(b'process_id:')[1].split()[0].decode()}\n"
        assert pid.read_text() == written
        status, said = refused(tmp_path, "--port", str(server.port), "--pidfile", str(pid))
        assert status == 1 and messages(said) == f"cannot listen on 127.0.0.1:{server.port}: Address already in use\n"
        assert pid.read_text() == written
        assert messages((tmp_path / "log").read_text()) == "Ready to accept connections\n"
        assert server.stop() == 0 and not pid.exists()


def test_a_file_that_another_process_has_written_meanwhile_is_left_alone(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with final_server("--pidfile", str(pid)) as server:
        await_true(pid.exists, "the file is there")
        pid.write_text("1\n")
        assert server.stop() == 0 and pid.read_text() == "1\n"


@BOTH
def test_files_are_relative_to_dir(start: Any) -> None:
    with TemporaryDirectory() as folder:  # its path is short, as that of a socket has to be
        names = ("--logfile", "l", "--pidfile", "p", "--unixsocket", "s", "--dir", folder)
        with start(*names) as server:
            await_true(lambda: {"l", "p", "s"} <= set(os.listdir(folder)), "the files are in the folder")
            assert redis.Redis(unix_socket_path=f"{folder}/s").ping()
            assert server.connect().ask("CONFIG", "GET", "logfile", "pidfile") in (
                [b"logfile", b"l", b"pidfile", b"p"],
                [b"pidfile", b"p", b"logfile", b"l"],
            )
            log = (Path(folder) / "l").read_text()
            assert "The server is now ready to accept connections at s\n" in log
            assert server.stop() == 0 and set(os.listdir(folder)) <= {"l"}


def test_dir_must_be_there_and_a_second_one_is_relative_to_the_first(tmp_path: Path) -> None:
    assert refused(tmp_path, "--dir", "no") == (2, f"python -m final: error: dir {tmp_path}/no: {os.strerror(2)}\n")
    assert not (tmp_path / "no").exists()
    assert parse_options(["--dir", "/a", "--dir", "b"]).dir == "/a/b"


def test_syslog_need_not_be_there() -> None:
    with final_server("--syslog-enabled", "yes", "--loglevel", "verbose") as server:
        server.connect().ask("CONFIG", "REWRITE")
        server.connect().ask("REPLICAOF", "127.0.0.1", 1)
        await_true(lambda: "no replication" in server.errors, "a line in the log")
        assert "Traceback" not in server.errors


# Where it listens


def test_what_cannot_be_listened_on_is_said(tmp_path: Path) -> None:
    said = {
        ("--unixsocket", "/no/such/s"): "cannot listen on /no/such/s: No such file or directory\n",
        ("--bind", "-192.0.2.1"): "cannot listen on 192.0.2.1:PORT: Cannot assign requested address\n",
    }
    for args, wanted in said.items():
        port = str(free_port())
        status, text = refused(tmp_path, "--port", port, *args)
        assert (status, messages(text).replace(port, "PORT")) == (1, wanted)


def test_port_0_is_no_port_if_there_is_another_place_to_listen_on() -> None:
    assert endpoints(parse_options(["--port", "0", "--unixsocket", "/s"])) == [Endpoint(path="/s")]
    assert endpoints(parse_options(["--port", "0", "--tls-port", "1"])) == [Endpoint("127.0.0.1", 1, tls=True)]
    assert endpoints(parse_options(["--port", "0"])) == []
    with TemporaryDirectory() as folder:
        args = ["--port", "0", "--unixsocket", "s", "--dir", folder, "--appendonly", "no"]
        with subprocess.Popen([sys.executable, "-m", "final", *args], cwd=ROOT, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout and process.stdout.readline() == b"listening on s\n"
                client = redis.Redis(unix_socket_path=f"{folder}/s")
                assert client.info("server")["tcp_port"] == 0
                assert client.config_get("port") == {"port": "0"}
            finally:
                process.terminate()


def test_where_it_cannot_listen_it_goes_on_to_listen_where_it_did() -> None:
    async def listening() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            listener = Listener(lambda accepted: None, [])
            listener.open([Endpoint("127.0.0.1"), Endpoint("-192.0.2.1")])
            first, before = listener.first(), dict(listener.listening)
            with pytest.raises(CannotListen, match="Address already in use"):
                listener.open([first, Endpoint("127.0.0.1", other.getsockname()[1])])
            assert listener.listening == before
            with pytest.raises(CannotListen, match="Cannot assign requested address"):
                listener.open([Endpoint("192.0.2.1", first.port)])
            assert list(listener.listening) == [first]
            everywhere = Endpoint("*", first.port)  # where the old socket must be closed first
            listener.open([everywhere])
            assert list(listener.listening) == [everywhere]
            listener.open([])
            assert listener.listening == {}

    asyncio.run(listening())


# What the configuration says


def test_replicaof_no_one_is_a_primary() -> None:
    assert parse_options(["--replicaof", "host", "1", "--slaveof", "No", "One"]).replicaof == ""


@pytest.mark.parametrize("option", ["-v", "--version"])
def test_the_version_is_shown_in_the_form_of_redis(option: str) -> None:
    ours, theirs = (
        subprocess.run([*command, option], cwd=ROOT, capture_output=True, check=True, text=True).stdout
        for command in ([sys.executable, "-m", "final"], [redis_target().command[0]])
    )
    names = re.compile(r"(\w+)=\S+")
    assert names.sub(r"\1=", ours) == names.sub(r"\1=", theirs)
    assert ours.startswith(f"Redis server v={RELEASE.decode()} ")


ASKED = (
    *("FLUSHALL", "SET k v", "GET k", "READ k", "get", "read", "Read k", "CONFIG GET port", "cfg get hz", "cfg no"),
    *("PONG a", "ECHO a", "COMMAND INFO get", "MULTI", "GET k", "EXEC", "MULTI", "READ k", "EXEC", "EVAL 1 0"),
    *("SCRIPT LOAD 'return 1'", "ACL SETUSER u +get -config|get", "COMMAND GETKEYS read k", "SORT k BY x*"),
    *("ACL DRYRUN default get k", "ACL DRYRUN default read k", "ACL SETUSER u +eval -flushall -cfg"),
    *("ACL SETUSER u +cfg|get", "ACL SETUSER u ~* +eval -flushall +config|get", "COMMAND INFO eval"),
    *("ACL DRYRUN u read k", "ACL DRYRUN u cfg get x", "ACL DRYRUN u cfg set x y", "ACL DRYRUN u pong x"),
)


def renaming(start: Any, folder: Path, *pairs: tuple[str, str]) -> Any:
    """Start a server with a log in `folder`, whose commands are renamed."""
    return start(*(arg for pair in pairs for arg in ("--rename-command", *pair)), data=folder)


def test_commands_are_renamed_as_in_redis(tmp_path: Path) -> None:
    answers: list[list[tuple[object, str]]] = []
    pairs = (("FLUSHALL", ""), ("Get", "read"), ("config", "CFG"), ("ECHO", "PONG"), ("eval", ""))
    for start in (final_server, redis_server):
        folder = tmp_path / str(len(answers))
        folder.mkdir()
        with renaming(start, folder, *pairs) as server:
            client = server.connect()
            answers.append([(line, str(client.ask(*args_of(line)))) for line in ASKED])
    for ours, theirs in zip(*answers, strict=True):
        assert ours == theirs


@pytest.mark.slow
@BOTH
def test_the_log_is_loaded_where_its_commands_are_renamed(start: Any, tmp_path: Path) -> None:
    for number in range(2):
        with renaming(start, tmp_path, ("SET", "PUT"), ("GET", "")) as server:
            client = server.connect()
            assert client.ask("PUT", "k", "v") == "OK"
            assert client.ask("STRLEN", "k") == 1 and client.ask("DBSIZE") == 1, number
            server.kill()


def test_what_the_server_itself_logs_is_loaded_though_clients_may_not_say_it(tmp_path: Path) -> None:
    for number in range(2):  # Redis does not start again
        with renaming(final_server, tmp_path, ("DEL", ""), ("SET", ""), ("SREM", "")) as server:
            client = server.connect()
            client.ask("SADD", "s", *range(10))
            client.ask("SETEX", "k", 1000, "v")  # logged as SET
            assert len(client.ask("SPOP", "s", 5)) == 5 and client.ask("DBSIZE") == 2, number  # as SREM
            server.kill()


def test_commands_that_cannot_be_renamed_are_refused(tmp_path: Path) -> None:
    wanted = "python -m final: error: rename-command nosuch: No such command in rename-command\n"
    assert refused(tmp_path, "--rename-command", "nosuch", "x") == (2, wanted)
    with pytest.raises(ValueError, match="Target command name already exists"):
        rename(b"get", b"set")
