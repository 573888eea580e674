"""Random requests to final/ and to a real Redis: their replies, data and logs are the same.

A longer run than in continuous integration: EXAMPLES=5000 python -m pytest tests/final/test_oracle.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from final.engine.clocks import wall_clock
from final.engine.command import COMMANDS, Command
from final.protocol import pattern
from final.protocol.reader import Reader
from final.restore import restore
from stages.harness.wire import parse
from tests.support.oracle import (
    UNORDERED,
    InProcess,
    OverTheWire,
    args_of,
    redis_server,
    shown,
    skip_without_lua,
    transcripts,
)
from tests.support.sequences import DEFAULT_LIMITS, ENCODINGS, EXAMPLES, LIMITED, SEQUENCES, shapes
from tests.support.shared import Shared

HOUR = 3_600_000  # milliseconds by which two times that depend on the clock may differ; wrong times differ by years
DATA = {name: section for name, section in transcripts().items() if not name.startswith(("connection", "admin"))}
NOT_AS_IN_REDIS = {
    "client|setinfo",  # Redis has it since 7.2, and redis-py sends it to every server
}


class Pair:
    """A real Redis and an engine of final/, each with a log, which get the same requests."""

    def __init__(self, folder: Path, real: OverTheWire) -> None:
        ours = InProcess(wall_clock, appendonly="yes", appendfsync="no", dir=str(folder / "ours"))
        restore(ours.engine)
        self.ours, self.real = ours, real
        self.logs = [next((folder / name).glob("*/*.incr.aof")).open("rb") for name in ("ours", "real")]

    def ask_all(self, requests: list[list[bytes]]) -> Iterator[tuple[list[bytes], bytes, bytes]]:
        """Send requests to both; yield each request with our reply and the real one."""
        theirs = self.real.ask_all(requests)
        return zip(requests, self.ours.ask_all(requests), theirs, strict=True)

    def clear(self) -> None:
        """Delete the data of both, and skip what their logs have so far."""
        list(self.ask_all([[b"FLUSHALL"], [b"SELECT", b"0"]]))
        self.logged()

    def logged(self) -> tuple[list[list[bytes]], list[list[bytes]]]:
        """Return the records added to both logs since the last call: ours and the real ones."""
        assert self.ours.engine.log
        self.ours.engine.log.flush()
        ours, real = (requests_in(log.read()) for log in self.logs)
        return ours, real


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shared, Pair]]:
    folder = tmp_path_factory.mktemp("logs")
    (folder / "real").mkdir()
    with Shared(lambda: redis_server("--appendfsync", "no", data=folder / "real")) as shared:
        yield shared, Pair(folder, OverTheWire(shared.server.connect()))


@pytest.fixture
def pair(shared: tuple[Shared, Pair]) -> Pair:
    """Return both, without data, each with a new client."""
    server, pair = shared
    pair.real = OverTheWire(server.clean().connect())
    pair.ours.client = pair.ours.connect()
    return pair


def requests_in(data: bytes) -> list[list[bytes]]:
    """Split a part of a log into records, PEXPIREAT without NX, XX, GT or LT: Redis logs them, final/ does not."""
    reader = Reader()
    reader.feed(data)
    return [args[:3] if args[0] == b"PEXPIREAT" else args for args in iter(reader.next, None)]


def same(ours: bytes, real: bytes) -> bool:
    """Return whether two arguments or replies are the same; times of the present, and IDs, may differ by an hour."""
    if ours == real:
        return True
    try:
        one, other = (int(each.strip(b":\r\n").removesuffix(b"-0")) for each in (ours, real))
        return abs(one - other) < HOUR
    except ValueError:
        return False


def compare_replies(pair: Pair, requests: list[list[bytes]]) -> None:
    """Send requests to both, and compare each reply, except for the present time and for UNORDERED replies."""
    for args, ours, real in pair.ask_all(requests):
        if args[0].lower() in UNORDERED and not real.startswith(b"-"):
            assert sorted_all(parse(ours)[0]) == sorted_all(parse(real)[0]), args
        elif args[0] in (b"XPENDING", b"XINFO"):
            assert without_times(ours) == without_times(real), f"{args}: {shown(ours)}, but Redis: {shown(real)}"
        elif b"TTL" in args[0] or b"EXPIRETIME" in args[0]:
            assert same(ours, real), f"{args}: {shown(ours)}, but Redis: {shown(real)}"
        else:
            assert ours == real, f"{args}: {shown(ours)}, but Redis: {shown(real)}"


def without_times(reply: bytes) -> bytes:
    """Return a reply of XPENDING or XINFO without times: those of the present, and idle times."""
    reply = re.sub(rb":1\d{12}\r\n", b":now\r\n", reply)
    return re.sub(rb"(idle\r\n|\*4\r\n\$\d+\r\n\d+-\d+\r\n\$\d+\r\n\w*\r\n):\d+\r\n", rb"\1:idle\r\n", reply)


def sorted_all(value: object) -> object:
    """Sort a list and the lists in it."""
    return sorted(map(sorted_all, value), key=repr) if isinstance(value, list) else value


def compare_data(pair: Pair) -> None:
    """Compare type, value and deadline of every key in every database that the requests use."""
    keys = [b"a", b"b", b"c", b"", b"same"]
    for database in (b"0", b"1"):
        looks = [[look, key] for key in keys for look in (b"TYPE", b"GET", b"HGETALL", b"PEXPIRETIME")]
        looks += [[b"LRANGE", key, b"0", b"-1"] for key in keys]
        looks += [[b"SMEMBERS", key] for key in keys]
        looks += [[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"] for key in keys]
        looks += [[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"] for key in keys]
        compare_replies(pair, [[b"SELECT", database], [b"DBSIZE"], *looks, [b"DBSIZE"]])


def compare_logs(pair: Pair) -> None:
    """Compare the records added to both logs since they were last read."""
    ours, real = pair.logged()
    assert len(ours) == len(real), f"{ours}, but Redis: {real}"
    for record, expected in zip(ours, real, strict=True):
        assert len(record) == len(expected) and all(map(same, record, expected)), f"{record}, but Redis: {expected}"


# The second key has expired and is removed, although the first one does not let the command get so far.
BOTH_LOOKED_UP = (
    *(b"SET b x PXAT 1000", b"SMOVE a b f", b"HSET a f 1"),
    *(b"SET b x PXAT 1000", b"SMOVE a b f", b"SET b x PXAT 1000", b"LCS a b"),
)


@pytest.mark.parametrize("kind", SEQUENCES)
def test_any_sequence_has_the_same_replies_log_and_data(pair: Pair, kind: str) -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(SEQUENCES[kind])
    @example([line.split() for line in BOTH_LOOKED_UP])
    @example([line.split() for line in (b"SET b x PXAT 1000", b"BITOP AND b a")])  # which does not look at `b`
    def holds(requests: list[list[bytes]]) -> None:
        pair.clear()
        compare_replies(pair, requests)
        compare_logs(pair)
        compare_data(pair)

    holds()


LOWERED_TWICE = (
    *(b"HSET b f 1 1 2", b"CONFIG SET hash-max-listpack-entries 0", b"CONFIG SET zset-max-listpack-entries 0"),
    b"HINCRBYFLOAT b f 1",
)


def test_any_sequence_leaves_the_same_encodings(pair: Pair) -> None:
    looks = [[*look, key] for key in (b"a", b"b") for look in ((b"OBJECT", b"ENCODING"), (b"DUMP",))]

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(ENCODINGS | LIMITED)
    @example([line.split() for line in LOWERED_TWICE])
    def holds(requests: list[list[bytes]]) -> None:
        pair.clear()
        asked = [DEFAULT_LIMITS, *(each for args in requests for each in (args, *looks)), DEFAULT_LIMITS]
        for number, (args, ours, real) in enumerate(pair.ask_all(asked)):
            if args in looks:
                assert alike(ours, real), f"{shown(ours)}, but Redis: {shown(real)}, after {asked[: number + 1]}"

    holds()


def alike(ours: bytes, real: bytes) -> bool:
    """Return whether two replies are the same, or begin to be: hash tables of the same type, whose order is random."""
    forms = [reply[reply.index(b"\n") + 1 :][:1] for reply in (ours, real)]
    return ours == real or forms in ([b"\2", b"\2"], [b"\4", b"\4"])


LARGE = """
    SREM s 0 | SREM s 1 2 | HDEL h 0 | HDEL h 1 2 | ZREM z 0 | ZPOPMIN z 5 | COPY s t | RENAME h i | MOVE z 1 | SELECT 1
    RENAME z y | SELECT 0 | COPY i j DB 1 | SWAPDB 0 1 | SWAPDB 0 1 | SADD u 1 2 3 4 5 6 x | SREM u x
    SREM u 1 2 3 4 5 6 | SADD u 1 | SADD v 1 2 3 x | SREM v x | SPOP v | SPOP s 10 | SPOP s 480 | SADD s x | SREM s x
    SUNIONSTORE s s | DEL s | SADD s 1 | SREM t 5 | DEL i | HSET i f v | SADD w 1 2 3 4 5 6 70000 x | DEL v
    SADD v 70000 x
    SDIFFSTORE t w v v v | SADD y 1 2 3 4 5 6 70000 | SDIFFSTORE t y v v v | SADD t 70000 | SREM t 70000 | FLUSHALL
    SADD t 1
"""


def test_what_was_once_large_keeps_its_encoding(pair: Pair) -> None:
    numbers = [b"%d" % number for number in range(513)]
    doubled = [arg for number in numbers for arg in (number, number)]
    many = [[b"SADD", b"s", *numbers], [b"HSET", b"h", *doubled], [b"ZADD", b"z", *doubled[: 2 * 129]]]
    looks = [[b"OBJECT", b"ENCODING", b"%c" % key] for key in b"shztijuvy"] + [[b"DUMP", b"t"]]
    asked = [each for step in (*many, *(line.encode().split() for line in shapes(LARGE))) for each in (step, *looks)]
    pair.clear()
    for args, ours, real in pair.ask_all([DEFAULT_LIMITS, *asked]):
        if args in looks:
            assert alike(ours, real), f"{args}: {shown(ours)}, but Redis: {shown(real)}"


RESTORED = f"""
    HSET h a {"x" * 99} | ZADD z 1 {"y" * 99} | SADD s 1 2 | HSET i a 1 b 2 c 3 | ZADD y 1 a 2 b 3 c | SADD t 1 2 3
    HSET h b 1 | SADD s 3 | ZADD z 3 d | SREM t 1 | HDEL h a | ZREM z {"y" * 99} | HSET h c 1 | HDEL i a b | ZREM y a b
"""


def test_a_value_that_was_packed_under_higher_limits_is_restored_as_it_was(pair: Pair) -> None:
    steps = [line.encode().split() for line in shapes(RESTORED)]
    high = b"CONFIG SET hash-max-listpack-value 200 zset-max-listpack-value 200 rdbcompression no".split()
    low = b"hash-max-listpack-entries zset-max-listpack-entries set-max-intset-entries"
    limits = [DEFAULT_LIMITS, [b"CONFIG", b"SET", *(arg for name in low.split() for arg in (name, b"2"))]]
    keys = [b"%c" % key for key in b"hzsiyt"]
    looks = [[b"OBJECT", b"ENCODING", key] for key in keys]
    pair.clear()
    dumps = [parse(reply)[0] for _, _, reply in pair.ask_all([high, *steps[:6], *([b"DUMP", key] for key in keys)])][7:]
    restored: Any = [[b"RESTORE", key, b"0", dump, b"REPLACE"] for key, dump in zip(keys, dumps, strict=True)]
    compare_replies(pair, [*limits, *restored, *(each for step in steps[6:] for each in (*looks, step)), *looks])
    compare_replies(pair, [DEFAULT_LIMITS])


@pytest.mark.parametrize("section", DATA.values(), ids=DATA)
def test_the_log_has_the_records_that_redis_writes(pair: Pair, section: list[tuple[str, str]]) -> None:
    skip_without_lua(line for line, _ in section)
    pair.clear()
    list(pair.ask_all([args_of(line) for line, _ in section]))
    compare_logs(pair)


def test_what_an_encoding_was_dies_with_a_key_that_expires() -> None:
    peer = InProcess()
    for line in ("SADD s 1 x", "SREM s x", "PEXPIRE s 100"):
        peer.ask(line)
    assert peer.ask("OBJECT ENCODING s") == "$9 hashtable"
    peer.now += 101
    assert (peer.ask("SADD s 1"), peer.ask("OBJECT ENCODING s")) == (":1", "$6 intset")


# COMMAND INFO


def names() -> Iterator[tuple[str, Command]]:
    """Yield all commands and subcommands with their names."""
    for command in COMMANDS.values():
        yield command.name, command
        yield from ((each.name, each) for each in command.subcommands.values())


@pytest.mark.parametrize("name", [name for name, _ in names() if name not in NOT_AS_IN_REDIS])
def test_a_command_is_described_as_by_the_real_one(pair: Pair, name: str) -> None:
    """Its subcommands are compared one by one: Redis has them in an order of its own."""
    ((_, ours, real),) = pair.ask_all([[b"COMMAND", b"INFO", name.encode()]])
    described, expected = (entry(reply) for reply in (ours, real))
    assert described == expected


def entry(reply: bytes) -> list[Any]:
    """Return the only entry in a reply to COMMAND INFO, without its subcommands."""
    value: Any = parse(reply)[0]
    return list(value[0][:-1])


@pytest.mark.parametrize("state", ["after MULTI", "before AUTH"])
def test_any_number_of_arguments_is_refused_when_redis_refuses_it(pair: Pair, state: str) -> None:
    skipped = {"quit", "reset", *NOT_AS_IN_REDIS}
    chosen = [name.encode().split(b"|") for name, _ in names() if name not in skipped]
    requests = [[*args, *([b"x"] * more)] for args in chosen for more in range(7)]
    if state == "after MULTI":
        compare_replies(pair, [each for args in requests for each in ([b"MULTI"], args, [b"DISCARD"])])
    else:
        password = [b"CONFIG", b"SET", b"requirepass"]
        for args in [*password, b"secret"], [b"RESET"], *requests, [b"AUTH", b"secret"], [*password, b""]:
            compare_replies(
                pair, [args]
            )  # in one pipeline Redis would close the connection: too many replies without password


# Patterns


# In Redis a range from or to a byte above \x7f differs between x86 and ARM: none is tried.
LETTERS = st.sampled_from([b"a", b"b", b"c", b"-", b"]", b"[", b"^", b"\\", b"*", b"?", b"\n", b"\x00"])
PIECES = LETTERS | st.sampled_from(
    [b"[a-c]", b"[^a]", b"[c-a]", b"**", b"[\\]]", b"[]", b"[^]", b"[a-", b"[a-]]", b"[!-", b"\\*"]
)


@pytest.mark.parametrize("longest", [pattern.LONGEST, 1])
def test_a_pattern_matches_the_same_keys_as_in_redis(pair: Pair, longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a regular expression, and with Glob, for patterns of more than `longest` bytes."""
    monkeypatch.setattr(pattern, "LONGEST", longest)
    monkeypatch.setattr(pattern, "FEWEST", 2)
    monkeypatch.setattr(pattern, "MOST", 3)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(
        st.lists(st.lists(LETTERS, max_size=9).map(b"".join), min_size=1, max_size=20),
        st.lists(st.lists(PIECES, max_size=9).map(b"".join), min_size=1, max_size=20),
    )
    def holds(keys: list[bytes], patterns: list[bytes]) -> None:
        pair.clear()
        compare_replies(pair, [*([b"SET", key, b""] for key in keys), *([b"KEYS", each] for each in patterns)])

    holds()


# LCS


TEXTS = st.sampled_from([b"ab", b"abc", bytes(range(97, 110))]).flatmap(
    lambda letters: st.lists(st.sampled_from(list(letters)), max_size=60).map(bytes)
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS, TEXTS)
def test_lcs_finds_the_same_subsequence_as_redis(pair: Pair, one: bytes, two: bytes) -> None:
    asked = [args_of(f"LCS one two {options}") for options in ("", "LEN", "IDX WITHMATCHLEN", "IDX MINMATCHLEN 2")]
    compare_replies(pair, [[b"SET", b"one", one], [b"SET", b"two", two], *asked])


# JSON


TOKENS = st.sampled_from(
    [b"[", b"]", b"{", b"}", b",", b":", b'"a"', b'"a":', b"1", b"-", b"true", b"null", b" ", b"0"]
)
ODD = st.sampled_from(
    [b"x", b".", b"e", b"+", b"nan", b"Inf", b'"', b"\\", b"\\u", b"d83d", b"\\ude00", b"\0", b"\n", b"\xff", b"12e3"]
)
DECODE = b"""
    cjson.decode_invalid_numbers(ARGV[2] == '1')
    local done, value = pcall(cjson.decode, ARGV[1])
    if done and type(value) == 'table' then done, value = pcall(cjson.encode, value) end
    return type(value) == 'number' and string.format('%.17g', value) or tostring(value ~= cjson.null and value)
"""


def test_json_is_decoded_as_in_redis_or_refused_with_the_same_error(pair: Pair) -> None:
    pytest.importorskip("lupa")

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.lists(st.lists(TOKENS | ODD, max_size=9).map(b"".join), min_size=1, max_size=20), st.booleans())
    def holds(texts: list[bytes], invalid: bool) -> None:
        compare_replies(pair, [[b"EVAL", DECODE, b"0", text, b"%d" % invalid] for text in texts])

    holds()


CHANGES = re.compile(rb"rdb_changes_since_last_save:(\d+)")
UNCOUNTED = re.compile("b[lrz].*pop|blmove|block|multi|exec|shutdown|save|debug|config|auth|monitor|subscribe", re.I)
FAMILIES = sorted({name.partition(":")[0] for name in DATA} - {"replication", "functions", "scripts"})


@pytest.mark.parametrize("family", FAMILIES)
def test_changes_are_counted_for_the_save_points_as_in_redis(family: str) -> None:
    """On them `save 60 10000` depends: an HSET of three fields makes three, a SET with EX makes one."""
    with redis_server() as server:
        for name, section in DATA.items():
            lines = [line for line, _ in section if not UNCOUNTED.search(line)]
            if name.partition(":")[0] != family or "EVAL" in str(lines):
                continue
            server.connect().ask("FLUSHALL")
            look = [b"INFO", b"persistence"]
            asked = [look, *(args for line in lines for args in (args_of(line), look))]
            replies = [peer.ask_all(asked) for peer in (InProcess(), OverTheWire(server.connect()))]
            counts = [[int(found[1]) for each in heard if (found := CHANGES.search(each))] for heard in replies]
            grown = [[after - before for before, after in pairwise(each)] for each in counts]
            same = [one == other for one, other in zip(*(heard[1::2] for heard in replies), strict=True)]
            for line, ours, theirs, equal in zip(lines, *grown, same, strict=True):
                assert ours == theirs or not equal, f"{name}: {line}"  # what is drawn at random may differ
