"""Checkpoint 03: ten types of reply, in both versions of the protocol, and the first commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.server import Server
from stages.harness.wire import Client, Error, request

Connect = Callable[[], Client]

ENCODE = """
    from writer import encode
    result = [encode({value}), encode({value}, 3)]
    """


def same(encoded: bytes) -> tuple[bytes, bytes]:
    """RESP2 and RESP3 write it the same way."""
    return encoded, encoded


# Step 1: integers, bulk strings and null


@step(1)
@pytest.mark.read("Step 1: integers, bulk strings and null")
@pytest.mark.parametrize(
    ("value", "resp2", "resp3"),
    [
        pytest.param("-12", *same(b":-12\r\n"), id="integer"),
        pytest.param("b'hello'", *same(b"$5\r\nhello\r\n"), id="bulk-string"),
        pytest.param("b''", *same(b"$0\r\n\r\n"), id="empty-bulk-string"),
        pytest.param(r"b'a\r\n\0\xff'", *same(b"$5\r\na\r\n\0\xff\r\n"), id="binary-bulk-string"),
        pytest.param("'naïve'.encode()", *same("$6\r\nnaïve\r\n".encode()), id="utf-8-bulk-string"),
        pytest.param("None", b"$-1\r\n", b"_\r\n", id="null"),
    ],
)
def test_an_integer_a_bulk_string_and_null_are_written(
    modules: Modules, value: str, resp2: bytes, resp3: bytes
) -> None:
    """An int, bytes and None are written as integer, bulk string and null, in RESP2 (first) and in RESP3 (second).

    The table in the docstring of `encode` says which Python type becomes which RESP type. Each line ends with CRLF.

    `match value:` with `case int():`, `case bytes():` and `case None:`. `b":%d\\r\\n" % value` writes an integer.

    A bulk string is `$`, the number of its bytes, CRLF, the bytes, CRLF. Only null depends on `protocol`.
    """
    modules.check(ENCODE.format(value=value), [resp2, resp3])


# Step 2: a text that cannot break its line


@step(2)
@pytest.mark.read("Step 2: a text that cannot break its line")
@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param("'OK'", b"+OK\r\n", id="simple-string"),
        pytest.param("ValueError('ERR no')", b"-ERR no\r\n", id="error"),
        pytest.param(r"'two\r\nlines'", b"+two  lines\r\n", id="CRLF"),
        pytest.param(r"'\n+OK\r'", b"+ +OK \r\n", id="LF-and-CR-alone"),
        pytest.param(r"ValueError('ERR no\r\n+OK')", b"-ERR no  +OK\r\n", id="CRLF-in-an-error"),
        pytest.param(r"'\udcff \xe9'", b"+\xff \xc3\xa9\r\n", id="not-UTF-8"),
    ],
)
def test_a_text_is_written_as_one_line(modules: Modules, value: str, written: bytes) -> None:
    """A str is written as a simple string, an exception as an error, and a line end in it as spaces.

    Is it a UnicodeEncodeError? Then tell `encode` of `str` what to do with a byte that is no text. Else: a simple
    string and an error end at the first CRLF. What does a client read when the text has one in it?

    Replace each CR and each LF by a space, then encode the text with `errors="surrogateescape"`.
    """
    modules.check(ENCODE.format(value=value), [written, written])


# Step 3: arrays and sets


@step(3)
@pytest.mark.read("Step 3: arrays and sets")
@pytest.mark.parametrize(
    ("value", "resp2", "resp3"),
    [
        pytest.param("[1, b'two']", *same(b"*2\r\n:1\r\n$3\r\ntwo\r\n"), id="array"),
        pytest.param("[]", *same(b"*0\r\n"), id="empty-array"),
        pytest.param("(1, 'two')", *same(b"*2\r\n:1\r\n+two\r\n"), id="tuple"),
        pytest.param(
            "[[], [1, [2]], [[[]]]]",
            *same(b"*3\r\n*0\r\n*2\r\n:1\r\n*1\r\n:2\r\n*1\r\n*1\r\n*0\r\n"),
            id="nested",
        ),
        pytest.param(
            "[None, [None]]", b"*2\r\n$-1\r\n*1\r\n$-1\r\n", b"*2\r\n_\r\n*1\r\n_\r\n", id="nulls-in-an-array"
        ),
        pytest.param("[{7}, frozenset()]", b"*2\r\n*1\r\n:7\r\n*0\r\n", b"*2\r\n~1\r\n:7\r\n~0\r\n", id="sets"),
        pytest.param("{frozenset([None])}", b"*1\r\n*1\r\n$-1\r\n", b"~1\r\n~1\r\n_\r\n", id="protocol-inside-a-set"),
    ],
)
def test_an_array_and_a_set_are_written_with_their_items(
    modules: Modules, value: str, resp2: bytes, resp3: bytes
) -> None:
    """A list, a tuple and a set are written as a sign, the number of items, and the items, in RESP2 and in RESP3.

    An item can be an array or a set, too. Which function writes an item?

    `encode` itself writes each item, with the same `protocol`. In RESP2 a set is an array: `*` instead of `~`.
    """
    modules.check(ENCODE.format(value=value), [resp2, resp3])


# Step 4: maps, booleans and doubles


@step(4)
@pytest.mark.read("Step 4: maps, booleans and doubles")
@pytest.mark.parametrize(
    ("value", "resp2", "resp3"),
    [
        pytest.param(
            "{b'a': 1, b'b': [None]}",
            b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n$-1\r\n",
            b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n_\r\n",
            id="map",
        ),
        pytest.param("{}", b"*0\r\n", b"%0\r\n", id="empty-map"),
        pytest.param(
            "{None: {7: None}}",
            b"*2\r\n$-1\r\n*2\r\n:7\r\n$-1\r\n",
            b"%1\r\n_\r\n%1\r\n:7\r\n_\r\n",
            id="protocol-inside-a-map",
        ),
    ],
)
def test_a_map_is_written_with_its_keys_and_values(modules: Modules, value: str, resp2: bytes, resp3: bytes) -> None:
    """A dict is a map in RESP3; in RESP2 it is an array of key, value, key, value.

    A map of two pairs is `%2` in RESP3. In RESP2 it is an array of four items. Keys and values may be of any type.

    `encode` writes each key and each value, with the same `protocol`.
    """
    modules.check(ENCODE.format(value=value), [resp2, resp3])


@step(4)
@pytest.mark.read("Step 4: maps, booleans and doubles")
@pytest.mark.parametrize(
    ("value", "resp2", "resp3"),
    [
        pytest.param("[True, False]", b"*2\r\n:1\r\n:0\r\n", b"*2\r\n#t\r\n#f\r\n", id="in-an-array"),
        pytest.param("{True: False}", b"*2\r\n:1\r\n:0\r\n", b"%1\r\n#t\r\n#f\r\n", id="in-a-map"),
    ],
)
def test_a_boolean_is_not_written_as_an_integer(modules: Modules, value: str, resp2: bytes, resp3: bytes) -> None:
    """True and False are `#t` and `#f` in RESP3, and the integers 1 and 0 in RESP2.

    To Python a bool is an int, so `case int():` fits True, too. Which case comes first in your `encode`?

    `case bool() if protocol == 3:` above `case int():`. In RESP2 the case of int is right: `b":%d" % True` is `b":1"`.
    """
    modules.check(ENCODE.format(value=value), [resp2, resp3])


@step(4)
@pytest.mark.read("Step 4: maps, booleans and doubles")
@pytest.mark.parametrize(
    ("value", "resp2", "resp3"),
    [
        pytest.param("-2.5", b"$4\r\n-2.5\r\n", b",-2.5\r\n", id="double"),
        pytest.param("3.0", b"$1\r\n3\r\n", b",3\r\n", id="whole-double"),
        pytest.param(
            "[0.1, -2 / 3, 123456789.125]",
            b"*3\r\n$19\r\n0.10000000000000001\r\n$20\r\n-0.66666666666666663\r\n$13\r\n123456789.125\r\n",
            b"*3\r\n,0.10000000000000001\r\n,-0.66666666666666663\r\n,123456789.125\r\n",
            id="double-of-17-digits",
        ),
        pytest.param("float('-inf')", b"$4\r\n-inf\r\n", b",-inf\r\n", id="infinity"),
    ],
)
def test_a_double_is_written_with_17_digits(modules: Modules, value: str, resp2: bytes, resp3: bytes) -> None:
    """A float is a double, `,`, in RESP3, and a bulk string in RESP2; it has up to 17 digits, and no `.0` at its end.

    Are the digits wrong? `%g` alone keeps six, and `repr` writes `3.0` for 3. Are the digits right? Then look at what
    stands before them: in RESP2 the number of bytes.

    `b"%.17g" % value` writes the digits. In RESP2 let `encode` write them as it writes any bytes.
    """
    modules.check(ENCODE.format(value=value), [resp2, resp3])


@step(4)
@pytest.mark.read("Step 4: maps, booleans and doubles")
@pytest.mark.parametrize(
    "value", ["object()", "[1, b'two', 3j]", "bytearray(b'x')"], ids=["alone", "in-an-array", "bytearray"]
)
def test_a_value_without_a_type_is_an_error_of_ours(modules: Modules, value: str) -> None:
    """`encode` raises TypeError for a value that has no row in its table, also if it is an item of an array.

    What does your `encode` return when no case fits? A function without `return` returns None.

    Raise TypeError at the end of the function, and name the type: then you find the command that returned the value.
    """
    modules.check(
        f"""
        from writer import encode
        try:
            result = encode({value})
        except TypeError:
            result = "TypeError"
        """,
        "TypeError",
    )


# Step 5: the first commands


@step(5)
@pytest.mark.read("Step 5: the first commands")
def test_ping_is_answered_with_pong(client: Client, rng: Dice) -> None:
    """PING is answered with PONG; PING with a message, with the message.

    Is PING itself not answered so? `call` compares the first argument in lower case. Is it the message? That is any
    bytes, and comes back as it is: only the name is made lower case.

    `call` runs `ping()` or `ping(message)`. `data_received` runs `execute`, encodes the value and writes the bytes.
    """
    message = b"Hi There \xff" + rng.randbytes(10)
    client.check(request("PING"), b"+PONG\r\n")
    client.check(request("PING", message), b"$20\r\n" + message + b"\r\n")


@step(5)
@pytest.mark.read("Step 5: the first commands")
@pytest.mark.parametrize("size", [0, 1, 1000, 8 << 20], ids=["0", "1", "1000", "8-MB"])
def test_echo_gives_back_its_argument(client: Client, rng: Dice, size: int) -> None:
    """ECHO gives its argument back, whatever bytes are in it and however many.

    A bulk string is counted in bytes: `$`, the number of bytes, CRLF, the bytes, CRLF.

    Do not decode it: the arguments of a request are bytes, and so is the reply.
    """
    arg = rng.randbytes(size)
    client.check(request("ECHO", arg), b"$%d\r\n%b\r\n" % (size, arg))


@step(5)
@pytest.mark.read("Step 5: the first commands")
@pytest.mark.parametrize(
    ("typed", "arg"),
    [
        pytest.param(b"hello", b"hello", id="plain"),
        pytest.param(b'"two words"', b"two words", id="double-quotes"),
        pytest.param(rb'"\n\r\t\b\a\\\"\q\x00\xFf\xzz"', b'\n\r\t\b\a\\"q\0\xffxzz', id="escapes"),
        pytest.param(rb"'it\'s \n'", rb"it's \n", id="single-quotes"),
        pytest.param(rb"a\nb", rb"a\nb", id="no-escapes-without-quotes"),
        pytest.param(b'ab"c d"', b"abc d", id="a-quote-in-the-middle"),
        pytest.param(b"''", b"", id="an-empty-argument"),
    ],
)
def test_what_is_typed_in_quotes_comes_back_as_one_argument(client: Client, typed: bytes, arg: bytes) -> None:
    """ECHO typed by hand gives back the argument that was typed, without its quotes.

    Stage 02's reader splits what is typed. Does its checkpoint pass: `pytest stages/02`?

    If it does: does ECHO return the argument that the reader gave, unchanged?
    """
    client.check(b"ECHO " + typed + b"\r\n", b"$%d\r\n%b\r\n" % (len(arg), arg))


@step(5)
@pytest.mark.read("Step 5: the first commands")
def test_the_name_of_a_command_may_be_in_any_case(client: Client, rng: Dice) -> None:
    """ECHO, echo and eChO are the same command; its argument is not changed.

    Compare the first argument in lower case: `args[0].lower()`.

    Lower only the name. A message in capitals must come back in capitals.
    """
    arg = rng.key().upper()
    for name in ("ECHO", "echo", "eChO"):
        assert client.ask(name, arg) == arg


@step(5)
@pytest.mark.read("Step 5: the first commands")
def test_replies_come_in_the_order_of_the_requests(client: Client, rng: Dice) -> None:
    """Two hundred requests in one chunk get two hundred replies, in their order.

    A client knows only from the order which reply belongs to which request.

    Collect the encoded replies in the order of the requests, and write them at once.
    """
    args = [rng.key() for _ in range(100)]
    sent = b"".join(request("ECHO", arg) + request("PING") for arg in args)
    client.check(sent, b"".join(b"$%d\r\n%b\r\n+PONG\r\n" % (len(arg), arg) for arg in args))


CHUNK = r"""
    import contextlib, io
    from server import Connection, Server

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

    connection = Connection(Server())
    connection.transport = Transport()
    with contextlib.redirect_stdout(io.StringIO()) as terminal:
        connection.data_received(data)
    """


@step(5)
@pytest.mark.until("04")
@pytest.mark.read("Step 5: the first commands")
def test_the_replies_to_a_chunk_are_one_write(modules: Modules) -> None:
    """`data_received` calls `write` once for all replies to a chunk, as in stage 02; nothing is printed any more.

    The first result lists what each call of `write` was given, the second is what was printed.

    Collect the replies in a bytearray, and write it after the loop.
    """
    source = CHUNK + "result = [connection.transport.writes, terminal.getvalue()]"
    modules.check(source, [[b"+PONG\r\n$2\r\nhi\r\n+PONG\r\n"], ""], data=b"PING\r\nECHO hi\r\nPING\r\n")


@step(5)
@pytest.mark.read("Step 5: the first commands")
def test_a_request_may_still_be_cut_anywhere(connect: Connect, rng: Dice) -> None:
    """A request that is cut in two, at whatever byte, gets one reply, when it is complete.

    Does each connection still have its own reader, and does that get every chunk?

    `self.reader.feed(data)`, and then requests until `next` gives None.
    """
    client, other = connect(), connect()
    arg = rng.key()
    data, answer = request("ECHO", arg), b"$%d\r\n%b\r\n" % (len(arg), arg)
    for cut in range(1, len(data)):
        client.send(data[:cut])
        assert other.ask("PING") == "PONG"
        client.expect_nothing()
        client.check(data[cut:], answer)


@step(5)
@pytest.mark.read("Step 5: the first commands")
def test_quit_says_ok_and_hangs_up(client: Client) -> None:
    """QUIT is answered with OK, then the connection is closed; what was sent after it is not answered.

    Who closes the connection? The command knows no socket: it sets `client.leaving`.

    After each reply look at `client.leaving`; if it is set, execute nothing more, write the replies and close.
    """
    client.check(request("PING") + request("QUIT") + request("PING"), b"+PONG\r\n+OK\r\n")
    client.expect_closed()


@pytest.mark.carried
@pytest.mark.read("Step 5: the first commands")
def test_a_protocol_error_still_ends_the_connection(client: Client, rng: Dice) -> None:
    """What is not RESP is answered with an error, after the replies before it, and the connection is closed.

    Stage 02 did this. Has it been lost as `data_received` grew?

    Add the encoded error to the replies of the requests before it, write all of it, and close.
    """
    arg = rng.key()
    sent = request("ECHO", arg) + b"*1\r\n$x\r\n" + request("PING")
    client.check(sent, b"$10\r\n%b\r\n-ERR Protocol error: invalid bulk length\r\n" % arg)
    client.expect_closed()


# Step 6: errors in Redis's words


@step(6)
@pytest.mark.read("Step 6: errors in Redis's words")
@pytest.mark.parametrize(
    ("args", "name"),
    [
        pytest.param(["ECHO"], "echo", id="echo-nothing"),
        pytest.param(["Echo", "a", "b"], "echo", id="echo-two-arguments"),
        pytest.param(["PING", "a", "b"], "ping", id="ping-two-arguments"),
        pytest.param(["CLIENT"], "client", id="client-nothing"),
        pytest.param(["DEBUG"], "debug", id="debug-nothing"),
    ],
)
def test_a_wrong_number_of_arguments_is_an_error(client: Client, args: list[str], name: str) -> None:
    """A command with too few or too many arguments is answered with an error that names it in lower case.

    Does the error name `b'echo'`? Then make text of the bytes. Else: what does `call` do when the name is right and no
    pattern fits?

    `case [b"ping" | b"echo" | b"client" | b"debug" as name, *_]:` below the others fits any number of arguments. `name`
    is bytes, and `wrong_number_of_arguments` takes a str: `name.decode()`.
    """
    error = f"-ERR wrong number of arguments for '{name}' command\r\n"
    client.check(request(*args), error.encode())


@step(6)
@pytest.mark.read("Step 6: errors in Redis's words")
@pytest.mark.parametrize(
    ("args", "error"),
    [
        pytest.param([b"FLY"], b"unknown command 'FLY', with args beginning with: ", id="alone"),
        pytest.param(
            [b"fly", b"to", b"the moon"],
            b"unknown command 'fly', with args beginning with: 'to' 'the moon' ",
            id="with-arguments",
        ),
        pytest.param([b""], b"unknown command '', with args beginning with: ", id="no-name"),
        pytest.param(
            [b"fl\r\ny", b"+OK\r\n"],
            b"unknown command 'fl  y', with args beginning with: '+OK  ' ",
            id="line-ends",
        ),
    ],
)
def test_an_unknown_command_is_named(client: Client, args: list[bytes], error: bytes) -> None:
    """A command that does not exist is answered with an error that names it and its first arguments.

    Compare the spaces and the quotes: there is a space at the end, also when there are no arguments.

    The name is as it came, not in lower case. Each argument stands in quotes, and a space follows.
    """
    client.check(request(*args), b"-ERR " + error + b"\r\n")


@step(6)
@pytest.mark.read("Step 6: errors in Redis's words")
@pytest.mark.parametrize(
    ("args", "shown"),
    [
        pytest.param([b"\xff\xfe", b"\xfda\0b"], b"'\xff\xfe', with args beginning with: '\xfda' ", id="binary"),
        pytest.param(
            [b"x" * 200, b"y" * 100, b"z" * 100, b"w"],
            b"'%b', with args beginning with: '%b' '%b' " % (b"x" * 128, b"y" * 100, b"z" * 25),
            id="long",
        ),
        pytest.param(
            [b"fly", b"y" * 124, b"z"], b"'fly', with args beginning with: '%b' 'z' " % (b"y" * 124), id="127-bytes"
        ),
        pytest.param(
            [b"fly", b"y" * 125, b"z"], b"'fly', with args beginning with: '%b' " % (b"y" * 125), id="128-bytes"
        ),
        pytest.param(
            [b"fly", "é".encode() * 100, b"z"],
            b"'fly', with args beginning with: '%b' " % ("é".encode() * 64),
            id="letters-of-two-bytes",
        ),
    ],
)
def test_of_an_unknown_command_128_bytes_are_shown(client: Client, args: list[bytes], shown: bytes) -> None:
    """Of an unknown command's name 128 bytes are shown, and about as many of its arguments; none after a zero byte.

    Is too much shown, or too little? Count bytes, not characters: a letter such as é has two. Quotes and spaces count
    when you ask whether one more argument is shown. Is a byte shown that follows a zero byte? Redis is written in C.

    Build the arguments as bytes, and decode them at the end. While `len(arguments) < 128`, one more is shown.

    `arguments += b"'%b' " % arg.split(b"\\0")[0][: 128 - len(arguments)]`
    """
    client.check(request(*args), b"-ERR unknown command " + shown + b"\r\n")


@step(6)
@pytest.mark.until("04")
@pytest.mark.read("Step 6: errors in Redis's words")
@pytest.mark.parametrize("args", [[b"FLY"], [b"ECHO"]], ids=["unknown-command", "wrong-number"])
def test_call_raises_its_errors(modules: Modules, args: list[bytes]) -> None:
    """`call` raises an error, and does not return it: `execute`, which is given, makes it a reply.

    The result is what was raised, or what was returned. `unknown_command` only makes the error: who raises it?

    `raise unknown_command(args)`.
    """
    modules.check(
        """
        from client import Client
        from commands import call
        from errors import ReplyError
        try:
            result = ["returned", str(call(Client(id=1), args))]
        except ReplyError:
            result = "raised"
        """,
        "raised",
        args=args,
    )


@step(6)
@pytest.mark.read("Step 6: errors in Redis's words")
def test_an_error_is_only_a_reply(client: Client, rng: Dice) -> None:
    """After an error the connection goes on: requests before and after it get their replies, in their order.

    Which exception ends the connection? Only ProtocolError: a wrong command is correct RESP.

    `execute` catches ReplyError and returns it; `encode` writes it like any other value.
    """
    arg = rng.key()
    sent = request("ECHO", arg) + request("FLY") + request("ECHO") + request("PING")
    unknown = b"-ERR unknown command 'FLY', with args beginning with: \r\n"
    wrong = b"-ERR wrong number of arguments for 'echo' command\r\n"
    client.check(sent, b"$%d\r\n%b\r\n%b%b+PONG\r\n" % (len(arg), arg, unknown, wrong))
    client.check(request("PING"), b"+PONG\r\n")


# Step 7: what the server knows of a client


@step(7)
@pytest.mark.read("Step 7: what the server knows of a client")
def test_every_client_has_a_number(connect: Connect) -> None:
    """CLIENT ID is an integer that a client keeps; a later client has a greater one.

    The number is `client.id`. No number is given twice, also not after a client has left.

    `case [b"id"]:` in `client_command`. Each connection has its own `client`.
    """
    first, second = connect(), connect()
    numbers: list[Any] = [client.ask("CLIENT", "ID") for client in (first, second, first)]
    first.close()
    numbers.append(connect().ask("CLIENT", "ID"))
    assert all(type(number) is int for number in numbers), numbers
    assert numbers[0] == numbers[2] > 0
    assert numbers[0] < numbers[1] < numbers[3]


@step(7)
@pytest.mark.read("Step 7: what the server knows of a client")
def test_a_client_can_have_a_name(connect: Connect, rng: Dice) -> None:
    """CLIENT GETNAME is null until CLIENT SETNAME has set a name; an empty name removes it. Any case will do.

    Keep the name in `client.name`. GETNAME answers with null, None in Python, if that is empty.

    Compare the subcommand in lower case: `subcommand.lower()`. `valid_name` returns an empty name as it is.
    """
    client, other = connect(), connect()
    name = rng.key()
    client.check(request("CLIENT", "GETNAME"), b"$-1\r\n")
    client.check(request("client", "Setname", name), b"+OK\r\n")
    client.check(request("CLIENT", "getNAME"), b"$10\r\n" + name + b"\r\n")
    other.check(request("CLIENT", "GETNAME"), b"$-1\r\n")
    client.check(request("CLIENT", "SETNAME", ""), b"+OK\r\n")
    client.check(request("CLIENT", "GETNAME"), b"$-1\r\n")


@step(7)
@pytest.mark.read("Step 7: what the server knows of a client")
@pytest.mark.parametrize("name", [b"two words", b"line\n", b"tab\t", b"\x7f", b"na\xc3\xafve", b"\0"], ids=repr)
def test_a_name_is_plain_and_without_spaces(client: Client, rng: Dice, name: bytes) -> None:
    """A name with spaces, line ends or special characters is refused, and the old one kept.

    Which characters are allowed? From `!` to `~`: the visible characters of ASCII.

    `all(ord("!") <= byte <= ord("~") for byte in name)`; if not, raise ReplyError with the text of the docstring.
    """
    old = rng.key()
    client.ask("CLIENT", "SETNAME", old)
    error = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
    client.check(request("CLIENT", "SETNAME", name), error)
    assert client.ask("CLIENT", "GETNAME") == old


@step(7)
@pytest.mark.read("Step 7: what the server knows of a client")
def test_a_name_may_have_every_printable_character(client: Client) -> None:
    """A name may have every character from `!` to `~`.

    The first allowed character is `!`, byte 33, the last one is `~`, byte 126. Which one does your server refuse?

    Compare the bytes with these two, both included. `isalnum` and `isidentifier` allow fewer.
    """
    name = bytes(range(ord("!"), ord("~") + 1))
    client.check(request("CLIENT", "SETNAME", name), b"+OK\r\n")
    assert client.ask("CLIENT", "GETNAME") == name


@step(7)
@pytest.mark.not_redis("CLIENT SETINFO came with Redis 7.2; this server answers it because redis-py sends it")
@pytest.mark.read("Step 7: what the server knows of a client")
def test_a_library_may_say_its_name(client: Client) -> None:
    """CLIENT SETINFO is answered with OK: redis-py tells its name and version when it connects.

    Is the last reply wrong? With another number of arguments than two it is an error, which names `client|setinfo`, in
    lower case. Otherwise: SETINFO has an option and a value, and nothing has to be done with them.

    `case [b"setinfo", _, _]:` returns "OK". The case below all others, with `as name`, raises the error.
    """
    client.check(request("CLIENT", "SETINFO", "LIB-NAME", "redis-py"), b"+OK\r\n")
    client.check(request("CLIENT", "SETINFO", "lib-ver", "8.1.0"), b"+OK\r\n")
    assert client.ask("CLIENT", "SETINFO") == Error("ERR wrong number of arguments for 'client|setinfo' command")


@step(7)
@pytest.mark.read("Step 7: what the server knows of a client")
@pytest.mark.parametrize(
    ("args", "error"),
    [
        pytest.param(["FLY"], "unknown subcommand 'FLY'. Try CLIENT HELP.", id="unknown"),
        pytest.param(["ID", "x"], "wrong number of arguments for 'client|id' command", id="id"),
        pytest.param(["SETNAME"], "wrong number of arguments for 'client|setname' command", id="setname"),
        pytest.param(["GetName", "x"], "wrong number of arguments for 'client|getname' command", id="getname"),
    ],
)
def test_a_wrong_subcommand_is_an_error(client: Client, args: list[str], error: str) -> None:
    """A subcommand that does not exist, or has too few or too many arguments, is answered with an error.

    An unknown subcommand is named as it was written; a known one in lower case, after its command: `client|setname`.

    `unknown_subcommand("CLIENT", subcommand)` and `wrong_number_of_arguments(f"client|{name.decode()}")`.
    """
    client.check(request("CLIENT", *args), f"-ERR {error}\r\n".encode())


# Step 8: HELLO, or two versions of one protocol


@step(8)
@pytest.mark.read("Step 8: HELLO, or two versions of one protocol")
@pytest.mark.parametrize("version", [2, 3])
def test_hello_says_who_is_there(client: Client, version: int) -> None:
    """HELLO answers with what the server is: a map in RESP3, and in RESP2 an array of its keys and values.

    Is it a list for `HELLO 3`, or a dict for `HELLO 2`? The reply is already written in the version that the client
    asked for: `encode` needs the new `client.protocol`. Is a key or a value wrong? The docstring of `hello` lists them.

    The keys and the texts are bytes, so that they are written as bulk strings.

    In `writer.py` a dict is `%7` in RESP3 and `*14` in RESP2; `hello` returns a dict in both cases.
    """
    identity = client.ask("CLIENT", "ID")
    reply: Any = client.ask("HELLO", version)
    assert type(reply) is (dict if version == 3 else list), f"HELLO {version} was answered with {reply}"
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    assert list(fields) == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
    assert fields[b"server"] == b"redis"
    assert re.fullmatch(rb"\d+\.\d+\.\d+", fields[b"version"]), f"the version is {fields[b'version']}"
    assert fields[b"proto"] == version
    assert fields[b"id"] == identity
    assert fields[b"mode"] == b"standalone"
    assert fields[b"role"] == b"master"
    assert fields[b"modules"] == []


@step(8)
@pytest.mark.read("Step 8: HELLO, or two versions of one protocol")
def test_a_client_speaks_resp2_until_it_says_otherwise(connect: Connect) -> None:
    """A client speaks RESP2 until it says `HELLO 3`, and again after `HELLO 2`; other clients do not change.

    Whose protocol did HELLO change? It is kept for each client, not for the server.

    `client.protocol` starts at 2. HELLO without a version leaves it as it is.
    """
    client, other = connect(), connect()
    null = request("CLIENT", "GETNAME")
    client.check(null, b"$-1\r\n")
    client.ask("HELLO", 3)
    client.check(null, b"_\r\n")
    other.check(null, b"$-1\r\n")
    reply = client.ask("HELLO")
    assert isinstance(reply, dict), f"HELLO, after HELLO 3, was answered with {reply}"
    client.check(null, b"_\r\n")
    client.ask("HELLO", 2)
    client.check(null, b"$-1\r\n")
    reply = client.ask("HELLO")
    assert isinstance(reply, list), f"HELLO, after HELLO 2, was answered with {reply}"


@step(8)
@pytest.mark.read("Step 8: HELLO, or two versions of one protocol")
@pytest.mark.parametrize(
    ("kind", "resp2", "resp3"),
    [
        pytest.param("string", *same(b"$11\r\nHello World\r\n"), id="string"),
        pytest.param("double", b"$5\r\n3.141\r\n", b",3.141\r\n", id="double"),
        pytest.param("null", b"$-1\r\n", b"_\r\n", id="null"),
        pytest.param("set", b"*3\r\n:0\r\n:1\r\n:2\r\n", b"~3\r\n:0\r\n:1\r\n:2\r\n", id="set"),
        pytest.param(
            "map",
            b"*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n",
            b"%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n",
            id="map",
        ),
    ],
)
def test_debug_protocol_shows_a_type_in_both_versions(client: Client, kind: str, resp2: bytes, resp3: bytes) -> None:
    """`DEBUG PROTOCOL type` shows a value of a type, in RESP2 and, after `HELLO 3`, in RESP3.

    Try it with `redis-cli -3`, and with `nc` to see the bytes. What are they here?

    `debug` is given and returns a Python value; `encode` writes it in `client.protocol`, which HELLO changes.
    """
    client.check(request("DEBUG", "PROTOCOL", kind), resp2)
    client.ask("HELLO", 3)
    client.check(request("DEBUG", "protocol", kind.upper()), resp3)


@step(8)
@pytest.mark.read("Step 8: HELLO, or two versions of one protocol")
@pytest.mark.parametrize(
    ("args", "error"),
    [
        pytest.param(["4"], "NOPROTO unsupported protocol version", id="version-4"),
        pytest.param(["1"], "NOPROTO unsupported protocol version", id="version-1"),
        pytest.param(["three"], "ERR Protocol version is not an integer or out of range", id="no-number"),
        pytest.param(["3", "COLOR"], "ERR Syntax error in HELLO option 'COLOR'", id="unknown-option"),
        pytest.param(["3", "FOO", "bar"], "ERR Syntax error in HELLO option 'FOO'", id="unknown-option-with-a-value"),
        pytest.param(["3", "SETNAME"], "ERR Syntax error in HELLO option 'SETNAME'", id="option-without-value"),
        pytest.param(["3", "COL\0OR"], "ERR Syntax error in HELLO option 'COL'", id="option-with-a-zero-byte"),
        pytest.param(
            ["3", "SETNAME", "two words"],
            "ERR Client names cannot contain spaces, newlines or special characters.",
            id="name-with-a-space",
        ),
    ],
)
def test_hello_refuses_what_it_does_not_know(client: Client, args: list[str], error: str) -> None:
    """HELLO with a version or an option that does not exist is an error, and the version stays what it was.

    The texts are in the docstring of `hello`. Which case is it? `shown` makes the text of an option.

    Change the version last, when all options are right: after an error it is as before.
    """
    client.check(request("HELLO", *args), f"-{error}\r\n".encode())
    client.check(request("CLIENT", "GETNAME"), b"$-1\r\n")


@step(8)
@pytest.mark.read("Step 8: HELLO, or two versions of one protocol")
def test_hello_reads_its_version_as_strictly_as_redis(client: Client) -> None:
    """HELLO takes `3` for a version, but not `+3`, `03`, ` 3` or other texts that Python would read as 3.

    Python's `int()` accepts spaces, a plus, underscores, leading zeros and the digits of other alphabets.

    Read the version with `parse_integer` of the reader. It returns None if the text is no integer.
    """
    error = b"-ERR Protocol version is not an integer or out of range\r\n"
    for version in ("+3", "03", " 3", "3\n", "0_3", "٣", "3.0", "", str(2**64)):
        client.check(request("HELLO", version), error)
    client.check(request("CLIENT", "GETNAME"), b"$-1\r\n")


@step(8)
@pytest.mark.read("Step 8: HELLO, or two versions of one protocol")
def test_hello_can_set_the_name(client: Client, rng: Dice) -> None:
    """`HELLO 3 SETNAME name` sets the client's name as well; a HELLO without SETNAME leaves it as it is.

    After the version come options, each with its value. A HELLO without SETNAME says nothing about the name.

    Check the name with `valid_name`, and keep it in `client.name`. Change that only for SETNAME, written in any case.
    """
    name, other = rng.key(), bytes(range(ord("!"), ord("~") + 1))
    reply = client.ask("HELLO", 3, "SETNAME", name)
    assert isinstance(reply, dict), f"HELLO 3 SETNAME {name!r} was answered with {reply}"
    assert client.ask("CLIENT", "GETNAME") == name
    for args in ([], [2], [3]):
        client.ask("HELLO", *args)
        assert client.ask("CLIENT", "GETNAME") == name, f"the name after HELLO {args}"
    reply = client.ask("HELLO", 2, "setName", other)
    assert isinstance(reply, list), f"HELLO 2 setName {other!r} was answered with {reply}"
    assert client.ask("CLIENT", "GETNAME") == other


@step(8)
@pytest.mark.read("Step 8: HELLO, or two versions of one protocol")
def test_hello_applies_its_options_one_by_one(client: Client, rng: Dice) -> None:
    """`HELLO 3 SETNAME name COLOR` is an error; the name is kept all the same, and the version is what it was.

    Each option is applied as it is read; the version changes last.

    Set `client.name` in the loop over the options, and `client.protocol` after it.
    """
    name = rng.key()
    client.check(request("HELLO", 3, "SETNAME", name, "COLOR"), b"-ERR Syntax error in HELLO option 'COLOR'\r\n")
    client.check(request("CLIENT", "GETNAME"), b"$%d\r\n%b\r\n" % (len(name), name))
    client.check(request("DEBUG", "PROTOCOL", "null"), b"$-1\r\n")


@step(8)
@pytest.mark.read("Step 8: HELLO, or two versions of one protocol")
@pytest.mark.parametrize("version", [2, 3], ids=["RESP2", "RESP3"])
def test_redis_py_connects(server: Server, rng: Dice, version: int) -> None:
    """redis-py, the client that most Python programs use, connects, and gets PING and ECHO answered.

    What does it send when it connects? Look at it with `python3 -m stages spy`.

    It begins with `HELLO 3` and gives up if that is refused; then come CLIENT subcommands. For them an error is good
    enough, silence or a closed connection is not.

    So HELLO needs its reply, a map, and every unknown request an error.
    """
    redis = pytest.importorskip("redis", reason="redis-py is not installed: pip install redis")
    seconds = server.patience.seconds
    with redis.Redis(
        host=server.host, port=server.port, protocol=version, socket_timeout=seconds, retry=None
    ) as client:
        arg = rng.key()
        assert client.ping() is True
        assert client.echo(arg) == arg
        client.client_setname(arg.decode())
        assert client.client_getname() in (arg, arg.decode())
        with pytest.raises(redis.ResponseError, match="unknown command 'FLY'"):
            client.execute_command("FLY")
        assert client.ping() is True
