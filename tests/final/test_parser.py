"""Requests are read by Python alone or by hiredis too: how that is chosen, and that both read the same."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from final.protocol import large_argument, plain_requests
from final.protocol.reader import PIECE, ProtocolError, Reader
from stages.harness.course import ROOT
from stages.harness.target import Target
from stages.harness.wire import request
from tests.support.oracle import final_server, serving
from tests.support.sequences import EXAMPLES
from tests.support.server_log import messages

INSTALLED = importlib.util.find_spec("hiredis") is not None
needs_hiredis = pytest.mark.skipif(not INSTALLED, reason="hiredis is not installed")
BARE = [sys.executable, "-S", "-m", "final"]  # -S: without what is installed
MEMORY = 1 << 20  # bytes in one argument, at most

PLAIN = [b"*1\r\n$4\r\nPING\r\n", request("SET", "k", "x" * 60), request("GET", "key:000000000001")]
TYPED = """
    +OK/ :1/ -ERR/ $4/PING/ $-1/ _/ #t/ ,1.5/ (12/ =7/txt:abc/ >0/ >1/$4/PING/ ~1/$4/PING/ %1/$1/a/$1/b/ %1/>0/$1/a/
    |1/$1/a/$1/b/ *0/ *-1/ *1/ *2/$3/GET/ *1/*1/$1/a/ *01/$4/PING/ *1/$04/PING/ *+1/$4/PING/ *1/$4/PINGxx PING/ / * $
    *1/$9999999/ *99999/ *2147483648/ *1/$20/ *3/$1/a/$5/ *1/$?/ *3/>0/~0/=4/txt:/ *1/+OK/ *1/(1/ *2/|0/$1/a/
"""  # with "/" for CRLF
ODD = [  # what hiredis takes and a request may not be, what ends early, and what looks like a request inside of one
    *(each.replace("/", "\r\n").encode() for each in TYPED.split()),
    *(b"*1 \r\n$1\r\na\r\n", b"*1\n$4\nPING\n", b"*1\rx$4\rxPING\r\n"),
    *(b"GET 'k\r\n", b"GET '\r\n", b"\n", b"\0", b"\r"),
    *(request("SET", "k", "\r\n*1\r\n$4\r\nPING\r\n"), request("SET", "=+(|~>"), request("\r\n*", ">0\r\n", "")),
    *(request(*map(str, range(30))), request(*["x"] * 1100), request("x" * 9000), request(b"\xff\0")),
]  # fmt: skip
PIECES = st.lists(
    st.sampled_from(PLAIN).map(lambda one: one * 9) | st.sampled_from(PLAIN) | st.sampled_from(ODD), max_size=12
)


def read(reader: Reader, chunks: list[bytes], trusted: bool) -> Iterator[object]:
    """Yield what a reader makes of chunks: requests, how much it holds and awaits, and at last an error.

    A client that is not trusted at first is from its second request on.
    """
    reader.trusted = trusted
    for chunk in chunks:
        reader.feed(chunk)
        try:
            while (args := reader.next()) is not None:
                assert type(args) is list and {*map(type, args)} == {bytes}
                yield args
                reader.trusted = True
        except ProtocolError as error:
            yield str(error)
            return
        yield reader.held, reader.awaited


def cut(data: bytes, seed: int, longest: int) -> list[bytes]:
    """Cut bytes into chunks of random lengths."""
    source, places = random.Random(seed), [0]
    while places[-1] < len(data):
        places.append(min(places[-1] + source.randint(1, longest), len(data)))
    return [data[start:end] for start, end in pairwise(places)]


def both(data: bytes, chunks: list[bytes], trusted: bool = True) -> None:
    """Check that both readers read the same."""
    from final.protocol.hiredis_reader import HiredisReader

    expected = [*read(Reader(lambda: MEMORY), chunks, trusted)]
    assert [*read(HiredisReader(lambda: MEMORY), chunks, trusted)] == expected, (data, chunks)


def test_a_request_that_is_read_alone_is_read_the_same_by_the_rest_of_the_reader() -> None:
    for first in [b"", *PLAIN, *ODD]:
        for last in [*PLAIN, *ODD, PLAIN[0] + b"x"]:
            data, reader = first + last, Reader(lambda: MEMORY)
            alone = reader.only(data)
            assert alone is None or [*read(Reader(lambda: MEMORY), [data], True)] == [alone, (0, 0)]
            reader.feed(first)
            assert reader.only(last) is None or not (reader.held or reader.ready)
    assert all(Reader().only(each) for each in PLAIN)


def made_of(chunks: list[bytes]) -> list[object]:
    """What a reader makes of chunks: requests, and an error or how much it holds and awaits at the end."""
    found: list[object] = [(0, 0), *read(Reader(lambda: MEMORY), chunks, True)]
    return [*(each for each in found[:-1] if type(each) is list), found[-1]]


def byte_by_byte(data: bytes) -> list[bytes]:
    """The slow way: what is read so is never split."""
    return [data[at : at + 1] for at in range(len(data))]


@given(
    st.lists(st.sampled_from([*PLAIN, *ODD]), max_size=8).map(b"".join), st.integers(0), st.integers(1, 300),
    st.sampled_from([0, 20, 60]),
)  # fmt: skip
@example(request("SET", "k", "v") + b"*2\r\n$3\r\nGET\r\n$1000\r\n" + b"x" * 900, 0, 5000, 0)
@example(b"*1\r\n$1\r", 0, 5000, 0)
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_is_read_from_header_to_header_is_read_the_same_byte_by_byte(
    data: bytes, seed: int, longest: int, long: int
) -> None:
    expected = made_of(byte_by_byte(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_requests, "ALONE", long)
        patch.setattr(plain_requests, "LONG", long)
        assert made_of(cut(data, seed, longest)) == expected
        alone = Reader(lambda: MEMORY).only(data)
    assert alone is None or expected == [alone, (0, 0)]


@pytest.mark.parametrize("size", [1280, 8191, 8192, 9999, 10_000, PIECE - 1500])
def test_a_long_request_is_not_split(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To split it takes 1 ns for each byte, so 4 µs for a value of 4 KB."""
    monkeypatch.setattr(plain_requests, "split_into", None)
    one = [b"SET", b"k", b"x" * size, b"EX", b"1"]
    assert Reader().only(request(*one)) == one
    here = Reader()
    here.feed(request(*one) + b"*2\r\n$4\r\nECHO\r\n$2000\r\n" + b"x" * 1400)
    assert here.ready == [one]
    assert Reader().only(request("SET", "k", "x" * (PIECE - 100)))
    assert Reader().only(request("SET", "k", "x" * PIECE)) is None  # the connection limits such a client


@pytest.mark.parametrize("header", [b"$02000", b"$+2000", b"$2000 ", b" $2000", b"$2000\r", b"$" + b"2" * 5000, b"$-1"])
def test_the_header_of_a_long_argument_must_be_plain(header: bytes) -> None:
    data = b"*2\r\n$4\r\nECHO\r\n" + header + b"\r\n" + b"x" * 2000 + b"\r\n"
    assert Reader().only(data) is None
    assert made_of([data]) == made_of(byte_by_byte(data))


# Large arguments

needs_ctypes = pytest.mark.skipif(large_argument.LARGE > MEMORY, reason="needs CPython with ctypes")
LARGE, PART = 16, 8  # in these tests
LONG = [
    *(request("SET", "k", "x" * size) for size in (LARGE, LARGE + 1, 100)),
    *(request("MSET", "a" * 50, "b" * 50, "c", "d" * 50), request("SET", "k", "\r\n$9\r\n*1\r\n" * 9)),
    *(b"*2\r\n$4\r\nECHO\r\n$100\r\n" + b"x" * 50, b"*2\r\n$4\r\nECHO\r\n$1048577\r\n" + b"x" * 50),
    b"*2\r\n$4\r\nECHO\r\n$20\r\n" + b"x" * 20 + b"??",  # Redis does not look at what ends an argument
]


def in_place(reader: Reader, chunks: list[bytes], trusted: bool, large: int) -> list[object]:
    """What a reader makes of chunks if arguments of more than `large` bytes are large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_argument, "LARGE", large)
        patch.setattr(large_argument, "PART", PART)
        return [*read(reader, chunks, trusted)]


def readers() -> Iterator[Reader]:
    yield Reader(lambda: MEMORY)
    if INSTALLED:
        from final.protocol.hiredis_reader import HiredisReader

        yield HiredisReader(lambda: MEMORY)


@needs_ctypes
def test_a_large_argument_is_read_like_others_wherever_its_chunks_end() -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(
        st.lists(st.sampled_from([*PLAIN, *ODD]) | st.sampled_from(LONG), max_size=9), st.integers(),
        st.sampled_from([3000, 100, 20, 3, 1]), st.booleans(),
    )  # fmt: skip
    def holds(pieces: list[bytes], seed: int, longest: int, trusted: bool) -> None:
        chunks = cut(b"".join(pieces)[:10_000], seed, longest)
        expected = in_place(Reader(lambda: MEMORY), chunks, trusted, sys.maxsize)
        for reader in readers():
            assert in_place(reader, chunks, trusted, LARGE) == expected

    holds()


@needs_ctypes
def test_a_large_argument_is_read_like_others_if_it_comes_in_three_chunks() -> None:
    for each in LONG:
        data = PLAIN[0] + each + PLAIN[1]
        for first in range(len(PLAIN[0]), len(PLAIN[0]) + len(each)):
            for second in (first + 1, first + 10, len(data) - len(PLAIN[1]) - 2, len(data) - len(PLAIN[1])):
                chunks = [data[:first], data[first:second], data[max(first, second) :]]
                expected = in_place(Reader(lambda: MEMORY), chunks, True, sys.maxsize)
                for reader in readers():
                    assert in_place(reader, chunks, True, LARGE) == expected, chunks


@needs_ctypes
def test_a_large_argument_takes_its_size_in_memory_and_nothing_before_a_part_has_come() -> None:
    size = 64 * MEMORY
    part, chunk = size // large_argument.PART, b"x" * (MEMORY // 4)
    tracemalloc.start()
    try:
        reader, before = Reader(), tracemalloc.get_traced_memory()[0]
        reader.feed(b"*1\r\n$%d\r\n" % size)
        while reader.held < part - len(chunk):
            reader.feed(chunk)
            assert reader.next() is None
        assert tracemalloc.get_traced_memory()[1] - before < 1.3 * part
        while reader.held < size:
            reader.feed(chunk)
            assert reader.next() is None and reader.held + reader.awaited == size
        reader.feed(b"\r\n")
        args = reader.next()
        assert tracemalloc.get_traced_memory()[1] - before < 1.1 * size
    finally:
        tracemalloc.stop()
    assert args == [b"x" * size] and reader.held == 0


def test_where_there_is_no_ctypes_large_arguments_are_read_as_others_are() -> None:
    code = """
import sys
sys.modules["ctypes"] = None
from final.protocol.reader import Reader
reader = Reader()
reader.feed(b"*1\\r\\n$100000\\r\\n" + b"x" * 60000)
assert reader.next() is None
reader.feed(b"x" * 40000 + b"\\r\\n")
assert reader.next() == [b"x" * 100000]
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


# Both readers


@needs_hiredis
def test_both_readers_read_the_same_requests_and_find_the_same_errors() -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(PIECES, st.integers(), st.sampled_from([1 << 20, 1 << 20, 3000, 300, 20]), st.booleans())
    @example([PLAIN[0] * 30], 0, 1 << 20, True)
    def holds(pieces: list[bytes], seed: int, longest: int, trusted: bool) -> None:
        data = b"".join(pieces)
        both(data, cut(data, seed, longest), trusted)

    holds()


@needs_hiredis
def test_both_readers_read_the_same_when_one_byte_is_changed_missing_or_more() -> None:
    source = random.Random(0)
    whole = b"".join(PLAIN * 4) + request("SET", "k", "=+(|~>%")
    signs = [*b"*$+-:_#,(=>~%|!.?\r\n\0 0129x"]
    for _ in range(2 * EXAMPLES):
        at, byte = source.randrange(len(whole)), bytes([source.choice(signs)])
        for data in (whole[:at] + byte + whole[at + 1 :], whole[:at] + whole[at + 1 :], whole[:at] + byte + whole[at:]):
            both(data, [data])


@needs_hiredis
@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_is_read_the_same_behind_many_requests_and_wherever_the_chunk_ends(odd: bytes) -> None:
    data = b"".join(PLAIN * 3) + odd[:60]
    for end in range(len(data) - len(odd[:60]), len(data) + 1):
        both(data, [data[:end], data[end:]])
        both(data, [data[:end], data[end:] + b"".join(PLAIN * 3)])


@needs_hiredis
@pytest.mark.parametrize("piece", PLAIN)
def test_hiredis_reads_what_is_plain(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the tests above would hold for two readers in Python."""
    from final.protocol.hiredis_reader import HiredisReader

    monkeypatch.setattr(Reader, "_split", None)
    reader = HiredisReader()
    for end in (len(piece) * 40, len(piece) * 40 - 1):
        reader.feed((piece * 40)[:end])
        assert len(reader.ready) == end // len(piece)
        reader.__init__()  # type: ignore[misc]


@needs_hiredis
@pytest.mark.parametrize("header", [b"*2147483647\r\n", b"*1\r\n*2147483647\r\n", b"*1000000000\r\n"])
def test_no_memory_is_taken_for_what_a_header_promises(header: bytes) -> None:
    from final.protocol.hiredis_reader import HiredisReader

    began = time.process_time()
    for _ in range(20):
        both(header, [PLAIN[0] * 20 + header], trusted=True)
    assert time.process_time() - began < 2, "hiredis alone takes seconds for one"
    assert HiredisReader().held == 0


@pytest.mark.parametrize("parser", ["python", pytest.param("hiredis", marks=needs_hiredis)])
def test_the_parser_can_be_chosen(parser: str) -> None:
    with final_server("--parser", parser) as server:
        client = server.connect()
        assert client.ask("CONFIG", "GET", "parser") == [b"parser", parser.encode()]
        client.send(PLAIN[0] * 20 + b"*1\r\nx\r\n")
        client.expect(b"+PONG\r\n" * 20 + b"-ERR Protocol error: expected '$', got 'x'\r\n")


def test_auto_takes_hiredis_where_it_is_installed(tmp_path: Path) -> None:
    with final_server("--parser", "auto") as server:
        assert server.connect().ask("CONFIG", "GET", "parser") == [b"parser", b"hiredis" if INSTALLED else b"python"]
    with serving(Target("final", 99, ROOT / "final", command=tuple(BARE)), tmp_path) as server:
        assert server.connect().ask("CONFIG", "GET", "parser") == [b"parser", b"python"]


@pytest.mark.parametrize(
    ("there", "reason"),
    [(None, "No module named 'hiredis'"), ("__version__ = '2.4.0'", "version 2.4.0 is not 3")],
)
def test_hiredis_where_it_is_missing_or_another_one_is_refused_in_one_line(
    there: str | None, reason: str, tmp_path: Path
) -> None:
    if there is not None:
        (tmp_path / "hiredis.py").write_text(there)
    command, environment = [*BARE, "--port", "0", "--appendonly", "no"], {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, "--parser", "hiredis"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout, messages(done.stderr)) == (1, "", f"cannot use hiredis: {reason}\n")
