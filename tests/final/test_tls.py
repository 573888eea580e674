"""TLS: clients that encrypt, beside those that do not, and servers that encrypt to each other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from final.config.options import Options
from final.net import server as final_net_server
from final.net import tls
from final.net.certificates import for_clients
from final.net.endpoints import Endpoint
from stages.harness.ports import free_port
from stages.harness.server import Server
from stages.harness.wire import request as encoded
from tests.support.machine import within
from tests.support.observing import await_true
from tests.support.oracle import final_server, redis_server, skip_without_lua
from tests.support.server_log import messages

TOOLS = """
req -x509 -newkey KEY -nodes -keyout ca.key -out ca.crt -subj /CN=ca -days 2 -addext keyUsage=keyCertSign
req -newkey KEY -nodes -keyout key -out request -subj /CN=localhost
x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -out crt -days 2 -extfile names
ec -in key -aes128 -passout pass:secret -out locked.key
req -x509 -newkey KEY -nodes -keyout other.key -out other.crt -subj /CN=o -days 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates: that of an authority, one that it has signed, and another."""
    if shutil.which("openssl") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no openssl on this machine")
    path = tmp_path_factory.mktemp("certificates")
    (path / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
    for line in TOOLS.strip().splitlines():
        line = line.replace("KEY", "ec -pkeyopt ec_paramgen_curve:prime256v1")
        subprocess.run(["openssl", *line.split()], cwd=path, check=True, capture_output=True)
    return path


def options(folder: Path, **more: object) -> dict[str, str]:
    """Return the options of a server with TLS; clients need no certificate."""
    found = {"tls-port": free_port(), "tls-cert-file": folder / "crt", "tls-key-file": folder / "key"}
    found |= {"tls-ca-cert-file": folder / "ca.crt", "tls-auth-clients": "no"}
    return {name: str(value) for name, value in (found | {n.replace("_", "-"): v for n, v in more.items()}).items()}


def args(chosen: dict[str, str]) -> list[str]:
    """Return options as arguments."""
    return [arg for name, value in chosen.items() for arg in (f"--{name}", value)]


@contextmanager
def serving(folder: Path, *others: str, **more: object) -> Iterator[tuple[Server, int]]:
    """Run a server, and yield its port for TLS too."""
    chosen = options(folder, **more)
    with final_server(*args(chosen), *others) as server:
        yield server, int(chosen["tls-port"])


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[tuple[Server, int]]:
    with serving(folder) as found:
        yield found


@pytest.fixture
def served(running: tuple[Server, int]) -> tuple[Server, int]:
    """A server and its port for TLS, where clients need no certificate."""
    running[0].begin_test()
    running[0].connect().ask("FLUSHALL")
    return running


def client(folder: Path, port: int, **more: Any) -> redis.Redis:
    """A client of redis-py."""
    return redis.Redis("localhost", port, ssl=True, ssl_ca_certs=str(folder / "ca.crt"), **more)


@contextmanager
def connected(folder: Path, port: int) -> Iterator[ssl.SSLSocket]:
    """Connect a socket, with the standard library's TLS."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    with (
        socket.create_connection(("127.0.0.1", port), within(20)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        yield encrypted


def refused(folder: Path, port: int, *certificate: str) -> bool:
    """Connect with TLS, perhaps show a certificate, and return whether the server closes the connection."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if certificate:
        context.load_cert_chain(folder / certificate[0], folder / certificate[1])
    with socket.create_connection(("127.0.0.1", port), within(20)) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as encrypted:
                encrypted.sendall(b"PING\r\n")
                return encrypted.recv(100) != b"+PONG\r\n"
        except OSError:
            return True


# Clients


def test_clients_with_tls_and_without_it_are_served_side_by_side(folder: Path, served: tuple[Server, int]) -> None:
    server, port = served
    one, plain = client(folder, port), server.connect()
    large = os.urandom(3_000_000)
    assert one.set("k", large) and one.get("k") == large and plain.ask("STRLEN", "k") == len(large)
    pipe = one.pipeline(transaction=False)
    for _ in range(20_000):
        pipe.incr("n")
    assert pipe.execute() == list(range(1, 20_001))
    heard = one.pubsub()  # type: ignore[no-untyped-call]
    heard.subscribe("c")
    assert heard.get_message(timeout=within(10))["type"] == "subscribe"
    plain.ask("PUBLISH", "c", "hello")
    assert heard.get_message(timeout=within(10))["data"] == b"hello"
    assert one.info("server")["tcp_port"] == server.port
    assert {each["laddr"] for each in one.client_list()} == {f"127.0.0.1:{port}", f"127.0.0.1:{server.port}"}


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="there is no redis-cli on this machine")
def test_redis_cli_speaks_tls(folder: Path, served: tuple[Server, int]) -> None:
    _, port = served
    command = ["redis-cli", "--tls", "--cacert", str(folder / "ca.crt"), "-p", str(port), "ECHO", "hello"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=within(20)).stdout == "hello\n"


def test_what_a_client_sends_before_it_ends_is_answered_whatever_the_chunks(
    folder: Path, served: tuple[Server, int]
) -> None:
    _, port = served
    with socket.create_connection(("127.0.0.1", port), within(20)) as plain:
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = context.wrap_bio(incoming, outgoing, server_hostname="localhost")

        def move() -> bool:
            """Send what there is, byte by byte; then receive something, and return whether there was anything."""
            for byte in outgoing.read():
                plain.send(bytes([byte]))
            received = plain.recv(100)
            incoming.write(received)
            return bool(received)

        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                ours.do_handshake()
                break
            except ssl.SSLWantReadError:
                assert move()
        for number in range(20):
            ours.write(encoded("ECHO", "x" * number))
        with pytest.raises(ssl.SSLWantReadError):
            ours.unwrap()
        while move():
            pass
        answers = b""
        with pytest.raises(ssl.SSLZeroReturnError):  # the server has ended it in good order
            while True:
                answers += ours.read(1000)
        assert answers == b"".join(b"$%d\r\n%s\r\n" % (number, b"x" * number) for number in range(20))


def test_a_client_that_does_not_read_gets_all_in_order_later(folder: Path, served: tuple[Server, int]) -> None:
    server, port = served
    with connected(folder, port) as slow:
        server.connect().ask("SET", "k", value := os.urandom(1_000_000).hex())
        slow.sendall(b"GET k\r\n" * 20 + b"PING\r\n")
        assert server.connect().ask("PING") == "PONG"  # others are served
        file = slow.makefile("rb")
        for _ in range(20):
            assert file.readline() == b"$2000000\r\n" and file.read(2_000_002) == f"{value}\r\n".encode()
        assert file.readline() == b"+PONG\r\n"


def test_a_client_whose_output_is_too_long_is_cut_off(folder: Path) -> None:
    with serving(folder, "--client-output-buffer-limit", "normal", "1mb", "0", "0") as (server, port):
        with connected(folder, port) as slow:
            server.connect().ask("SET", "k", "x" * 2_000_000)
            slow.sendall(b"GET k\r\n" * 20)
            await_true(lambda: "is cut off: output buffer limits" in server.errors, "the client is cut off")
        assert client(folder, port).ping()


def test_while_a_script_runs_clients_with_tls_are_told_so_and_can_end_it(folder: Path) -> None:
    skip_without_lua(["eval"])
    with serving(folder, "--busy-reply-threshold", "1") as (_, port):
        old, running = client(folder, port, single_connection_client=True), client(folder, port)
        old.ping()
        ended: list[str] = []

        def run() -> None:
            with pytest.raises(redis.ResponseError) as error:
                running.eval("while true do end", 0)
            ended.append(str(error.value))

        thread = threading.Thread(target=run)
        thread.start()

        def busy() -> bool:
            try:
                old.get("k")
            except redis.ResponseError as error:
                return "BUSY" in str(error)
            return False

        await_true(busy, "it is busy")
        with pytest.raises(redis.ResponseError, match="BUSY"):
            client(folder, port).get("k")  # a new connection: even its handshake needs no event loop
        assert client(folder, port).script_kill()
        thread.join(within(20))
        assert "Script killed by user" in ended[0] and old.set("k", "v") and running.get("k") == b"v"


# Who is refused


def test_clients_that_must_show_a_certificate_are_asked_for_one(folder: Path) -> None:
    with serving(folder, tls_auth_clients="yes") as (server, port):
        admin = server.connect()
        assert refused(folder, port) and refused(folder, port, "other.crt", "other.key")
        assert not refused(folder, port, "crt", "key")
        await_true(lambda: "peer did not return a certificate" in server.errors, "a line in the log")
        assert admin.ask("CONFIG", "SET", "tls-auth-clients", "optional") == "OK"
        assert not refused(folder, port) and refused(folder, port, "other.crt", "other.key")
        assert admin.ask("CONFIG", "SET", "tls-auth-clients", "no") == "OK"
        assert not refused(folder, port) and not refused(folder, port, "other.crt", "other.key")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_can_resume_its_session(folder: Path, served: tuple[Server, int], version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.minimum_version = context.maximum_version = version
    session, resumed = None, list[bool | None]()
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", served[1]), within(20)) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as encrypted,
        ):
            encrypted.sendall(b"PING\r\n")
            assert encrypted.recv(9) == b"+PONG\r\n"  # with TLSv1.3 the ticket has come, too
            session, resumed = encrypted.session, [*resumed, encrypted.session_reused]
    assert resumed == [False, True]


def test_a_client_that_speaks_no_tls_is_disconnected(folder: Path, served: tuple[Server, int]) -> None:
    server, port = served
    for sent in (b"PING\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\x00"):
        with socket.create_connection(("127.0.0.1", port), within(20)) as plain:
            answer = b""
            with contextlib.suppress(OSError):  # the server may have reset the connection already
                plain.sendall(sent)
                plain.shutdown(socket.SHUT_WR)
                answer = plain.recv(1000)
            assert answer[:1] in (b"", b"\x15")  # an alert of TLS
    admin = server.connect()
    await_true(lambda: f"laddr=127.0.0.1:{port}" not in str(admin.ask("CLIENT", "LIST")), "they have gone")
    await_true(lambda: server.errors.count("\n") == 4, "a line in the log for each")
    assert messages(server.errors).startswith("Error accepting a client connection: wrong version number\n")
    assert client(folder, port).ping()


def test_a_handshake_that_does_not_end_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE", 0.05)

    async def half_open() -> None:
        chosen = Options(appendonly="no", **{n.replace("-", "_"): v for n, v in options(folder).items()})  # type: ignore[arg-type]
        served = final_net_server.Server(chosen)
        served.listener.open([Endpoint("127.0.0.1", tls=True)])
        served.listener.context = for_clients(chosen)
        reader, writer = await asyncio.open_connection("127.0.0.1", served.listener.first().port)
        writer.write(b"\x16\x03")
        assert await asyncio.wait_for(reader.read(), within(20)) == b""
        writer.close()
        while served.connections:
            await asyncio.sleep(0)
        assert not served.engine.clients
        served.listener.close()

    asyncio.run(half_open())


# The options

SETS: list[dict[str, str]] = [
    {"tls-port": "PORT"},
    {"tls-port": "PORT", "tls-cert-file": "crt", "tls-key-file": "nosuch"},
    {"tls-port": "PORT", "tls-cert-file": "crt", "tls-key-file": "key"},
    {"tls-port": "PORT", "tls-cert-file": "crt", "tls-key-file": "key", "tls-ca-cert-file": "ca.crt"},
    {"tls-cert-file": "other.crt"},
    {"tls-cert-file": "other.crt", "tls-key-file": "other.key"},
    {"tls-cert-file": "nosuch"},
    {"tls-key-file": "locked.key", "tls-cert-file": "crt"},
    {"tls-key-file": "locked.key", "tls-cert-file": "crt", "tls-key-file-pass": "wrong"},
    {"tls-key-file": "locked.key", "tls-cert-file": "crt", "tls-key-file-pass": "secret"},
    {"tls-protocols": "SSLv2"},
    {"tls-protocols": "tlsv1.3"},
    {"tls-protocols": "TLSv1.2\nTLSv1.3"},
    {"tls-protocols": ""},
    {"tls-ciphers": "nosuch"},
    {"tls-ciphers": "HIGH"},
    {"tls-prefer-server-ciphers": "yes"},
    {"tls-dh-params-file": "/nosuch"},
    {"tls-ca-cert-file": "nosuch"},
    {"tls-ca-cert-file": ""},
    {"tls-ca-cert-file": "", "tls-ca-cert-dir": "/"},
    {"tls-ca-cert-file": "", "tls-ca-cert-dir": "", "tls-auth-clients": "no"},
    {"tls-replication": "yes"},
    {"tls-client-cert-file": "nosuch"},
    {"tls-port": "MINE"},
    {"tls-port": "70000"},
    {"tls-port": "0", "tls-cert-file": "nosuch"},
    {"tls-cert-file": "crt"},
    {"tls-port": "PORT"},
    {"hz": "11", "tls-ciphers": "", "tls-port": "PORT"},
    {"tls-cert-file": ""},
]


def answers_of(start: Any, folder: Path) -> Iterator[object]:
    """Yield the answers of a server to each of SETS, and what it then has for the options of TLS."""
    with start("--dir", str(folder)) as server:
        ports = {"PORT": str(free_port()), "MINE": str(server.port)}
        names = {name for each in SETS for name in each}
        for each in SETS:
            given = {name: ports.get(value, value) for name, value in each.items()}
            answer = server.connect().ask("CONFIG", "SET", *(arg for pair in given.items() for arg in pair))
            now = {name: server.connect().ask("CONFIG", "GET", name)[1].decode() for name in sorted(names)}
            yield each, str(answer), {name: "PORT" if value in ports.values() else value for name, value in now.items()}


def test_the_options_are_set_and_refused_as_in_redis(folder: Path) -> None:
    for ours, theirs in zip(answers_of(final_server, folder), answers_of(redis_server, folder), strict=True):
        assert ours == theirs


@pytest.mark.slow
def test_a_port_without_tls_is_not_needed_and_a_certificate_is(folder: Path) -> None:
    with serving(folder) as (server, port):
        one = client(folder, port)
        assert one.config_set("port", 0) and one.info("server")["tcp_port"] == port
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
    with (
        pytest.raises(Exception, match="before it accepted connections") as error,
        final_server("--tls-port", str(port)),
    ):
        pass
    assert messages(error.value.trace) == "cannot configure TLS: No tls-cert-file configured!\n"  # type: ignore[attr-defined]


# Servers


@pytest.mark.slow
@pytest.mark.parametrize("primary", [final_server, redis_server], ids=["of final", "of Redis"])
@pytest.mark.parametrize("replica", [final_server, redis_server], ids=["final", "Redis"])
def test_replicas_speak_tls(folder: Path, primary: Any, replica: Any) -> None:
    chosen = options(folder, tls_replication="yes", tls_auth_clients="yes", repl_diskless_sync_delay="0")
    others = options(folder, tls_replication="yes", tls_ca_cert_file=folder / "other.crt")
    with primary(*args(chosen)) as first, replica(*args(chosen | {"tls-port": others["tls-port"]})) as second:
        first.connect().ask("SET", "large", "x" * 1_000_000)
        follower = second.connect()
        assert follower.ask("REPLICAOF", "localhost", chosen["tls-port"]) == "OK"
        await_true(lambda: follower.ask("STRLEN", "large") == 1_000_000, "it has the data")
        first.connect().ask("SET", "k", "v")
        await_true(lambda: follower.ask("GET", "k") == b"v", "it follows")
        found = first.connect().ask("INFO", "replication")
        assert isinstance(found, bytes) and f"port={others['tls-port']},state=online".encode() in found
        if replica is final_server and primary is final_server:
            follower.ask("CONFIG", "SET", "tls-ca-cert-file", others["tls-ca-cert-file"])
            follower.ask("REPLICAOF", "127.0.0.1", chosen["tls-port"])
            await_true(lambda: "certificate verify failed" in second.errors, "a primary that is not trusted")


@pytest.mark.slow
def test_migrate_speaks_tls(folder: Path) -> None:
    with serving(folder) as (target, port), serving(folder, tls_cluster="yes") as (source, _):
        source.connect().ask("SET", "k", "v")
        assert source.connect().ask("MIGRATE", "localhost", port, "k", 0, 10_000) == "OK"
        assert target.connect().ask("GET", "k") == b"v" and source.connect().ask("GET", "k") is None
