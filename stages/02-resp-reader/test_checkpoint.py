"""Checkpoint 02: requests are read as Redis reads them, wherever they are cut, and what is not RESP is refused.

The tests stand in the order of the steps in the README. Until arrays can be read, they send inline requests. Where
the answer does not matter, they send `PING` and take any simple string, so that they hold for every later stage.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.server import Server
from stages.harness.wire import Client, request

Connect = Callable[[], Client]

PING = b"PING\r\n"
MAX_LINE = 64 * 1024


def answered(client: Client, times: int = 1) -> None:
    """Assert that `times` requests are answered, each with a simple string."""
    for _ in range(times):
        client.expect_line(b"+")


# Step 1: numbers

READ_NUMBERS = """
    from reader import parse_integer
    result = [(text, parse_integer(text)) for text in texts if parse_integer(text) != texts[text]]
    """


@step(1)
@pytest.mark.read("Step 1: numbers, read strictly")
def test_a_64_bit_integer_is_parsed(modules: Modules) -> None:
    """`parse_integer` reads digits, perhaps with a minus before them, if the number fits into 64 bits.

    Each text that your function reads otherwise is in the result, with what it returned. An exception is never right.

    A number of 64 bits with a sign is at least `-(2**63)` and at most `2**63 - 1`; any other gives None.
    """
    numbers = [0, 7, -1, 10, 1000, 2**63 - 1, -(2**63)]
    beyond = [2**63, -(2**63) - 1, 2**64 - 1, 10**19, 10**30]
    texts = {b"%d" % number: number for number in numbers} | dict.fromkeys(b"%d" % number for number in beyond)
    modules.check(READ_NUMBERS, [], texts=texts)


@step(1)
@pytest.mark.read("Step 1: numbers, read strictly")
def test_what_only_int_accepts_is_not_an_integer(modules: Modules) -> None:
    r"""`parse_integer` returns None for a plus, leading zeros, -0, spaces, `_`, and digits of other alphabets.

    Each text that your function reads otherwise is in the result, with what it returned. An exception is never right.

    Check the form first: `re.fullmatch(rb"0|-?[1-9][0-9]{0,18}", text)`. After that `int(text)` is safe.
    """
    texts = [b"", b"-", b"-0", b"--5", b"1-1", b"\xb2", b"+1", b"007", b" 1", b"1\n", b"1_0", b"1.0", "٣".encode()]
    modules.check(READ_NUMBERS, [], texts=dict.fromkeys(texts))


@step(1)
@pytest.mark.read("Step 1: numbers, read strictly")
def test_5000_digits_are_not_an_integer(modules: Modules) -> None:
    """`parse_integer` returns None for 5000 digits, and raises no exception.

    `int` raises ValueError for more than 4300 digits. So how many may there be, before it is called?

    A number of 64 bits has at most 19 digits: `[0-9]{0,18}` after the first one.
    """
    modules.check("from reader import parse_integer\nresult = parse_integer(b'9' * 5000)", None)


# Step 2: lines

READ_ALL = """
    from reader import Reader
    reader = Reader()
    reader.feed(data)
    result = []
    while (args := reader.next()) is not None:
        result.append(args)
    """
READ_CUT = """
    from reader import ProtocolError, Reader
    result = []
    for cut in range(1, len(data)):
        reader, chunks, got = Reader(), [data[:cut], data[cut:]], []
        try:
            for chunk in chunks:
                reader.feed(chunk)
                got.append(reader.next())
        except ProtocolError as error:
            got.append(str(error))
        if got != [None, args]:
            result.append((chunks, got))
    """


@step(2)
@pytest.mark.read("Step 2: a line, as a person types it")
@pytest.mark.parametrize(
    ("line", "args"),
    [
        pytest.param(b"PING\n", [b"PING"], id="LF"),
        pytest.param(b"PING\r\n", [b"PING"], id="CRLF"),
        pytest.param(b"  SET \t key   value  \r\n", [b"SET", b"key", b"value"], id="many-spaces"),
        pytest.param(b"ECHO \xff\x80\r\n", [b"ECHO", b"\xff\x80"], id="not-UTF-8"),
        pytest.param(
            rb"""SET "two words" 'it\'s' "\x00\n" """ + b"\n", [b"SET", b"two words", b"it's", b"\0\n"], id="quotes"
        ),
    ],
)
def test_an_inline_request_is_read_as_its_arguments(modules: Modules, line: bytes, args: list[bytes]) -> None:
    r"""An inline request, a line that ends with `\n` or `\r\n`, is read as the list of its arguments.

    `next`, which is given, calls your `_read_line`. Which bytes does that return? Does your code not finish? `next`
    calls again after an empty line: what is left in the buffer after a line?

    Search the buffer for `\n`. Return the bytes before it, and delete them and the `\n` from the buffer.
    """
    modules.check(READ_ALL, [args], data=line)


@step(2)
@pytest.mark.read("Step 2: a line, as a person types it")
def test_several_lines_in_one_chunk_are_all_read(modules: Modules, rng: Dice) -> None:
    """Three lines in one chunk are three requests, in their order; then `next` returns None.

    What happens to the bytes after the first line?

    `del self._buffer[:end + 1]` deletes one line, and leaves the rest for the next call.
    """
    requests = [[b"PING"], [b"SET", rng.key(), rng.key()], [b"GET", rng.key()]]
    modules.check(READ_ALL, requests, data=b"".join(b" ".join(args) + b"\r\n" for args in requests))


@step(2)
@pytest.mark.read("Step 2: a line, as a person types it")
def test_a_line_may_be_cut_anywhere(modules: Modules, rng: Dice) -> None:
    r"""A line that comes in two chunks is read when its second half has come, and not before.

    `next` returns None while the `\n` is missing. The bytes that have come must stay in the buffer.

    Delete nothing from the buffer as long as `find` returns -1.
    """
    args = [b"ECHO", rng.key(12)]
    modules.check(READ_CUT, [], data=b" ".join(args) + b"\r\n", args=args)


@step(2)
@pytest.mark.read("Step 2: a line, as a person types it")
def test_a_line_of_more_than_64_kB_is_refused(modules: Modules) -> None:
    r"""65536 bytes without `\n` are kept, since a `\n` may follow; for 65537 bytes `next` raises ProtocolError.

    What does your reader do while no `\n` comes? It keeps every byte. How many may that be?

    Compare `len(self._buffer)` with MAX_LINE, only if no `\n` was found. `what` is a part of the text.
    """
    modules.check(
        """
        from reader import ProtocolError, Reader
        result = []
        for size in (65536, 65537):
            reader = Reader()
            reader.feed(b"x" * size)
            try:
                result.append(reader.next())
            except ProtocolError as error:
                result.append(str(error))
        """,
        [None, "Protocol error: too big inline request"],
    )


@step(2)
@pytest.mark.read("Step 2: a line, as a person types it")
@pytest.mark.parametrize(
    ("data", "lines"),
    [
        pytest.param(r"b'x' * 70000 + b'\n'", (1, 70000), id="one-long-line"),
        pytest.param(r"b'PING\n' * 20000", (20000, 80000), id="many-short-lines"),
    ],
)
def test_a_chunk_of_more_than_64_kB_is_read_if_its_lines_end(
    modules: Modules, data: str, lines: tuple[int, int]
) -> None:
    r"""More than 64 kB in the buffer are no error if there is a `\n`. The result: how many lines, of how many bytes.

    When do you look at the size of the buffer: before you search for `\n`, or after that?

    Call `find` first. Only if it returns -1, compare `len(self._buffer)` with MAX_LINE.
    """
    modules.check(
        f"""
        from reader import Reader
        reader = Reader()
        reader.feed({data})
        count = size = 0
        while (args := reader.next()) is not None:
            count += 1
            size += len(args[0])
        result = (count, size)
        """,
        lines,
    )


# Step 3: a reply to each request


@step(3)
@pytest.mark.until("03")
@pytest.mark.read("Step 3: print and reply")
def test_every_request_is_answered_with_ok(client: Client, rng: Dice) -> None:
    r"""Every request is answered with the simple string OK: `+OK\r\n`.

    Write one answer for each request that the reader returns.

    `self.reader.feed(data)`, then call `self.reader.next()` until it returns None.
    """
    client.check(b"SET %b %b\r\n" % (rng.key(), rng.key()), b"+OK\r\n")
    client.check(b"GET %b\r\n" % rng.key(), b"+OK\r\n")
    client.check(b"x\n", b"+OK\r\n")


@step(3)
@pytest.mark.until("03")
@pytest.mark.read("Step 3: print and reply")
def test_every_request_is_printed(client: Client, server: Server, rng: Dice) -> None:
    """Each request is printed on a line of its own, as Python shows a list of bytes: [b'SET', b'k', b'v'].

    `print(request, flush=True)` is all that is needed, once for each request.

    Print the list that the reader returned, without changing it. Without `flush=True` Python may keep the output until
    there is more of it.
    """
    requests = [[b"SET", rng.key(), rng.key()], [b"GET", rng.key()]]
    for args in requests:
        client.send(b" ".join(args) + b"\r\n")
        answered(client)
    for args in requests:
        assert server.await_output(f"{args!r}\n"), f"{args!r} was not printed, but:\n{server.output}"


@step(3)
@pytest.mark.read("Step 3: print and reply")
def test_requests_in_one_chunk_are_each_answered(client: Client) -> None:
    """A hundred requests that are sent at once get a hundred answers.

    How many answers come? If it is one: you take one request out of each chunk.

    Take requests from the reader until it returns None. Then all requests of the chunk have been taken.
    """
    client.send(PING * 100)
    answered(client, 100)


@step(3)
@pytest.mark.read("Step 3: print and reply")
def test_a_request_in_two_halves_is_answered_once(connect: Connect) -> None:
    """A request that is cut in two, at any byte, is answered once, when it is complete.

    The reader must live as long as its connection, not as long as one call of `data_received`.

    The connection's `__init__` makes a Reader of its own. Feed it each chunk.
    """
    client, other = connect(), connect()
    for cut in range(1, len(PING)):
        client.send(PING[:cut])
        other.send(PING)  # once this is answered, the first half has been read, alone
        answered(other)
        client.expect_nothing()
        client.send(PING[cut:])
        answered(client)


@step(3)
@pytest.mark.read("Step 3: print and reply")
def test_halves_of_two_clients_do_not_mix(connect: Connect) -> None:
    """Two clients send the first half of a request, then both send the second half: both are answered.

    Whose half is in the buffer when the second client's half comes?

    Each connection has a reader of its own, made in `__init__`: not in the class, not in the module.
    """
    clients = [connect(), connect()]
    for half in (PING[:2], PING[2:]):
        for client in clients:
            client.send(half)
    for client in clients:
        answered(client)


@step(3)
@pytest.mark.read("Step 3: print and reply")
@pytest.mark.parametrize("line", [b"\r\n", b"\n", b"   \r\n"], ids=repr)
def test_an_empty_line_is_skipped(client: Client, line: bytes) -> None:
    """An empty line is a request without arguments: it gets no answer, and the request after it is read.

    `next` must not return an empty list, since there is nothing to answer; nor None, which means: wait for more.

    There may be thousands of them, so `next` needs a loop: Python allows some thousand nested calls.
    """
    client.send(line * 2 + PING + line)
    answered(client)
    client.send(line * 2000 + PING)
    answered(client)


@step(3)
@pytest.mark.read("Step 3: print and reply")
@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b'SET key "value\r\n', "unbalanced quotes in request", id="a-quote-that-is-not-closed"),
        pytest.param(b"SET key 'value\r\n", "unbalanced quotes in request", id="a-single-quote-not-closed"),
        pytest.param(b'SET "key"value\r\n', "unbalanced quotes in request", id="no-space-after-a-quote"),
        pytest.param(b"1" * (MAX_LINE + 1), "too big inline request", id="a-line-without-an-end"),
    ],
)
def test_a_protocol_error_is_answered_and_the_connection_is_closed(client: Client, data: bytes, error: str) -> None:
    r"""After a protocol error the client gets the error, `-ERR Protocol error: …\r\n`, and the connection is closed.

    `next` raises ProtocolError. Who catches it? And in which order do you write and close? What is written after
    `close()` is lost.

    In `data_received`: `except ProtocolError as error`, write `f"-ERR {error}\r\n".encode(errors="surrogateescape")`,
    then close the transport.
    """
    client.send(data)
    client.expect(f"-ERR Protocol error: {error}\r\n".encode())
    client.expect_closed()


@step(3)
@pytest.mark.read("Step 3: print and reply")
def test_requests_before_an_error_are_answered_first(client: Client) -> None:
    """Requests before a protocol error are answered before the error, even if all come in one chunk.

    What has happened to the answers when ProtocolError is raised?

    Collect them in a bytearray, and append the error to it: the exception must not make you lose them.
    """
    client.send(PING + b"PING\n" + b'SET "\r\n')
    answered(client, 2)
    client.expect(b"-ERR Protocol error: unbalanced quotes in request\r\n")
    client.expect_closed()


@step(3)
@pytest.mark.read("Step 3: print and reply")
def test_nothing_after_an_error_is_answered(client: Client) -> None:
    """After a protocol error no request of that client is answered: nobody knows where the next one begins.

    After the error has been written, the connection is closed. Does your loop go on with the next request?

    `self.transport.close()` sends what has been written, and then closes. Take no more requests from the reader.
    """
    client.check(b"'\r\n" + PING, b"-ERR Protocol error: unbalanced quotes in request\r\n")
    client.expect_closed()


@step(3)
@pytest.mark.read("Step 3: print and reply")
def test_an_error_of_one_client_does_not_affect_another(connect: Connect) -> None:
    """When one client is refused, the others go on.

    Which connection is closed? Only the one whose reader raised the error.

    Catch ProtocolError in `data_received`, and close `self.transport`, not the server.
    """
    good, bad = connect(), connect()
    good.send(PING[:3])
    bad.check(b'"\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n")
    bad.expect_closed()
    good.send(PING[3:])
    answered(good)


CONNECTION = """
    import contextlib, io
    from reader import ProtocolError
    from server import Connection

    class Reader:
        def feed(self, data):
            self.answers = iter(answers)
        def next(self):
            answer = next(self.answers)
            if isinstance(answer, str):
                raise ProtocolError(answer)
            return answer

    class Transport:
        closed, writes = False, []
        def write(self, data):
            if data and not self.closed:
                self.writes.append(bytes(data))
        def writelines(self, parts):
            self.write(b"".join(parts))
        def close(self):
            self.closed = True
        def is_closing(self):
            return self.closed
        def abort(self):
            self.closed = True
            self.writes.clear()

    class Terminal(io.StringIO):
        shown = ""
        def flush(self):
            self.shown = self.getvalue()

    connection = Connection(None)
    connection.reader, connection.transport = Reader(), Transport()
    with contextlib.redirect_stdout(Terminal()) as terminal:
        connection.data_received(b"(the reader of this test does not look at it)")
    """


@step(3)
@pytest.mark.until("03")
@pytest.mark.read("Step 3: print and reply")
def test_what_is_printed_is_seen_at_once(modules: Modules) -> None:
    """What `data_received` has printed is on the terminal when it returns.

    Python keeps what is printed until there is more of it, if the output goes to a file or another program.

    `print(request, flush=True)`.
    """
    modules.check(CONNECTION + "result = terminal.shown", "[b'PING']\n", answers=[[b"PING"], None])


@step(3)
@pytest.mark.until("03")
@pytest.mark.read("Step 3: print and reply")
def test_the_answers_to_a_chunk_are_one_write(modules: Modules) -> None:
    """`data_received` calls `write` once for all answers to a chunk: each call costs a system call, and a packet.

    The result lists what each call of `write` was given. Where do you call it?

    Collect the answers in a bytearray, and write it after the loop.
    """
    answers = [[b"PING"], [b"GET", b"k"], [b"PING"], None]
    modules.check(CONNECTION + "result = connection.transport.writes", [b"+OK\r\n" * 3], answers=answers)


@step(3)
@pytest.mark.until("03")
@pytest.mark.read("Step 3: print and reply")
def test_an_error_is_one_line_of_any_bytes(modules: Modules) -> None:
    r"""An error may quote any byte. CR and LF become spaces; 0xff, a placeholder in the text, is sent as 0xff.

    Is it a UnicodeEncodeError? Then tell `encode` what to do with a placeholder. Is a CR or LF in the result? Then a
    client would take the rest for another answer. Is the result empty? Then the error was not written before `close()`;
    `abort()` drops what was written.

    `str(error).replace("\r", " ").replace("\n", " ")`; then `encode(errors="surrogateescape")`.
    """
    source = CONNECTION + 'result = b"".join(connection.transport.writes)'
    modules.check(source, b"-ERR Protocol error: a  b\xff\r\n", answers=["Protocol error: a\r\nb\udcff"])


# Step 4: the header of an array


@step(4)
@pytest.mark.read("Step 4: the header of an array")
@pytest.mark.parametrize("header", [b"*0\r\n", b"*-1\r\n", b"*-9\r\n"], ids=repr)
def test_an_array_without_arguments_is_skipped(client: Client, header: bytes) -> None:
    """An array of 0 or fewer arguments gets no answer, and the request after it is read.

    What does `_read_array` return for it? `next`, which is given, calls again as long as it gets `[]`.

    `self._missing` is never negative: `max(count, 0)`.
    """
    client.send(header * 2 + PING + header)
    answered(client)
    client.send(header * 2000 + PING)
    answered(client)
    client.check(header + b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n")


@step(4)
@pytest.mark.read("Step 4: the header of an array")
def test_a_header_may_be_cut_anywhere(modules: Modules) -> None:
    r"""A header that comes in two chunks, cut at any byte, is read when it is complete, and not before.

    `next` returns None as long as a byte is missing, also if it is only the `\n`.

    If `_read_line` returns None, return None too, and take nothing from the buffer.
    """
    modules.check(READ_CUT, [], data=b"*0\r\n*-1\r\nPING\r\n", args=[b"PING"])


@step(4)
@pytest.mark.read("Step 4: the header of an array")
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(b"x", id="a-letter"),
        pytest.param(b"", id="no-number"),
        pytest.param(b"+1", id="a-plus"),
        pytest.param(b"01", id="a-zero-in-front"),
        pytest.param(b" 1", id="a-space"),
        pytest.param(b"1-1", id="a-minus-inside"),
        pytest.param(b"1_0", id="as-Python-writes-it"),
        pytest.param(b"2147483648", id="too-many-arguments"),
    ],
)
def test_a_count_that_is_not_a_number_is_refused(client: Client, count: bytes) -> None:
    """If there is no number after `*`, or too large a number, the client gets `invalid multibulk length`.

    Which numbers does your server accept? `int` accepts more than Redis; `parse_integer` is as strict. And `limit` is
    the largest number that is allowed.

    In `_read_header`: if `parse_integer` returns None, or the number is above `limit`, raise ProtocolError.
    """
    client.check(b"*%b\r\n" % count, b"-ERR Protocol error: invalid multibulk length\r\n")
    client.expect_closed()


@step(4)
@pytest.mark.read("Step 4: the header of an array")
def test_the_header_of_an_array_ends_with_crlf(connect: Connect) -> None:
    r"""The header of an array ends with CRLF: if it ends with `\n` alone, it is refused.

    Only an inline request may end with `\n` alone. `_read_line` takes a line up to `\n`: where is the `\r`?

    The line must end with `\r`. The number is what stands between the sign and the `\r`. `line[1:-1]` takes off the
    last byte, whatever it is: of `*10` that leaves 1. So ask `line.endswith(b"\r")`.
    """
    for header in (b"*0\n", b"*10\n"):
        client = connect()
        client.check(header + b"PING\r\n", b"-ERR Protocol error: invalid multibulk length\r\n")
        client.expect_closed()


@step(4)
@pytest.mark.read("Step 4: the header of an array")
def test_the_header_of_an_array_has_a_limit(client: Client) -> None:
    """A header that has not ended after 64 kB is refused, with a text of its own.

    An inline request has this limit too; the text says which of them was too long.

    `_read_header` calls `_read_line(f"{what} string")`, and `what` is "mbulk count" here.
    """
    client.send(b"*".ljust(MAX_LINE + 1, b"1"))
    client.expect(b"-ERR Protocol error: too big mbulk count string\r\n")
    client.expect_closed()


READ_HEADER = """
    from reader import ProtocolError, Reader
    reader = Reader()
    reader.feed(data)
    try:
        result = reader._read_header(b"$", 9, "bulk count", "bulk length")
    except ProtocolError as error:
        result = str(error)
    """


@step(4)
@pytest.mark.until("03")
@pytest.mark.read("Step 4: the header of an array")
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"$9\r\n", 9, id="the-limit"),
        pytest.param(b"$10\r\n", "Protocol error: invalid bulk length", id="above-the-limit"),
    ],
)
def test_a_header_has_a_limit(modules: Modules, data: bytes, expected: object) -> None:
    """`_read_header` returns the number if it is `limit` or smaller, and refuses a greater one.

    `limit` is 9 here, and is itself allowed. What is between the sign and CRLF?

    `value > limit` is too much. `parse_integer(line[1:-1])` reads the number: `line` still has its `\\r`.
    """
    modules.check(READ_HEADER, expected, data=data)


@step(4)
@pytest.mark.until("03")
@pytest.mark.read("Step 4: the header of an array")
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"x\r\n", "Protocol error: expected '$', got 'x'", id="another-sign"),
        pytest.param(b"x\r", None, id="not-a-whole-line"),
        pytest.param(b"\r\n", "Protocol error: expected '$', got '\r'", id="an-empty-line"),
        pytest.param(b"\n\r\n", "Protocol error: expected '$', got '\n'", id="a-newline"),
        pytest.param(b"\xff\r\n", "Protocol error: expected '$', got '\udcff'", id="a-byte-that-is-no-text"),
    ],
)
def test_a_header_begins_with_its_sign(modules: Modules, data: bytes, expected: object) -> None:
    r"""If a line begins with another byte than `sign`, the error quotes that byte, whatever it is.

    Three things in this order: wait for the whole line, compare its first byte with `sign`, read the number. The first
    byte may be the line's end, and may be no text.

    Take the byte from the buffer, before `_read_line` takes the `\n`: `first = self._buffer[:1]`. Make text of it with
    `first.decode(errors="surrogateescape")`.
    """
    modules.check(READ_HEADER, expected, data=data)


@step(4)
@pytest.mark.until("03")
@pytest.mark.read("Step 4: the header of an array")
def test_an_array_keeps_its_arguments_until_it_is_complete(modules: Modules) -> None:
    """The arguments so far are kept when `_read_bulk` returns None; the next array begins without them.

    The test has its own `_read_bulk`, which returns GET, None, key and PING. What is left in `self._args` after each?

    At the end `args, self._args = self._args, []`, then return `args`. `self._args.clear()` would empty the same list
    that you return.
    """
    modules.check(
        r"""
        from reader import Reader
        class Reader(Reader):
            def _read_bulk(self):
                return arguments.pop(0) if arguments else None
        reader = Reader()
        reader.feed(b"*2\r\n")
        result = [reader.next(), reader.next()]
        reader.feed(b"*1\r\n")
        result.append(reader.next())
        """,
        [None, [b"GET", b"key"], [b"PING"]],
        arguments=[b"GET", None, b"key", b"PING"],
    )


# Step 5: a bulk string


@step(5)
@pytest.mark.read("Step 5: a bulk string")
@pytest.mark.parametrize(
    "args",
    [
        pytest.param([b"PING"], id="one-argument"),
        pytest.param([b"SET", b"key", b"value"], id="three-arguments"),
        pytest.param([b"ECHO", b""], id="an-empty-argument"),
        pytest.param([b"ECHO", b"a\r\nb\n*1\r\n$4\r\n"], id="line-ends-in-an-argument"),
        pytest.param([b"ECHO", bytes(range(256))], id="every-byte"),
        pytest.param([b"MSET"] + [b"%d" % number for number in range(99)], id="a-hundred-arguments"),
    ],
)
def test_a_request_is_read_as_its_arguments(modules: Modules, args: list[bytes]) -> None:
    """A request is read as the list of its arguments, each of them the bytes that were sent.

    `*2` says that two arguments follow; `$4` says that the next one has four bytes. A part of a bytearray is a
    bytearray: return `bytes`.

    An argument is counted, not searched for its end: take as many bytes as its header says, and then two more, CRLF.

    Never split the buffer at CRLF: an argument may contain one.
    """
    modules.check(READ_ALL, [args], data=request(*args))


@step(5)
@pytest.mark.read("Step 5: a bulk string")
def test_several_requests_in_one_chunk_are_all_read(modules: Modules, rng: Dice) -> None:
    """Three requests in one chunk are read as three, in their order; then `next` returns None.

    What happens to the bytes after the first request?

    Keep them in the buffer: take one argument from its front, and leave the rest for the next call.
    """
    requests = [[b"PING"], [b"SET", rng.key(), rng.key()], [b"ECHO", rng.randbytes(20)]]
    data = b"".join(request(*args) for args in requests)
    modules.check(READ_ALL, requests, data=data)


@step(5)
@pytest.mark.read("Step 5: a bulk string")
def test_any_two_bytes_may_stand_after_an_argument(client: Client) -> None:
    r"""The two bytes after an argument are counted and not checked, as in Redis: `xy` will do as well as CRLF.

    What does your server do with bytes that it did not expect there? It need not look at them.

    Delete `self._length + 2` bytes from the buffer, whatever the last two are.
    """
    client.send(b"*1\r\n$4\r\nPINGxy" * 2 + PING)
    answered(client, 3)


@step(5)
@pytest.mark.read("Step 5: a bulk string")
def test_a_request_may_be_cut_anywhere(modules: Modules, rng: Dice) -> None:
    """A request cut in two, at any byte, is read when its second half has come, and not before.

    The result lists each cut that goes wrong: the two chunks, and what `next` returned after each. It returns None as
    long as a byte is missing. What it has taken from the buffer by then must not be lost.

    The cut may be inside a number, between CR and LF, or inside an argument. Which of them does your code forget?

    Once the header of a bulk string is read, keep its number in `self._length`, and wait until that many bytes *and*
    the CRLF after them are in the buffer. 0 is a length, too: ask `self._length is None`, not `not self._length`.
    """
    args = [b"ECHO", b"", rng.key(12)]
    modules.check(READ_CUT, [], data=request(*args), args=args)


@step(5)
@pytest.mark.read("Step 5: a bulk string")
def test_requests_may_come_in_any_pieces(modules: Modules, rng: Dice) -> None:
    """Requests that come byte by byte, or in pieces of any sizes, are read as if they came at once.

    After each piece `next` is called: mostly it has to return None, and lose nothing.

    If it works with two pieces but not with many: what do you remember from call to call?

    What is remembered of an incomplete request must be cleared when the request is complete, not before.
    """
    typed = [b"ECHO", rng.key(30)]
    requests = [[b"PING"], [b"SET", rng.key(), b""], [b"ECHO", b"\r\n"], typed, [b"PING"], typed]
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
                while (args := reader.next()) is not None:
                    requests.append(args)
            if requests != expected:
                result.append((cuts, requests))
        """,
        [],
        data=data,
        rounds=[[1] * len(data)] + [rng.choices(range(1, 60), k=len(data)) for _ in range(50)],
        expected=requests,
    )


@step(5)
@pytest.mark.until("03")
@pytest.mark.read("Step 5: a bulk string")
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
    for both in zip(*pieces, strict=True):
        for client, piece in zip(clients, both, strict=True):
            client.send(piece)
            other.send(PING)  # once this is answered, the piece has been read
            answered(other)
    for client in clients:
        answered(client)
    for args in requests:
        assert server.await_output(f"{args!r}\n"), f"{args!r} was not printed, but:\n{server.output}"


@step(5)
@pytest.mark.read("Time that grows with the square")
@pytest.mark.parametrize(
    ("pieces", "size"),
    [
        pytest.param(r"[b'*1\r\n$67108864\r\n'] + [b'x' * 65536] * 1024 + [b'\r\n']", 64 << 20, id="64-MB"),
        pytest.param(r"[b'*1\r\n$300000\r\n'] + [b'x'] * 300000 + [b'\r\n']", 300000, id="byte-by-byte"),
        pytest.param(r"[b'*20000\r\n'] + [b'$3\r\n', b'abc\r\n'] * 20000", 60000, id="many-arguments-in-small-pieces"),
        pytest.param(
            r"[b'*1\r\n$4\r\nPING\r\n' * 20000 + b'*1\r\n$16777216\r\n' + b'x' * (16 << 20) + b'\r\n']",
            80000 + (16 << 20),
            id="many-requests-and-16-MB-in-one-chunk",
        ),
    ],
)
def test_twice_as_much_takes_twice_as_long(modules: Modules, pieces: str, size: int) -> None:
    """However large a request is, and in however many pieces it comes, it is read in a fraction of a second.

    Did it take too long? Then some work is done again for each piece, or for each request.

    `bytes` cannot grow: `buffer = buffer + data` copies all of it each time, and so does `buffer[n:]`.
    A `bytearray` can: `buffer += data`, and `del buffer[:n]`.

    And an incomplete request must not be read from its beginning each time: keep the arguments that are
    complete, and the length that the last header gave.
    """
    modules.check(
        f"""
        from reader import Reader
        reader = Reader()
        result = 0
        for piece in {pieces}:
            reader.feed(piece)
            while (args := reader.next()) is not None:
                result += sum(len(arg) for arg in args)
        """,
        size,
        seconds=5,
    )


@step(5)
@pytest.mark.read("Step 5: a bulk string")
@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"*1\r\nPING\r\n", "expected '$', got 'P'", id="an-argument-without-its-length"),
        pytest.param(b"*1\r\n*1\r\n", "expected '$', got '*'", id="an-array-in-an-array"),
        pytest.param(b"*2\r\n$4\r\nPING\r\n:1\r\n", "expected '$', got ':'", id="an-integer-as-an-argument"),
        pytest.param(b"*1\r\n\r\n", "expected '$', got ' '", id="an-empty-line-as-an-argument"),
        pytest.param(b"*1\r\n\n\r\n", "expected '$', got ' '", id="a-newline-as-an-argument"),
        pytest.param(b"*1\r\n\xff\r\n", "expected '$', got '\udcff'", id="a-byte-that-is-no-text"),
        pytest.param(b"*1\r\n$x\r\n", "invalid bulk length", id="a-length-that-is-not-a-number"),
        pytest.param(b"*1\r\n$\r\n", "invalid bulk length", id="no-length"),
        pytest.param(b"*1\r\n$-1\r\n", "invalid bulk length", id="a-negative-length"),
        pytest.param(b"*1\r\n$04\r\n", "invalid bulk length", id="a-length-with-a-zero-in-front"),
        pytest.param(b"*1\r\n$4\nPING\r\n", "invalid bulk length", id="a-header-that-ends-with-LF"),
        pytest.param(b"*1\r\n$40\nPING\r\n", "invalid bulk length", id="two-digits-and-LF"),
        pytest.param(b"*1\r\n$536870913\r\n", "invalid bulk length", id="an-argument-of-more-than-512-MB"),
        pytest.param(b"*1\r\n$".ljust(MAX_LINE + 5, b"1"), "too big bulk count string", id="a-header-without-an-end"),
    ],
)
def test_what_is_not_a_bulk_string_is_refused(client: Client, data: bytes, error: str) -> None:
    """If what follows in an array is not a bulk string, the client gets Redis's error, and the connection is closed.

    Which line is wrong, and what would Redis say? The texts stand in the docstrings of `reader.py`. What
    becomes of CR and LF in them stands in that of `data_received`.

    Redis is strict about numbers: perhaps a minus, then digits, no zero in front. `int` accepts more.

    The error about a missing `$` has the byte that came, also a byte that is not text, such as 0xff: decode it with
    `errors="surrogateescape"`, and encode the error in the same way.
    """
    client.send(data)
    client.expect(f"-ERR Protocol error: {error}\r\n".encode(errors="surrogateescape"))
    client.expect_closed()


@step(5)
@pytest.mark.read("Step 5: a bulk string")
@pytest.mark.parametrize("data", [b"*2147483647\r\n", b"*1\r\n$536870912\r\n"], ids=["arguments", "bytes"])
def test_the_largest_request_is_waited_for(modules: Modules, data: bytes) -> None:
    """2147483647 arguments are allowed, and so is an argument of 512 MB: `next` returns None, and waits.

    Is it a MemoryError, or does it take too long? Then your code makes room for what has only been announced. Is the
    number refused? The limits are the largest numbers that are allowed.

    `value > limit` is too much, `value == limit` is not. Keep what has come, and count what is missing.
    """
    modules.check(READ_ALL, [], data=data)
