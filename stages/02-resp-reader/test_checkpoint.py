"""Checkpoint 02: requests are read as Redis reads them, however they are cut, and what is none is refused.

Where the words of the answer do not matter yet, the tests say `PING` and take any simple string, so that they
hold for every later stage and for a real Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from stages.harness.checkpoint import Dice, Modules
from stages.harness.server import Server
from stages.harness.wire import Client, request

Connect = Callable[[], Client]

PING = request("PING")
MAX_LINE = 64 * 1024


def answered(client: Client, times: int = 1) -> None:
    """So many requests are answered, each with a simple string."""
    for _ in range(times):
        client.expect_line(b"+")


# The reader, by itself


READ_ALL = """
    from reader import Reader
    reader = Reader()
    reader.feed(data)
    result = []
    while (request := reader.next()) is not None:
        result.append(request)
    """


@pytest.mark.read("A request is an array of bulk strings")
@pytest.mark.parametrize(
    "args",
    [
        pytest.param([b"PING"], id="one-word"),
        pytest.param([b"SET", b"key", b"value"], id="three-words"),
        pytest.param([b"ECHO", b""], id="an-empty-word"),
        pytest.param([b"ECHO", b"a\r\nb\n*1\r\n$4\r\n"], id="line-ends-in-a-word"),
        pytest.param([b"ECHO", bytes(range(256))], id="every-byte-there-is"),
        pytest.param([b"ECHO", b"  blanks  and \"quotes' "], id="blanks-and-quotes"),
        pytest.param([b"MSET"] + [b"%d" % number for number in range(99)], id="a-hundred-words"),
    ],
)
def test_a_request_is_read_as_its_words(modules: Modules, args: list[bytes]) -> None:
    """A request is read as the list of its words, each of them the bytes that were sent.

    `*2` says that two words follow; `$4` says that the next one has four bytes; each line ends with CRLF.

    A word is counted, not searched for its end: take as many bytes as its header says, then a CRLF.

    Never split the buffer at CRLF as a whole: a word may contain one.
    """
    modules.check(READ_ALL, [args], data=request(*args))


@pytest.mark.read("Several in one chunk, one in several chunks")
def test_several_requests_in_one_chunk_are_all_read(modules: Modules, rng: Dice) -> None:
    """Three requests in one chunk are read as three, in their order; then `next` gives None.

    What happens to the bytes behind the first request?

    Keep them in the buffer: `next` takes one request off its front and leaves the rest for the next call.
    """
    requests = [[b"PING"], [b"SET", rng.key(), rng.key()], [b"ECHO", rng.randbytes(20)]]
    data = b"".join(request(*args) for args in requests)
    modules.check(READ_ALL, requests, data=data)


@pytest.mark.read("Several in one chunk, one in several chunks")
@pytest.mark.parametrize("form", ["array", "inline"])
def test_a_request_may_be_cut_anywhere(modules: Modules, rng: Dice, form: str) -> None:
    """A request cut in two, at whatever byte, is read when its second half has come, and not before.

    `next` gives None as long as a byte is missing. What it has seen by then must not be lost.

    The cut may be inside a number, between CR and LF, or inside a word. Which of them does your code forget?

    Look only for whole lines (a CRLF that is already there), and for a word only when all its bytes and its
    CRLF are there. Until then leave the buffer as it is, or remember what you took off it.
    """
    args = [b"ECHO", rng.key(12)]
    data = request(*args) if form == "array" else b" ".join(args) + b"\r\n"
    modules.check(
        """
        from reader import Reader
        result = []
        for cut in range(1, len(data)):
            reader = Reader()
            reader.feed(data[:cut])
            before = reader.next()
            reader.feed(data[cut:])
            after = reader.next()
            if (before, after) != (None, args):
                result.append((data[:cut], before, data[cut:], after))
        """,
        [],
        data=data,
        args=args,
    )


@pytest.mark.read("Several in one chunk, one in several chunks")
def test_requests_may_come_in_any_pieces(modules: Modules, rng: Dice) -> None:
    """Requests that come byte by byte, or in pieces of any sizes, are read just the same.

    After each piece `next` is called: often it has to say None, and lose nothing.

    If it works in two pieces but not in many: what do you remember from call to call?

    What is remembered of a request under way must be cleared when the request is complete, not before.
    """
    typed = [b"ECHO", rng.key(30)]
    requests = [[b"PING"], [b"SET", rng.key(), rng.key()], [b"ECHO", b"\r\n"], typed, [b"PING"], typed]
    data = b"".join(b" ".join(args) + b"\r\n" if args is typed else request(*args) for args in requests)
    modules.check(
        """
        from reader import Reader
        result = []
        for sizes in rounds:
            reader = Reader()
            rest, requests, cuts = data, [], []
            for size in sizes:
                reader.feed(rest[:size])
                cuts.append(rest[:size])
                rest = rest[size:]
                while (request := reader.next()) is not None:
                    requests.append(request)
            if requests != expected:
                result.append((cuts, requests))
        """,
        [],
        data=data,
        rounds=[[1] * len(data)] + [rng.choices(range(1, 60), k=len(data)) for _ in range(50)],
        expected=requests,
    )


@pytest.mark.read("Time that grows with the square")
@pytest.mark.parametrize(
    ("pieces", "size"),
    [
        pytest.param(r"[b'*1\r\n$67108864\r\n'] + [b'x' * 65536] * 1024 + [b'\r\n']", 64 << 20, id="a-word-of-64-MB"),
        pytest.param(r"[b'*1\r\n$300000\r\n'] + [b'x'] * 300000 + [b'\r\n']", 300000, id="a-word-byte-by-byte"),
        pytest.param(r"[b'*20000\r\n'] + [b'$3\r\n', b'abc\r\n'] * 20000", 60000, id="many-words-in-small-pieces"),
        pytest.param(r"[b'*1\r\n$4\r\nPING\r\n' * 50000]", 200000, id="many-requests-in-one-chunk"),
    ],
)
def test_twice_as_much_takes_twice_as_long(modules: Modules, pieces: str, size: int) -> None:
    """However large a request is and in however many pieces it comes, reading it takes no long wait.

    This took seconds and should take a fraction of one: some work is done again for each piece.

    `bytes` cannot grow: `buffer = buffer + data` copies all of it each time, and so does `buffer[n:]`.
    A `bytearray` can: `buffer += data`, and `del buffer[:n]`.

    And a request under way must not be read from its beginning each time: remember the words that are
    complete, and the length that the last header gave.
    """
    modules.check(
        f"""
        from reader import Reader
        reader = Reader()
        result = 0
        for piece in {pieces}:
            reader.feed(piece)
            while (request := reader.next()) is not None:
                result += sum(len(arg) for arg in request)
        """,
        size,
        seconds=5,
    )


# What one sees


@pytest.mark.until("03")
@pytest.mark.read("Answering +OK")
def test_every_request_is_answered_with_ok(client: Client, rng: Dice) -> None:
    r"""Every request is answered with the simple string OK: `+OK\r\n`.

    For each request that the reader gives, write one answer.

    `self.reader.feed(data)`, then call `self.reader.next()` until it gives None.
    """
    client.check(request("SET", rng.key(), rng.key()), b"+OK\r\n")
    client.check(request("GET", rng.key()), b"+OK\r\n")
    client.check(request("x"), b"+OK\r\n")


@pytest.mark.until("03")
@pytest.mark.read("Printing what was understood")
def test_every_request_is_printed(client: Client, server: Server, rng: Dice) -> None:
    """Each request is printed on a line of its own, as Python shows a list of bytes: [b'SET', b'k', b'v'].

    `print(request)` is all that it takes, once for each request.

    Print the list that the reader gave you, before or after answering, without changing it.

    Nothing to be seen? `print(request, flush=True)` does not wait until there is more to print.
    """
    requests = [[b"SET", rng.key(), rng.randbytes(5)], [b"GET", rng.key()]]
    for args in requests:
        client.send(request(*args))
        answered(client)
    for args in requests:
        assert server.await_output(f"{args!r}\n"), f"{args!r} was not printed, but:\n{server.output}"


@pytest.mark.read("Several in one chunk, one in several chunks")
def test_requests_in_one_chunk_are_each_answered(client: Client) -> None:
    """A hundred requests that are sent at once are answered a hundred times.

    How many answers come? If it is one: you take one request out of each chunk.

    Take requests out of the reader until it gives None; only then is the chunk done.
    """
    client.send(PING * 100)
    answered(client, 100)


@pytest.mark.read("Several in one chunk, one in several chunks")
def test_a_request_in_two_halves_is_answered_once(connect: Connect) -> None:
    """A request that is cut in two, at whatever byte, is answered once, when it is whole.

    The reader must live as long as its connection, not as long as one call of `data_received`.

    Make the `Reader` in the connection's `__init__`, and feed it each chunk.
    """
    client, other = connect(), connect()
    for cut in range(1, len(PING)):
        client.send(PING[:cut])
        other.send(PING)  # once this is answered, the first half has been read, alone
        answered(other)
        if cut < len(PING) - 1:
            client.expect_nothing()
        client.send(PING[cut:])
        answered(client)


@pytest.mark.read("Several in one chunk, one in several chunks")
def test_halves_of_two_clients_do_not_mix(connect: Connect) -> None:
    """Two clients send the first half of a request, then the second half: both are answered.

    Whose half is in the buffer when the second client's comes?

    Each connection has a reader of its own, made in `__init__`: not in the class, not in the module.
    """
    clients = [connect(), connect()]
    for half in (PING[:9], PING[9:]):
        for client in clients:
            client.send(half)
    for client in clients:
        answered(client)


@pytest.mark.until("03")
@pytest.mark.read("Several in one chunk, one in several chunks")
def test_requests_cut_on_two_connections_do_not_mix(connect: Connect, server: Server, rng: Dice) -> None:
    """Two clients send requests of several arguments in pieces, in turn; each is printed with its own arguments.

    Which arguments does your server print? What it remembers of an incomplete request belongs to one connection.

    The arguments read so far, how many are missing, and the last length are attributes of one reader: make them
    in `__init__`. A list in the body of the class, or in a default of a parameter, is one list for all readers.
    """
    clients, other = [connect(), connect()], connect()
    requests = [[b"SET", rng.key(), rng.key(12)], [b"HSET", rng.key(), rng.key(7), rng.key(30)]]
    pieces = []
    for args in requests:
        data = request(*args)
        cuts = sorted([len(request(*args[:1])) + 5, *rng.sample(range(30, len(data)), 5)])
        pieces.append([data[start:end] for start, end in pairwise([0, *cuts, len(data)])])
    for turn in zip(*pieces, strict=True):
        for client, piece in zip(clients, turn, strict=True):
            client.send(piece)
            other.send(PING)  # once this is answered, the piece has been read
            answered(other)
    for client in clients:
        answered(client)
    for args in requests:
        assert server.await_output(f"{args!r}\n"), f"{args!r} was not printed, but:\n{server.output}"


# Inline requests


@pytest.mark.read("As a person types it")
@pytest.mark.parametrize(
    ("line", "args"),
    [
        pytest.param(b"PING", [b"PING"], id="one-word"),
        pytest.param(b"  SET \t key   value  ", [b"SET", b"key", b"value"], id="many-blanks"),
        pytest.param(b'SET key "two words"', [b"SET", b"key", b"two words"], id="double-quotes"),
        pytest.param(b"SET key 'two words'", [b"SET", b"key", b"two words"], id="single-quotes"),
        pytest.param(b"ECHO \"\" ''", [b"ECHO", b"", b""], id="empty-words"),
        pytest.param(rb'ECHO "\n\r\t\b\a\\\"\q"', [b"ECHO", b'\n\r\t\b\a\\"q'], id="escapes"),
        pytest.param(rb'ECHO "\x00\xFf\x4a\xzz"', [b"ECHO", b"\x00\xffJxzz"], id="hexadecimal-escapes"),
        pytest.param(rb"ECHO 'it\'s' '\n'", [b"ECHO", b"it's", rb"\n"], id="single-quotes-have-one-escape"),
        pytest.param(rb"ECHO a\nb \x41", [b"ECHO", rb"a\nb", rb"\x41"], id="no-escapes-without-quotes"),
        pytest.param(b'ECHO ab"c d"', [b"ECHO", b"abc d"], id="a-quote-in-the-middle"),
        pytest.param(b"ECHO \"it's\" '\"'", [b"ECHO", b"it's", b'"'], id="a-quote-in-the-other"),
        pytest.param(b"ECHO \xff\x80", [b"ECHO", b"\xff\x80"], id="not-utf-8"),
    ],
)
def test_an_inline_request_is_split_as_a_shell_would(modules: Modules, line: bytes, args: list[bytes]) -> None:
    r"""A line that does not begin with `*` is a request too, split at blanks but not inside quotes.

    Go from left to right: a word is plain, or it is in double quotes, or in single quotes.

    In double quotes \n, \r, \t, \b, \a and \xHH mean what they mean in C, and a backslash before anything
    else stands for that. In single quotes only \' is special, and outside quotes nothing is.

    Real Redis does it in `sdssplitargs` (sds.c), byte by byte with two flags: in quotes, in single quotes.
    """
    modules.check(READ_ALL, [args], data=line + b"\r\n")


@pytest.mark.read("As a person types it")
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_an_inline_request_is_answered(client: Client, end: bytes) -> None:
    r"""A request may be typed by hand: `PING` and a line end, which may be `\n` alone.

    Try it: `nc 127.0.0.1 6379`, and type PING.

    Search for `\n`, and take off a `\r` before it when there is one.
    """
    client.send(b"PING" + end + b"ping" + end)
    answered(client, 2)


@pytest.mark.read("Requests of no words")
@pytest.mark.parametrize("nothing", [b"*0\r\n", b"*-1\r\n", b"*-9\r\n", b"\r\n", b"\n", b"   \r\n"], ids=repr)
def test_a_request_of_no_words_is_passed_over(client: Client, nothing: bytes) -> None:
    """A request of no words (`*0`, `*-1`, an empty line) gets no answer, and what follows it is read.

    `next` must not give an empty list: there is nothing in it to answer. And None would mean: wait for more.

    Go on with what is behind it, in a loop. There may be thousands of them in a row, so `next` cannot call itself:
    Python allows about a thousand calls inside one another.
    """
    client.send(nothing * 2 + PING + nothing)
    answered(client)
    client.send(nothing * 2000 + PING)
    answered(client)
    client.check(nothing + b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n")


# What is no request


@pytest.mark.read("Protocol errors")
@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"*x\r\n", "invalid multibulk length", id="a-count-that-is-no-number"),
        pytest.param(b"*\r\n", "invalid multibulk length", id="no-count"),
        pytest.param(b"*+1\r\n", "invalid multibulk length", id="a-count-with-a-plus"),
        pytest.param(b"*01\r\n", "invalid multibulk length", id="a-count-with-a-zero-in-front"),
        pytest.param(b"* 1\r\n", "invalid multibulk length", id="a-count-with-a-blank"),
        pytest.param(b"*1_0\r\n", "invalid multibulk length", id="a-count-as-Python-would-take-it"),
        pytest.param(b"*2147483648\r\n", "invalid multibulk length", id="too-many-words"),
        pytest.param(b"*1\r\nPING\r\n", "expected '$', got 'P'", id="a-word-without-its-length"),
        pytest.param(b"*1\r\n*1\r\n", "expected '$', got '*'", id="an-array-in-an-array"),
        pytest.param(b"*2\r\n$4\r\nPING\r\n:1\r\n", "expected '$', got ':'", id="a-number-for-a-word"),
        pytest.param(b"*1\r\n\r\n", "expected '$', got ' '", id="an-empty-line-for-a-word"),
        pytest.param(b"*1\r\n\n\r\n", "expected '$', got ' '", id="a-line-feed-for-a-word"),
        pytest.param(b"*1\r\n\xff\r\n", "expected '$', got '\udcff'", id="a-byte-that-is-no-text-for-a-word"),
        pytest.param(b"*1\r\n$x\r\n", "invalid bulk length", id="a-length-that-is-no-number"),
        pytest.param(b"*1\r\n$\r\n", "invalid bulk length", id="no-length"),
        pytest.param(b"*1\r\n$-1\r\n", "invalid bulk length", id="a-length-below-zero"),
        pytest.param(b"*1\r\n$04\r\n", "invalid bulk length", id="a-length-with-a-zero-in-front"),
        pytest.param(b"*1\r\n$536870913\r\n", "invalid bulk length", id="a-word-of-more-than-512-MB"),
        pytest.param(b'SET key "value\r\n', "unbalanced quotes in request", id="a-quote-that-is-not-closed"),
        pytest.param(b"SET key 'value\r\n", "unbalanced quotes in request", id="a-single-quote-not-closed"),
        pytest.param(b'SET "key"value\r\n', "unbalanced quotes in request", id="no-blank-behind-a-quote"),
    ],
)
def test_what_is_no_request_is_refused(client: Client, data: bytes, error: str) -> None:
    """What is not RESP gets Redis's error for it, byte for byte, and the connection is closed.

    Which line is wrong, and what would Redis say to it? The texts stand in the docstrings of `reader.py`.

    Redis is strict about numbers: an optional minus, digits, no zero in front. `int()` takes more.

    The error about a missing `$` has the very byte that came, even one that is no text, such as 0xff.

    Raise ProtocolError in the reader; the connection catches it, writes `-ERR Protocol error: …` and closes.
    """
    client.check(data, f"-ERR Protocol error: {error}\r\n".encode(errors="surrogateescape"))
    client.expect_closed()


@pytest.mark.read("Protocol errors")
def test_a_number_is_digits_with_one_minus_at_most(connect: Connect) -> None:
    r"""What only looks like a number in a header (`--5`, `1-1`, the byte `\xb2`) is refused.

    A minus may be the first byte and is allowed once. A digit is one of the ten bytes from `0` to `9`.

    `"²".isdigit()` is True in Python, and `int("²")` raises ValueError: ask `bytes`, not a `str`, for its digits.

    Match the whole text: `re.fullmatch(rb"0|-?[1-9][0-9]{0,18}", text)`.
    """
    for text in (b"--5", b"1-1", b"1-", b"-", b"-0", b"\xb2", b"-\xb2", "٣".encode(), b"1.0", b"0x1"):
        for header, error in ((b"*", b"invalid multibulk length"), (b"*1\r\n$", b"invalid bulk length")):
            client = connect()
            client.check(header + text + b"\r\n", b"-ERR Protocol error: %b\r\n" % error)
            client.expect_closed()


@pytest.mark.read("Protocol errors")
def test_a_header_ends_with_crlf(connect: Connect) -> None:
    r"""A header ends with CRLF: after `*1` or `$4` an LF alone does not end the line, and the number is none.

    Only an inline request may end in LF alone. Where do your headers end?

    Search for `\r` in a header. What is before it is the number, and an LF in there is no digit.
    """
    for data, error in (
        (b"*1\n$4\r\nPING\r\n", b"invalid multibulk length"),
        (b"*1\r\n$4\nPING\r\n", b"invalid bulk length"),
    ):
        client = connect()
        client.check(data, b"-ERR Protocol error: %b\r\n" % error)
        client.expect_closed()


@pytest.mark.read("Protocol errors")
def test_an_integer_is_read_as_strictly_as_redis_does(modules: Modules) -> None:
    """`parse_integer` reads digits with perhaps a minus before them, of a number that has room in 64 bits.

    What is not exactly so is no integer, and gives None. The result lists the texts that were read otherwise.

    `int()` takes more than that. Match the form first, then compare with `-(2**63)` and `2**63 - 1`.
    """
    numbers = [0, 7, -1, 1000, 2**63 - 1, -(2**63)]
    beyond = [2**63, -(2**63) - 1, 2**64 - 1, 10**19, 10**30]
    others = [b"", b"-", b"-0", b"--5", b"1-1", b"\xb2", b"+1", b"007", b" 1", b"1\n", b"1_0", b"1.0", "٣".encode()]
    modules.check(
        """
        from reader import parse_integer
        result = [(text, parse_integer(text)) for text in texts if parse_integer(text) != texts[text]]
        """,
        [],
        texts={b"%d" % number: number for number in numbers} | dict.fromkeys([b"%d" % it for it in beyond] + others),
    )


@pytest.mark.read("Limits")
@pytest.mark.parametrize("data", [b"*2147483647\r\n", b"*1\r\n$536870912\r\n"], ids=["words", "bytes"])
def test_the_greatest_request_is_waited_for(modules: Modules, data: bytes) -> None:
    """A request of 2147483647 words is still one, and so is a word of 512 MB: `next` gives None, and waits.

    The limits are the greatest numbers that are allowed.

    `value > limit` is too much, `value == limit` is not.
    """
    modules.check(READ_ALL, [], data=data)


@pytest.mark.read("Limits")
@pytest.mark.parametrize(
    ("start", "error"),
    [
        pytest.param(b"", "too big inline request", id="inline"),
        pytest.param(b"*", "too big mbulk count string", id="count"),
        pytest.param(b"*1\r\n$", "too big bulk count string", id="length"),
    ],
)
def test_a_line_without_an_end_is_refused(client: Client, start: bytes, error: str) -> None:
    """A line that has not ended after 64 kB is refused: a client cannot fill the memory with it.

    What does your reader do while no line end comes? It keeps everything. For how long?

    When there is no line end yet and the buffer holds more than 65536 bytes, raise ProtocolError. There is a
    text for each of the three kinds of line.
    """
    line = start.rpartition(b"\n")[2]
    client.send(start + b"1" * (MAX_LINE + 1 - len(line)))
    client.expect(f"-ERR Protocol error: {error}\r\n".encode())
    client.expect_closed()


@pytest.mark.read("Limits")
def test_a_long_line_is_read_when_it_ends_in_time(connect: Connect) -> None:
    """A line of 64 kB that has not ended yet is not refused: its end may come in the next chunk.

    The limit is on what can come without an end: more than 65536 bytes, not 65536.

    `len(self._buffer) > 64 * 1024`, and only when no line end was found.
    """
    client, other = connect(), connect()
    client.send(b"PING".ljust(MAX_LINE))
    other.send(PING)
    answered(other)
    client.expect_nothing()
    client.send(b"\r\n")
    answered(client)


@pytest.mark.read("Protocol errors")
def test_requests_before_an_error_are_answered_first(client: Client) -> None:
    """Good requests before a protocol error are answered before the error, even when all come in one chunk.

    What has happened to the answers when ProtocolError comes up?

    Collect them as you go, and write them before the error: the exception must not make you lose them.
    """
    client.send(PING + b"PING\r\n" + b"*1\r\n$x\r\n")
    answered(client, 2)
    client.expect(b"-ERR Protocol error: invalid bulk length\r\n")
    client.expect_closed()


@pytest.mark.read("Protocol errors")
def test_nothing_after_an_error_is_answered(client: Client) -> None:
    """After a protocol error nothing more is read from that client: who knows what the bytes mean.

    After the error has been written, the connection is closed. Does your loop go on with the next request?

    `self.transport.close()` sends what has been written and then hangs up. Take no more out of the reader.
    """
    client.check(b"*x\r\n" + PING, b"-ERR Protocol error: invalid multibulk length\r\n")
    client.expect_closed()


@pytest.mark.read("Protocol errors")
def test_an_error_of_one_client_is_nothing_to_another(connect: Connect) -> None:
    """When one client is refused, the others go on.

    Who is told to go? Only the connection whose reader raised the error.

    Catch ProtocolError in `data_received`, and close `self.transport`, not the server.
    """
    good, bad = connect(), connect()
    good.send(PING[:6])
    bad.check(b"*1\r\nPING\r\n", b"-ERR Protocol error: expected '$', got 'P'\r\n")
    bad.expect_closed()
    good.send(PING[6:])
    answered(good)
