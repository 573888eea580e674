"""Options: every one of Redis's is taken and refused as there; configuration files, and what they change."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from final.__main__ import parse_options
from final.config import file
from final.config.options import NAMES, Options
from final.protocol.errors import ReplyError
from stages.harness.course import ROOT
from stages.harness.ports import free_port
from stages.harness.wire import request
from tests.support.machine import within
from tests.support.observing import await_true
from tests.support.oracle import InProcess, OverTheWire, final_server, redis_server
from tests.support.server_log import messages

ONCE = Retry(NoBackoff(), 0)
VALUES = (
    "yes", "no", "", "0", "1", "-1", "10", "1025", "70000", "3000000000", "9" * 19, "9" * 20, "1mb", "5%", "x y",
    "a b c", "1 2 3", "50 99", "local", "default", "allkeys-lru", "notice", "007", "50 99.90 101", "99.90 0.1", "1  2",
    "3 2 1", "0 0 2001", "1 2\n3", "normal 0 0\n0", "normal 0 0 1", "50\nhz 5", "{title}\nx", "{x} {title", "a.b-c",
    "101%",
)  # fmt: skip
# What CONFIG SET would do to the connection, to the disk or to other tests
UNSET = {"port", "bind", "requirepass", "dir", "appendonly", "tls-port", "cluster-enabled", "maxclients", "maxmemory"}
UNSET |= {"timeout", "save", "bind-source-addr", "unixsocket", "repl-backlog-size", "busy-reply-threshold"}
UNSET |= {"lua-time-limit", "client-query-buffer-limit"}
UNSET |= {"oom-score-adj", "tls-cluster", "tls-replication"}
OTHER_CHECKS = {"activedefrag", "cluster-link-sendbuf-limit", "maxmemory-clients"}


def test_every_option_of_redis_is_here_and_is_set_as_there() -> None:
    peer = InProcess()
    different: list[object] = []
    with redis_server() as server:
        client = server.connect()
        theirs = OverTheWire(client)
        answer: Any = client.ask("CONFIG", "GET", "*")
        names = [name.decode() for name in answer[::2]]
        assert len(names) > 190 and set(names) <= set(NAMES)
        checked = sorted(set(names) & set(NAMES) - UNSET - OTHER_CHECKS)
        asked = [[b"CONFIG", b"SET", name.encode(), value.encode()] for name in checked for value in VALUES]
        for args, wanted, got in zip(asked, theirs.ask_all(asked), peer.ask_all(asked), strict=True):
            different += [(args, wanted, got)] if got != wanted else []
    assert different == []


def test_what_it_would_be_wrong_to_take_is_refused() -> None:
    peer = InProcess()
    assert "can't set immutable config" in peer.ask("CONFIG SET cluster-enabled yes")
    assert "this server does not have what it turns on" in peer.ask("CONFIG SET activedefrag yes")


# Configuration files

FILE = """# my file
port {port}
save 900 1

# a comment
maxmemory 100mb
   Timeout   5
hash-max-ziplist-entries 100
appendonly no
tcp-keepalive 60
client-output-buffer-limit normal 1mb 1mb 5
timeout 7
notify-keyspace-events Ex
masteruser "a b"
dir "{folder}"
hz 10
include {folder}/other.conf
slowlog-max-len 5
"""
SETS = (
    (
        "maxmemory",
        "200mb",
        "hz",
        "20",
        "save",
        "100 2 200 3",
        "slowlog-max-len",
        "128",
        "notify-keyspace-events",
        "KEA",
    ),
    ("repl-backlog-size", "1048577", "masterauth", 'x"y\n', "lfu-log-factor", "11", "appendfsync", "always"),
    ("oom-score-adj-values", "1 2 3", "latency-tracking-info-percentiles", "50 99", "maxmemory-clients", "5%"),
    ("client-query-buffer-limit", "2000000", "list-max-listpack-size", "-3", "loglevel", "verbose"),
    ("REWRITE",),
    ("save", "", "client-output-buffer-limit", "pubsub 5mb 2mb 10", "repl-backlog-size", "3gb", "maxmemory", "1gb"),
    ("notify-keyspace-events", "", "masteruser", "", "timeout", "0"),
    ("REWRITE",),
)


def rewritten_by(command: list[str], folder: Path) -> list[list[str]]:
    """Start a server with a configuration file, set options, and return the lines of the file after each REWRITE."""
    port = free_port()
    path = folder / "redis.conf"
    path.write_text(FILE.format(port=port, folder=folder))
    (folder / "other.conf").write_text("databases 20\n")
    process = subprocess.Popen([*command, str(path)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port, retry=ONCE)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        await_true(answers, "it answers")
        found = []
        for args in SETS:
            if args == ("REWRITE",):
                assert client.config_rewrite()
                text = path.read_text().replace(str(port), "PORT").replace(str(folder), "FOLDER")
                found.append(text.splitlines())
            else:
                client.execute_command("CONFIG", "SET", *args)  # type: ignore[no-untyped-call]
        return found
    finally:
        process.kill()
        process.wait()


def test_config_rewrite_writes_what_redis_writes(tmp_path: Path) -> None:
    path = shutil.which("redis-server")
    if path is None:
        pytest.skip("there is no redis-server on this machine")
    folders = [tmp_path / name for name in ("ours", "theirs")]
    for each in folders:
        each.mkdir()
    ours = rewritten_by([sys.executable, "-m", "final"], folders[0])
    theirs = rewritten_by([path], folders[1])
    for got, wanted in zip(ours, theirs, strict=True):
        at = got.index(file.GENERATED)
        assert got[:at] == wanted[:at]  # what follows has another order: in Redis that of a hash table
        assert sorted(filter(None, got)) == sorted(filter(None, wanted))


def test_a_file_is_rewritten_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("port 1\n")
    path.chmod(0o640)
    options = parse_options([str(path), "--hz", "50"])
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        file.rewrite(options)
    assert path.read_text() == "port 1\n" and os.listdir(tmp_path) == ["redis.conf"]
    monkeypatch.undo()
    file.rewrite(options)
    assert "hz 50\n" in path.read_text() and stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_that_was_changed_or_removed_meanwhile_is_rewritten_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("hz 50\n")
    options = parse_options([str(path)])
    path.write_text('hz 60\nport "1\n')
    file.rewrite(options)
    assert path.read_text().startswith('hz 50\n# ??? port "1\n')
    path.unlink()
    file.rewrite(options)
    assert "hz 50\n" in path.read_text()


def test_what_config_set_takes_is_one_line_of_the_file_and_read_back_as_it_is() -> None:
    for value in [*VALUES, "a\nmaxclients 5", 'x "y\\', "127.0.0.1\n127.0.0.2", "normal 1 1 1\npubsub 0 0 0"]:
        options, again = Options(), Options()
        for name in NAMES:
            with contextlib.suppress(ReplyError):
                options.set([(name, value)])
        text = file.rewritten("", options)
        file.apply(again, filter(None, map(file.read_line, os.fsencode(text).split(b"\n"))))
        assert vars(again) == vars(options), text
    options.replicaof = "host\nmaxclients 5 6379"  # REPLICAOF takes any name of a host
    assert 'replicaof "host\\nmaxclients" 5 6379\n' in file.rewritten("", options)


def test_lines_that_the_file_cannot_have_are_kept_as_comments() -> None:
    text = 'foo bar\n\tport\nrename-command a b\ninclude x\n  # c "\nmaxclients "5\n'
    kept = '# ??? foo bar\nport 6379\nrename-command a b\ninclude x\n# c "\n# ??? maxclients "5\n'
    assert file.rewritten(text, Options()).startswith(kept)
    assert file.rewritten("", Options()).startswith(file.GENERATED)


WRONG = {
    "port": ", line 1: wrong number of arguments",
    "port 1 2": ", line 1: wrong number of arguments",
    "# a\n\nport x": ", line 3: argument couldn't be parsed into an integer",
    "nothing such": ", line 1: there is no option 'nothing'",
    'dir "x': ", line 1: Unbalanced quotes in configuration line",
    "include": ", line 1: wrong number of arguments",
    "include {path}": ": includes in includes",
    "include /no/such": "cannot open the configuration file /no/such: No such file or directory",
    "cluster-enabled yes": ", line 1: argument must be no",
    "loadmodule /x.so": ", line 1: this server has no modules",
    "rename-command get": ", line 1: there is no option 'rename-command', or not with these arguments",
    "save 1": ", line 1: Invalid save parameters",
}


@pytest.mark.parametrize("text", WRONG)
def test_an_error_in_a_file_is_said_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "redis.conf"
    path.write_text(text.format(path=path))
    with pytest.raises(SystemExit) as end:
        parse_options([str(path)])
    said = capfd.readouterr().err
    assert end.value.code == 2 and WRONG[text] in said and said.count("\n") == 1


def test_files_include_others_and_the_command_line_comes_last(tmp_path: Path) -> None:
    for name, text in (("1.conf", "hz 11\nsave 1 2\n"), ("2.conf", "hz 12\r\ntimeout 3"), ("main", "")):
        (tmp_path / name).write_text(text)
    main = tmp_path / "main"
    main.write_text(f'hz 5\ninclude {tmp_path}/*.conf\nrequirepass "a\\x41 \\"" # no comment\n')
    with pytest.raises(SystemExit):
        parse_options([str(main)])
    main.write_text(f'hz 5\nsave 9 9\ninclude {tmp_path}/*.conf\nrequirepass "a\\x41 \\""\n')
    options = parse_options([str(main), "--timeout", "7", "--save", "5", "6"])
    assert (options.hz, options.timeout, options.requirepass) == (12, 7, 'aA "')
    assert str(options.save) == "9 9 1 2 5 6"
    assert str(parse_options([str(main), "--save", ""]).save) == ""


@pytest.mark.parametrize(
    ("text", "args", "points"),
    [
        ("appendonly no", [], "3600 1 300 100 60 10000"),
        ("hz 10", ["--appendonly", "no"], "3600 1 300 100 60 10000"),
        ("appendonly no\nsave 9 9", [], "9 9"),
        ("appendonly no", ["--save", ""], ""),
        ("appendonly yes", [], ""),
        ("hz 10", [], ""),
        (None, ["--appendonly", "no"], ""),
    ],
)
def test_a_file_that_wants_no_log_has_the_save_points_of_redis(
    text: str | None, args: list[str], points: str, tmp_path: Path
) -> None:
    path = tmp_path / "redis.conf"
    path.write_text(text or "")
    options = parse_options([*([str(path)] if text else []), *args])
    assert str(options.save) == points


def test_a_server_that_keeps_nothing_keeps_nothing_after_config_rewrite(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("hz 10")
    options = parse_options([str(path)])
    options.appendonly = "no"  # CONFIG SET
    file.rewrite(options)
    assert str(parse_options([str(path)]).save) == ""


DEBIAN = Path("/etc/redis/redis.conf")


@pytest.mark.skipif(not os.access(DEBIAN, os.R_OK), reason="Debian's redis.conf is not on this machine")
def test_the_configuration_that_debian_installs_starts_this_server(tmp_path: Path) -> None:
    options = Options()
    file.apply(options, file.read(str(DEBIAN)))
    assert options.bind == "127.0.0.1 -::1" and options.daemonize == "yes"
    config = tmp_path / "redis.conf"
    config.write_bytes(DEBIAN.read_bytes())
    log, pid, port = tmp_path / "log", tmp_path / "pid", free_port()
    changes = ("--port", port, "--dir", tmp_path, "--logfile", log, "--pidfile", pid, "--supervised", "no")
    done = subprocess.run([sys.executable, "-m", "final", config, *map(str, changes)], cwd=ROOT, timeout=within(20))
    assert done.returncode == 0
    await_true(lambda: pid.exists() and pid.read_text().endswith("\n"), "the process id is there")
    process = int(pid.read_text())
    try:

        def answers() -> bool:
            try:
                return bool(redis.Redis(port=port, retry=ONCE).ping())
            except redis.ConnectionError:
                return False

        await_true(answers, "it answers")
        assert os.getsid(process) == process
    finally:
        os.kill(process, signal.SIGTERM)
    await_true(lambda: not pid.exists(), "the server removes its files")


# What options do


def test_a_server_listens_on_a_unix_socket_too() -> None:
    with (
        TemporaryDirectory() as folder,
        final_server(  # its path is short, as that of a socket has to be
            "--unixsocket", f"{folder}/s", "--unixsocketperm", "700"
        ) as server,
    ):
        client = redis.Redis(unix_socket_path=f"{folder}/s")
        assert client.set("k", b"v" * 1_000_000) and client.get("k") == b"v" * 1_000_000
        assert server.connect().ask("STRLEN", "k") == 1_000_000
        mine = next(each for each in client.client_list() if each["cmd"] == "client|list")
        assert mine["addr"] == mine["laddr"] == f"{folder}/s:0"
        assert stat.S_IMODE(os.stat(f"{folder}/s").st_mode) == 0o700
        assert client.config_get("unixsocketperm") == {"unixsocketperm": "700"}
        assert server.stop() == 0 and os.listdir(folder) == []


def test_a_unix_socket_that_a_killed_server_has_left_is_replaced() -> None:
    with TemporaryDirectory() as folder:
        for _ in range(2):
            with final_server("--unixsocket", f"{folder}/s") as server:
                assert redis.Redis(unix_socket_path=f"{folder}/s").ping()
                server.kill()


def test_a_unix_socket_that_another_server_has_taken_over_is_left_to_it() -> None:
    with (
        TemporaryDirectory() as folder,
        final_server("--unixsocket", f"{folder}/s") as first,
        final_server("--unixsocket", f"{folder}/s") as other,
    ):
        assert first.stop() == 0
        with redis.Redis(unix_socket_path=f"{folder}/s") as client:
            assert client.ping()
        assert other.stop() == 0 and os.listdir(folder) == []


def test_the_port_and_the_addresses_can_be_changed() -> None:
    with final_server() as server, final_server() as other:
        client = server.connect()
        port = free_port()
        assert client.ask("CONFIG", "SET", "port", port) == "OK"
        assert redis.Redis(port=port).ping()
        refused = client.ask("CONFIG", "SET", "port", other.port)
        assert str(refused).endswith("argument 'port') - Unable to listen on this port. Check server logs.")
        refused = client.ask("CONFIG", "SET", "bind", "192.0.2.1")
        assert str(refused).endswith("argument 'bind') - Failed to bind to specified addresses.")
        assert client.ask("CONFIG", "GET", "port", "bind") == [b"port", b"%d" % port, b"bind", b"127.0.0.1"]
        assert client.ask("CONFIG", "SET", "bind", "127.0.0.2 -192.0.2.1") == "OK"
        assert redis.Redis("127.0.0.2", port).ping()
        with pytest.raises(redis.ConnectionError):
            redis.Redis(port=port, retry=ONCE).ping()


def test_if_one_option_is_refused_the_port_stays_as_it_is() -> None:
    with final_server() as server:
        client = server.connect()
        refused = client.ask("CONFIG", "SET", "port", free_port(), "maxclients", 2**31)
        assert "The operating system is not able to handle the specified number of clients" in str(refused)
        assert client.ask("CONFIG", "GET", "port") == [b"port", b"%d" % server.port]
        assert server.connect().ask("PING") == "PONG"


def test_the_server_log_goes_to_a_file_from_a_level_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with final_server("--logfile", str(log), "--loglevel", "warning") as server:
        client = server.connect()
        client.send(request("REPLICAOF", "127.0.0.1", 1))
        client.expect(b"+OK\r\n")
        await_true(lambda: "no replication from" in log.read_text(), "a warning")
        assert server.errors == "" and messages(log.read_text()).count("\n") == 1
        log.rename(tmp_path / "old")
        client.ask("CONFIG", "SET", "loglevel", "notice")
        client.ask("REPLICAOF", "127.0.0.1", 2)
        await_true(lambda: log.exists() and "no replication from" in log.read_text(), "a new file")
