"""How often commands are called and how long they take, as INFO and LATENCY tell: as a real Redis."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from final.engine.call_stats import MOST, CallStats
from final.latency import SAMPLES
from stages.harness.server import Server
from stages.harness.wire import Client, request
from tests.support.oracle import InProcess, args_of, skip_without_lua
from tests.support.rewriting import finish
from tests.support.sequences import shapes
from tests.support.shared import Shared


def info(client: Client, *sections: str) -> dict[str, str]:
    """Fields of INFO."""
    text = client.ask("INFO", *sections)
    assert isinstance(text, bytes)
    return dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)


# Each line is sent to both servers, and then the counts of INFO commandstats are compared.
COUNTED = """
GET | GET a b | LPUSH l 1 | GET l | NOSUCH | CONFIG NOSUCH | CONFIG | CONFIG GET port x y | CLIENT ID
MULTI | SET k v | LPUSH k 1 | GET | EXEC | EXEC | DISCARD | MULTI | MULTI | WATCH a | EXEC
MULTI | SET k v | LPUSH k 1 | GET k | EXEC | WATCH k | UNWATCH
GET a | GET b | SET a 1 | SET b 2 | GET a | INCR a | INCR b | LPUSH a 1 | GET b | get b | Get b | INCR l | LLEN l
BLPOP none 0.01 | BLMOVE l m LEFT LEFT 0 | MULTI | BLPOP none 0 | EXEC | WAIT 0 0
EVAL "return redis.call('lpush', 'a', '1')" 0 | EVAL "redis.pcall('lpush', 'a', '1') return 1" 0
EVAL "return {redis.pcall('lpush', 'a', '1'), redis.pcall('lpush', 'a', '1')}" 0 | EVALSHA x 0
EVAL "redis.pcall('get') redis.pcall('nosuch') redis.pcall('subscribe', 'a') return 1" 0 | EVAL "error('x')" 0
EVAL "return redis.call('get')" 0 | EVAL "return redis.error_reply('ERR x')" 0 | EVAL "return redis.call('ping')" 0
ACL SETUSER u on nopass +@all -config ~a* | AUTH u x | GET b | CONFIG GET port | MULTI | GET b | EXEC | GET a | AUTH u
CONFIG SET maxmemory 1 | EXPIRE a 100 | CONFIG SET maxmemory 0 | SET s x EX 10 | GETEX s EX 9
SUBSCRIBE c | GET k | PING | UNSUBSCRIBE c | RESET | SELECT 99 | AUTH x y | HELLO 9 | UNLINK s | OBJECT ENCODING a
"""


@pytest.mark.parametrize("line", COUNTED.strip().splitlines())
def test_calls_refusals_and_failures_are_counted_as_in_redis(servers: list[Shared], line: str) -> None:
    skip_without_lua([line])
    counted = []
    for shared in servers:
        server = shared.clean()
        admin, client = server.connect(), server.connect()
        for setup in ("DEL k", "SET b 1", "SET a 1", "DEL l", "RPUSH l 1", "CONFIG RESETSTAT"):
            admin.ask(*args_of(setup))
        asked = [args_of(each) for each in shapes(line)]
        client.send(b"".join(request(*each) for each in asked))
        for _ in asked:
            client.read_reply()
        told = info(admin, "commandstats", "errorstats", "stats")
        names = [name for name in told if re.match("cmdstat|errorstat|total_commands|total_error", name)]
        admin.ask("ACL", "DELUSER", "u")
        counted.append({name: re.sub("usec.*?,", "", told[name]) for name in names})
    assert counted[0] == counted[1]


def test_each_request_of_a_pipeline_is_counted(server: Server) -> None:
    client = server.connect()
    requests = [args_of(line) for line in shapes("GET a | SET a 1 | GET a | INCR a | LPUSH a 1 | GET b | GET a") * 300]
    client.send(b"".join(request(*each) for each in requests))
    for _ in requests:
        client.read_reply()
    assert {name: numbers(client, name)["calls"] for name in ("get", "set", "incr", "lpush")} == {
        "get": 1200, "set": 300, "incr": 300, "lpush": 300,
    }  # fmt: skip
    assert numbers(client, "lpush")["failed_calls"] == 300


def numbers(client: Client, name: str) -> dict[str, float]:
    """What INFO says of a command."""
    told = info(client, "commandstats")[f"cmdstat_{name}"]
    return {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", told)}


def test_the_time_of_a_call_is_told_as_sum_average_percentiles_and_histogram(server: Server) -> None:
    client = server.connect()
    for seconds in "0.02", "0", "0":
        client.ask("DEBUG", "SLEEP", seconds)
    told = numbers(client, "debug")
    assert told["calls"] == 3 and told["usec"] >= 20_000
    assert told["usec_per_call"] == pytest.approx(told["usec"] / 3, abs=0.01)
    client.ask("CONFIG", "SET", "latency-tracking-info-percentiles", "0 50 100")
    percentiles = info(client, "latencystats")["latency_percentiles_usec_debug"]
    least, half, most = (float(each.partition("=")[2]) for each in percentiles.split(","))
    assert least <= half <= most and most >= 20_000
    (name, (_, calls, _, limits)) = histogram(client, "debug", "nosuch")
    assert (name, calls) == (b"debug", 3)
    assert limits[-1] == 3 and limits[-2] >= most // 1000
    assert all(limit in {highest // 1000 for highest in LIMITS} for limit in limits[::2])


LIMITS = [(1024 << step) + ((8 << step) - 1) for step in range(20)]  # nanoseconds


def histogram(client: Client, *commands: str) -> Any:
    """The reply to LATENCY HISTOGRAM."""
    return client.ask("LATENCY", "HISTOGRAM", *commands)


def test_a_container_stands_for_its_subcommands(server: Server) -> None:
    client = server.connect()
    for line in "SLOWLOG LEN", "SLOWLOG GET", "CONFIG GET port", "SLOWLOG NOSUCH":
        client.ask(*args_of(line))
    assert {*histogram(client, "slowlog", "CONFIG|GET")[::2]} == {b"slowlog|len", b"slowlog|get", b"config|get"}


def test_calls_are_counted_but_not_measured_while_tracking_is_off(server: Server) -> None:
    client = server.connect()
    client.ask("GET", "a")
    client.ask("CONFIG", "SET", "latency-tracking", "no")
    client.ask("GET", "a")
    assert client.ask("INFO", "latencystats") == b"# Latencystats\r\n"
    client.ask("CONFIG", "SET", "latency-tracking", "yes")
    assert histogram(client, "get")[1][1] == 1
    assert numbers(client, "get")["calls"] == 2


def test_a_call_that_waits_is_measured_when_it_is_served(server: Server) -> None:
    client, other = server.connect(), server.connect()
    client.send(request("BLPOP", "l", 0))
    while "blocked_clients:1" not in str(other.ask("INFO", "clients")):
        pass
    assert numbers(other, "blpop")["calls"] == 1
    assert histogram(other, "blpop") == []
    other.ask("RPUSH", "l", 1)
    client.read_reply()
    assert numbers(other, "blpop")["calls"] == 1
    assert histogram(other, "blpop")[1][1] == 1


def test_a_call_that_has_timed_out_is_in_no_histogram(servers: list[Shared]) -> None:
    told = []
    for shared in servers:
        client, other = shared.clean().connect(), shared.server.connect()
        client.ask("CONFIG", "RESETSTAT")
        client.ask("BLPOP", "none", "0.01")
        found = [histogram(other, "blpop")]
        number = str(client.ask("CLIENT", "ID"))
        for how in ("TIMEOUT", "ERROR"):
            client.send(request("BLPOP", "none", 0))
            while other.ask("CLIENT", "UNBLOCK", number, how) != 1:
                pass
            client.read_reply()
            counted = numbers(other, "blpop")
            found.append((histogram(other, "blpop")[1][1], counted["calls"], counted["failed_calls"]))
        told.append(found)
    assert told[0] == told[1]


def test_long_durations_are_rounded_and_their_sum_is_kept() -> None:
    stats = CallStats()
    durations = range(1, 50_000, 7)
    for each in durations:
        stats.add("get", each / 1e6)
    before = stats.distribution("get")
    stats.round_long()
    assert len(stats.long["get"]) < MOST / 2
    assert (stats.calls("get"), stats.microseconds("get")) == (len(durations), sum(durations))
    assert sum(stats.distribution("get").values()) == sum(before.values())


# The latency monitor


def test_what_takes_long_is_an_event(server: Server) -> None:
    client = server.connect()
    client.ask("DEBUG", "SLEEP", "0.01")
    assert client.ask("LATENCY", "LATEST") == []
    assert doctor(client).startswith("I'm sorry, Dave, I can't do that.")
    client.ask("CONFIG", "SET", "latency-monitor-threshold", 9)
    assert doctor(client).startswith("Dave, no latency spike was observed")
    client.ask("DEBUG", "SLEEP", "0.01")
    ((name, when, last, most),) = lists(client.ask("LATENCY", "LATEST"))
    assert name == b"command" and last == most >= 10
    assert client.ask("LATENCY", "HISTORY", "command") == [[when, last]]
    assert client.ask("LATENCY", "HISTORY", "fork") == []
    about = f"average {last}ms, mean deviation 0ms, period 1.00 sec"
    assert f"1. command: 1 latency spikes ({about}). Worst all time event {last}ms." in doctor(client)
    assert str(client.ask("LATENCY", "GRAPH", "fork")) == "ERR No samples available for event 'fork'"
    graph = client.ask("LATENCY", "GRAPH", "command")
    assert isinstance(graph, bytes)
    first, line, *drawn = graph.decode().split("\n")
    assert first == f"command - high {last} ms, low {last} ms (all time high {last} ms)"
    assert (line, drawn[:5]) == ("-" * 80, [" ", " ", " ", "_", " "])
    assert client.ask("LATENCY", "RESET", "fork", "COMMAND") == 1
    assert client.ask("LATENCY", "RESET") == 0


def doctor(client: Client) -> str:
    """The reply to LATENCY DOCTOR."""
    report = client.ask("LATENCY", "DOCTOR")
    assert isinstance(report, bytes)
    return report.decode()


def lists(reply: object) -> list[list[Any]]:
    """A reply that is an array of arrays."""
    assert isinstance(reply, list)
    return reply


def test_a_second_has_one_sample_and_the_oldest_go() -> None:
    peer = InProcess(latency_monitor_threshold=5)
    latency = peer.engine.latency
    for each in (0.004, 0.007, 0.009, 0.006):
        latency.add("fork", each)
    assert peer.ask("LATENCY LATEST") == "*1 *4 $4 fork :1800000000 :9 :9"
    for _ in range(SAMPLES):
        peer.now += 1000
        latency.add("fork", 0.006)
    assert len(latency.events["fork"].samples) == SAMPLES
    assert peer.ask("LATENCY LATEST") == "*1 *4 $4 fork :1800000160 :6 :9"


def test_the_ends_of_children_and_each_eviction_are_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = InProcess(dir=str(tmp_path), maxmemory_policy="allkeys-lru", latency_monitor_threshold=1)
    monkeypatch.setattr("final.latency.perf_counter", count().__next__)  # whatever is timed takes a second
    peer.ask("SET k v")
    peer.ask("BGREWRITEAOF")
    finish(peer)
    assert b"aof-rename" in events(peer)
    peer.ask("BGSAVE")
    peer.ask("FLUSHALL")
    assert b"rdb-unlink-temp-file" in events(peer)
    peer.ask("SET k v")
    peer.ask("CONFIG SET maxmemory 1")
    peer.ask("GET k")
    assert {b"eviction-cycle", b"eviction-del"} <= events(peer)


def events(peer: InProcess) -> set[bytes]:
    """The events so far."""
    return {line[0] for line in lists(peer.answer([b"LATENCY", b"LATEST"]))}
