"""`python -m final` as clients and operators meet it: many at once, slow ones, rude ones; its start and its end."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from final.__main__ import parse_options
from final.config.options import Options
from final.engine.command import COMMANDS
from final.engine.signature import describe
from final.net.connection import Connection
from final.net.server import Server as OurServer
from final.protocol.writer import Value
from final.server_log import log as server_log
from stages.harness.server import Server
from stages.harness.target import find
from stages.harness.wire import Verbatim, parse, request
from tests.support.oracle import PATIENCE, final_server, redis_target
from tests.support.server_log import messages
from tests.support.shared import Shared

PING, PONG, OK = b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n", b"+OK\r\n"
protocols = pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with Shared(final_server) as shared:
        yield shared


@pytest.fixture
def server(shared: Shared) -> Server:
    """A server without a log, which holds nothing."""
    return shared.clean()


# Many, in pieces, slow, rude


def test_many_clients_lose_no_update(server: Server) -> None:
    clients = [server.connect() for _ in range(100)]
    for client in clients:
        client.send(request("INCR", "many") * 20)
    numbers = [int(client.read_reply()[1:]) for client in clients for _ in range(20)]
    assert sorted(numbers) == list(range(1, 2001))


def test_a_pipeline_is_answered_in_its_order(server: Server) -> None:
    count = 5000
    sent = b"".join(request("ECHO", number) for number in range(count))
    server.connect().check(sent, b"".join(b"$%d\r\n%d\r\n" % (len(str(number)), number) for number in range(count)))


def test_requests_may_come_byte_by_byte(server: Server) -> None:
    client = server.connect()
    for byte in request("SET", "pieces", "a\r\nb") + request("GET", "pieces") + b"PING\r\n":
        client.send(bytes([byte]))
    client.expect(OK + b"$4\r\na\r\nb\r\n" + PONG)


def test_who_has_sent_half_a_request_holds_nobody_up(server: Server) -> None:
    half = server.connect()
    half.send(PING[:-3])
    server.connect().check(PING, PONG)
    half.check(PING[-3:], PONG)


def test_a_client_that_never_reads_is_made_to_wait_and_takes_no_memory(server: Server) -> None:
    before = resident(server)
    deaf = socket.create_connection(("127.0.0.1", server.port))
    deaf.settimeout(0.5)
    chunk = request("ECHO", "x" * 1000) * 1000
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 500 << 20:
            sent += deaf.send(chunk)
    server.connect().check(PING, PONG)
    assert resident(server) - before < 30 << 20
    deaf.close()


def resident(server: Server) -> int:
    """The memory that a server takes, in bytes."""
    info = server.connect().ask("INFO", "server")
    assert isinstance(info, bytes)
    pid = int(info.split(b"process_id:")[1].split()[0])
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("how much memory a process takes is read from /proc")
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_client_that_goes_in_the_middle_of_a_request_is_forgotten(server: Server) -> None:
    client = server.connect()
    client.ask("CLIENT", "SETNAME", "gone")
    client.send(b"*2\r\n$3\r\nGET\r\n$10\r\nhal")
    client.close()
    other = server.connect()
    deadline = time.monotonic() + 60
    while b"name=gone" in text(other.ask("CLIENT", "LIST")):
        assert time.monotonic() < deadline, "it is still in CLIENT LIST"


def text(reply: object) -> bytes:
    """A reply that is text."""
    assert isinstance(reply, bytes)
    return reply


def test_a_protocol_error_is_answered_after_what_came_before_it_and_closes(server: Server) -> None:
    client = server.connect()
    client.check(PING + b"*1\r\n$x\r\n" + PING, PONG + b"-ERR Protocol error: invalid bulk length\r\n")
    client.expect_closed()


def test_quit_answers_and_closes_and_what_follows_is_not_done(server: Server) -> None:
    client = server.connect()
    client.check(request("QUIT") + request("SET", "after-quit", 1), OK)
    client.expect_closed()
    assert server.connect().ask("EXISTS", "after-quit") == 0


# What clients are told about clients and the server


def test_client_list_and_client_info_describe_clients(server: Server) -> None:
    client, other = server.connect(), server.connect()
    client.ask("HELLO", 3)
    client.check(request("CLIENT", "SETINFO", "LIB-NAME", "redis-py"), OK)
    client.check(request("CLIENT", "SETINFO", "LIB-VER", "8.1"), OK)
    client.check(request("CLIENT", "SETNAME", "me"), OK)
    client.check(request("SELECT", 2), OK)
    number = client.ask("CLIENT", "ID")
    info = client.ask("CLIENT", "INFO")
    assert isinstance(info, Verbatim)
    told = described(info.removeprefix(b"txt:"))
    host, port = client.socket.getsockname()
    assert told.items() >= {
        ("id", str(number)), ("name", "me"), ("db", "2"), ("resp", "3"), ("user", "default"), ("cmd", "client|info"),
        ("addr", f"{host}:{port}"), ("lib-name", "redis-py"), ("lib-ver", "8.1"), ("multi", "-1"), ("flags", "N"),
    }  # fmt: skip
    lines = text(other.ask("CLIENT", "LIST")).splitlines()
    assert [described(line)["name"] for line in lines if described(line)["id"] == str(number)] == ["me"]
    assert described(text(other.ask("CLIENT", "LIST", "ID", number)))["name"] == "me"  # type: ignore[arg-type]


def described(line: bytes) -> dict[str, str]:
    """The fields of a line of CLIENT LIST."""
    return dict(arg.split("=", 1) for arg in line.decode().split())


def test_setinfo_takes_only_what_keeps_client_list_readable(server: Server) -> None:
    client = server.connect()
    refusal = b"-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"
    client.check(request("CLIENT", "SETINFO", "lib-name", "a b"), refusal)
    client.check(request("CLIENT", "SETINFO", "color", "red"), b"-ERR Unrecognized option 'color'\r\n")


@protocols
def test_redis_py_reads_info_and_the_tables(server: Server, protocol: int) -> None:
    with redis.Redis(port=server.port, protocol=protocol) as client:
        client.select(9)
        client.set("k", "v", ex=100)
        info: Any = client.info()
        assert info["redis_version"].startswith("7.0.") and info["redis_mode"] == "standalone"
        assert info["tcp_port"] == server.port and info["role"] == "master" and info["loading"] == 0
        assert info["connected_clients"] >= 1 and info["aof_enabled"] == 0
        assert info["db9"]["keys"] == 1 and info["db9"]["expires"] == 1
        assert set(client.info("keyspace")) == {name for name in info if name.startswith("db")}
        assert client.config_get("append*")["appendonly"] == "no"
        assert client.command_count() == len(COMMANDS)
        subcommands = {each.name.encode() for entry in COMMANDS.values() for each in entry.subcommands.values()}
        assert set(client.command_list()) == {*COMMANDS} | subcommands
        assert client.command()["get"]["arity"] == 2
        seconds, _ = client.time()
        assert abs(seconds - time.time()) < 60


def test_redis_benchmark_finds_in_config_what_it_asks_for(server: Server) -> None:
    client = server.connect()
    client.check(request("CONFIG", "GET", "save"), b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n")
    client.check(request("CONFIG", "GET", "appendonly"), b"*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n")


# Real clients


@protocols
def test_redis_py_works(server: Server, protocol: int) -> None:
    with redis.Redis(port=server.port, protocol=protocol, db=protocol, client_name="test") as client:
        client.flushdb()
        assert client.set("name", "Alice", ex=100) is True
        assert client.set("name", "Bob", nx=True) is None
        assert client.set("name", "Bob", get=True, keepttl=True) == b"Alice"
        assert 0 < client.ttl("name") <= 100
        assert client.hset("user", mapping={"name": "Alice", "age": 7}) == 2
        assert client.hgetall("user") == {b"name": b"Alice", b"age": b"7"}
        assert client.hscan("user") == (0, {b"name": b"Alice", b"age": b"7"})
        assert client.incrbyfloat("n", 0.1) == 0.1
        assert client.mget("name", "missing") == [b"Bob", None]
        assert sorted(client.scan_iter(count=1)) == [b"n", b"name", b"user"]
        assert client.client_getname() in (b"test", "test")
        with pytest.raises(redis.ResponseError, match="wrong kind of value"):
            client.get("user")
        with client.pipeline(transaction=False) as pipeline:
            for number in range(1000):
                pipeline.set(f"key:{number}", number)
            assert pipeline.execute() == [True] * 1000
        assert len(list(client.scan_iter("key:*"))) == 1000


@protocols
def test_redis_py_works_with_asyncio(server: Server, protocol: int) -> None:
    async def talk() -> None:
        async with redis.asyncio.Redis(port=server.port, protocol=protocol, db=protocol) as client:
            await client.flushdb()
            numbers = await asyncio.gather(*(client.incr("counter") for _ in range(50)))
            assert sorted(numbers) == list(range(1, 51))
            await client.hset("user", "name", "Alice")
            assert await client.hgetall("user") == {b"name": b"Alice"}

    asyncio.run(talk())


def program(name: str) -> str:
    """The path of one of Redis's programs."""
    redis_target()
    path = shutil.which(name)
    assert path, f"there is a redis-server, but no {name}"
    return path


def redis_cli(server: Server, *args: str) -> str:
    """What redis-cli prints."""
    done = subprocess.run(
        [program("redis-cli"), "-p", str(server.port), *args], capture_output=True, text=True, timeout=100, check=True
    )
    return done.stdout


def test_redis_cli_works(server: Server) -> None:
    assert redis_cli(server, "SET", "name", "RedisClone") == "OK\n"
    assert redis_cli(server, "GET", "name") == "RedisClone\n"
    assert redis_cli(server, "-3", "HSET", "cli", "name", "Alice") == "1\n"
    assert redis_cli(server, "-3", "--json", "HGETALL", "cli") == '{"name":"Alice"}\n'
    assert redis_cli(server, "--scan", "--pattern", "cl?") == "cli\n"
    assert redis_cli(server, "-n", "5", "GET", "name") == "\n"
    assert "# Server" in redis_cli(server, "INFO")


@protocols
def test_the_documentation_of_commands_can_be_read_whole(server: Server, protocol: int) -> None:
    client = server.connect()
    client.ask("HELLO", protocol)
    client.send(request("COMMAND", "DOCS"))
    reply = client.read_reply()
    docs, end = parse(reply)
    assert end == len(reply)
    names = docs if isinstance(docs, dict) else docs[::2]  # type: ignore[index]
    assert set(names) == {name for name in COMMANDS}
    assert "summary" in redis_cli(server, "COMMAND", "DOCS", "SET")


def test_redis_cli_hints_while_one_types(server: Server) -> None:
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))  # else it asks the terminal for its size
    environment = os.environ | {"TERM": "xterm", "HISTFILE": "/dev/null", "REDISCLI_HISTFILE": "/dev/null"}
    command = [program("redis-cli"), "-p", str(server.port)]
    cli = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, env=environment, start_new_session=True)
    os.close(end)
    try:
        await_output(terminal, b"> ")
        os.write(terminal, b"hset ")
        await_output(terminal, b"key field value [field value ...]")
    finally:
        cli.kill()
        cli.wait()
        os.close(terminal)


def await_output(terminal: int, wanted: bytes) -> None:
    """Read what is shown until it contains what is wanted."""
    os.set_blocking(terminal, False)
    shown = b""
    deadline = time.monotonic() + 60
    while wanted not in shown:
        assert time.monotonic() < deadline, shown
        try:
            shown += os.read(terminal, 1 << 16)
        except BlockingIOError:
            time.sleep(0.01)


def test_redis_benchmark_runs_through(server: Server) -> None:
    command = [program("redis-benchmark"), "-p", str(server.port), "-t", "set,get", "-P", "16", "-n", "20000", "--csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert '"SET"' in done.stdout and '"GET"' in done.stdout
    assert "rror" not in done.stdout + done.stderr


# The password


@protocols
def test_with_requirepass_only_who_knows_the_password_is_served(protocol: int) -> None:
    with final_server("--requirepass", "secret") as server:
        server.connect().check(request("GET", "k"), b"-NOAUTH Authentication required.\r\n")
        with redis.Redis(port=server.port, protocol=protocol, password="secret") as client:
            assert client.set("k", "v") is True
        with redis.Redis(port=server.port, protocol=protocol, username="default", password="secret") as client:
            assert client.get("k") == b"v"
        with (
            redis.Redis(port=server.port, protocol=protocol, password="wrong", retry=Retry(NoBackoff(), 0)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.get("k")


# Its start and its end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    with final_server(data=tmp_path, appendfsync="no") as server:
        client = server.connect()
        client.check(request("SET", "k", "v"), OK)
        assert server.stop(number) == 0
        client.expect_closed()
        assert server.errors == ""
    with final_server(data=tmp_path) as server:
        assert server.connect().ask("GET", "k") == b"v"


@pytest.mark.parametrize("args", [["SHUTDOWN"], ["SHUTDOWN", "NOSAVE"]], ids=" ".join)
def test_shutdown_ends_it_cleanly_and_has_no_answer(tmp_path: Path, args: list[str]) -> None:
    with final_server(data=tmp_path, appendfsync="no") as server:
        client = server.connect()
        client.send(request("SET", "k", "v") + request(*args))
        client.expect(OK)
        client.expect_closed()
        assert server.wait() == 0
        assert server.errors == ""
    with final_server(data=tmp_path) as server:
        assert server.connect().ask("GET", "k") == b"v"


def refused(folder: Path, *options: str, port: int = 0) -> str:
    """What the server says when it cannot start, in one line."""
    attempt = Server(find("final", 5, Path()), PATIENCE, folder, options=options, port=port)
    try:
        assert attempt.wait() in (1, 2)
        assert "Traceback" not in attempt.errors
        return attempt.errors
    finally:
        attempt.close()


def test_a_taken_port_is_said_in_one_line(server: Server, tmp_path: Path) -> None:
    said = refused(tmp_path, port=server.port)
    assert messages(said).startswith(f"cannot listen on 127.0.0.1:{server.port}: ") and said.count("\n") == 1


def test_options_are_checked_at_the_start(tmp_path: Path) -> None:
    assert "argument(s) must be one of the following: everysec, always, no" in refused(
        tmp_path, "--appendfsync", "sometimes"
    )
    assert "argument must be between 0 and 65535 inclusive" in refused(tmp_path, "--port", "65536")


def test_options_have_their_older_names_too() -> None:
    options = parse_options(["--slave-priority", "7", "--min-slaves-to-write", "2", "--lua-time-limit", "9"])
    assert (options.replica_priority, options.min_replicas_to_write, options.busy_reply_threshold) == (7, 2, 9)


NAMES = ("bind", "dir", "appendfilename", "appenddirname", "dbfilename")  # options that take any text but an empty one


def wrong_values() -> list[list[str]]:
    """Command lines that are wrong, for every option: no value, and values of another kind or out of range."""
    found = [["--nothing"], ["--nothing", "a\nb\x1b[31m"], ["word"], ["--port=1", "a\n"]]
    for option in fields(Options):
        flag = "--" + option.name.replace("_", "-")
        found.append([flag])
        if option.metadata["choices"] or option.metadata["read"] or isinstance(option.default, int):
            three = ["1 2 3"] * (option.name != "latency_tracking_info_percentiles")
            low = ["-99"] * (option.name != "list_max_listpack_size")
            values = ["a\nb\x1b[31m", "x\x85", *low, *three, *["9" * 20] * (not option.metadata["memory"])]
            found += [[flag, value] for value in values if option.name not in NAMES]
        if option.name in NAMES:
            found.append([flag, ""])
    return found


@pytest.mark.parametrize("args", wrong_values(), ids=repr)
def test_a_wrong_option_is_answered_in_one_line(args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_options(args)
    said = capfd.readouterr()
    assert end.value.code == 2 and said.out == ""
    assert said.err.startswith("python -m final: error: ") and said.err.count("\n") == 1
    assert said.err.rstrip("\n").isprintable()


# A bug in a command


def bug() -> Value:
    """BUG: what no command should do."""
    return 1 // 0


def in_process(talk: Callable[[int], Coroutine[None, None, None]]) -> None:
    """Run a server in this process while a conversation with its port goes on."""

    async def run() -> None:
        server = OurServer(Options(port=0, appendonly="no"))
        running = asyncio.create_task(server.run())
        while not server.options.port:
            await asyncio.sleep(0)
        await asyncio.wait_for(talk(server.options.port), 60)
        server.stop()
        await running

    asyncio.run(run())


def test_a_connection_that_has_ended_is_gone_at_once_and_not_when_the_collector_comes() -> None:
    def the_only_one() -> weakref.ref[Connection]:
        (connection,) = [each for each in gc.get_objects() if isinstance(each, Connection)]
        return weakref.ref(connection)

    async def talk(port: int) -> None:
        for ending in (b"PING\r\n", b"QUIT\r\n", b"BLPOP k 0\r\n", b"SUBSCRIBE c\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"PING\r\n")
            assert await reader.readline() == b"+PONG\r\n"
            connection = the_only_one()
            writer.write(ending)
            writer.close()
            while connection():  # `in_process` has a deadline
                await asyncio.sleep(0)

    gc.collect()
    gc.disable()
    try:
        in_process(talk)
    finally:
        gc.enable()


def test_a_bug_in_a_command_that_changes_nothing_closes_that_connection_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(port: int) -> None:
        _, other = streams = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("SET", "k", "v"))
        assert await reader.readexactly(len(OK)) == OK
        writer.write(request("BUG") + request("SET", "k", "after"))
        assert await reader.read() == b""
        other.write(request("GET", "k"))
        assert await streams[0].readexactly(7) == b"$1\r\nv\r\n"
        for each in (writer, other):
            each.close()

    monkeypatch.setitem(COMMANDS, b"bug", describe(bug, (), of=""))
    monkeypatch.setattr(server_log, "handlers", [caplog.handler])
    in_process(talk)
    (record,) = caplog.records
    assert record.exc_info and record.exc_info[0] is ZeroDivisionError
