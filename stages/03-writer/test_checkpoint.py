"""Checkpoint 03: every type of reply, in both versions of the protocol, and the first commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from stages.harness.checkpoint import Dice, Modules
from stages.harness.server import Server
from stages.harness.wire import Client, Error, request

Connect = Callable[[], Client]

# The writer, by itself

ENCODE = """
    from writer import NULL_ARRAY, Attributed, BigNumber, Push, Verbatim, encode
    result = [encode({value}), encode({value}, 3)]
    """


def same(encoded: bytes) -> tuple[bytes, bytes]:
    """RESP2 and RESP3 write it the same way."""
    return encoded, encoded


@pytest.mark.read("Every type of reply")
@pytest.mark.parametrize(
    ("value", "resp2", "resp3"),
    [
        pytest.param("'OK'", *same(b"+OK\r\n"), id="simple-string"),
        pytest.param("ValueError('ERR no')", *same(b"-ERR no\r\n"), id="error"),
        pytest.param("-12", *same(b":-12\r\n"), id="integer"),
        pytest.param("b'hello'", *same(b"$5\r\nhello\r\n"), id="bulk-string"),
        pytest.param("b''", *same(b"$0\r\n\r\n"), id="empty-bulk-string"),
        pytest.param(r"b'a\r\n\0\xff'", *same(b"$5\r\na\r\n\0\xff\r\n"), id="binary-bulk-string"),
        pytest.param("'naïve'.encode()", *same("$6\r\nnaïve\r\n".encode()), id="utf-8-bulk-string"),
        pytest.param("[1, b'two']", *same(b"*2\r\n:1\r\n$3\r\ntwo\r\n"), id="array"),
        pytest.param("[]", *same(b"*0\r\n"), id="empty-array"),
        pytest.param("(1, 'two')", *same(b"*2\r\n:1\r\n+two\r\n"), id="tuple"),
        pytest.param(
            "[[], [1, [2]], [[[]]]]",
            *same(b"*3\r\n*0\r\n*2\r\n:1\r\n*1\r\n:2\r\n*1\r\n*1\r\n*0\r\n"),
            id="nested",
        ),
        pytest.param("None", b"$-1\r\n", b"_\r\n", id="null"),
        pytest.param("NULL_ARRAY", b"*-1\r\n", b"_\r\n", id="null-array"),
        pytest.param("[None, NULL_ARRAY]", b"*2\r\n$-1\r\n*-1\r\n", b"*2\r\n_\r\n_\r\n", id="nulls-in-an-array"),
        pytest.param("[True, False]", b"*2\r\n:1\r\n:0\r\n", b"*2\r\n#t\r\n#f\r\n", id="booleans"),
        pytest.param("-2.5", b"$4\r\n-2.5\r\n", b",-2.5\r\n", id="double"),
        pytest.param("3.0", b"$1\r\n3\r\n", b",3\r\n", id="whole-double"),
        pytest.param(
            "[0.1, -2 / 3, 123456789.125]",
            b"*3\r\n$19\r\n0.10000000000000001\r\n$20\r\n-0.66666666666666663\r\n$13\r\n123456789.125\r\n",
            b"*3\r\n,0.10000000000000001\r\n,-0.66666666666666663\r\n,123456789.125\r\n",
            id="double-of-17-digits",
        ),
        pytest.param("float('-inf')", b"$4\r\n-inf\r\n", b",-inf\r\n", id="infinity"),
        pytest.param(
            "BigNumber(2**70)",
            b"$22\r\n1180591620717411303424\r\n",
            b"(1180591620717411303424\r\n",
            id="big-number",
        ),
        pytest.param(r"Verbatim(b'a\nb')", b"$3\r\na\nb\r\n", b"=7\r\ntxt:a\nb\r\n", id="verbatim"),
        pytest.param(
            "{b'a': 1, b'b': [True]}",
            b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n:1\r\n",
            b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n#t\r\n",
            id="map",
        ),
        pytest.param("{}", b"*0\r\n", b"%0\r\n", id="empty-map"),
        pytest.param("[{7}, frozenset()]", b"*2\r\n*1\r\n:7\r\n*0\r\n", b"*2\r\n~1\r\n:7\r\n~0\r\n", id="sets"),
        pytest.param("Push([b'news', 1])", b"*2\r\n$4\r\nnews\r\n:1\r\n", b">2\r\n$4\r\nnews\r\n:1\r\n", id="push"),
        pytest.param(
            "[{True}, frozenset([None])]",
            b"*2\r\n*1\r\n:1\r\n*1\r\n$-1\r\n",
            b"*2\r\n~1\r\n#t\r\n~1\r\n_\r\n",
            id="protocol-inside-a-set",
        ),
        pytest.param(
            "{True: {None: False}}",
            b"*2\r\n:1\r\n*2\r\n$-1\r\n:0\r\n",
            b"%1\r\n#t\r\n%1\r\n_\r\n#f\r\n",
            id="protocol-inside-a-map",
        ),
        pytest.param(
            "Push([None, {True}])",
            b"*2\r\n$-1\r\n*1\r\n:1\r\n",
            b">2\r\n_\r\n~1\r\n#t\r\n",
            id="protocol-inside-a-push",
        ),
        pytest.param("Attributed(1, {b'ttl': 2})", b":1\r\n", b"|1\r\n$3\r\nttl\r\n:2\r\n:1\r\n", id="attributes"),
    ],
)
def test_a_value_is_written_as_its_type(modules: Modules, value: str, resp2: bytes, resp3: bytes) -> None:
    """Each Python value is written as its RESP type, in RESP2 (first) and in RESP3 (second).

    The table in the docstring of `encode` says which type becomes what. Which line of it does your code miss?

    Ask for the narrow type before the wide one: in Python a `bool` is an `int`, and a `Push` is a `list`.

    What is inside an array, a map (its keys too), a set or a push is encoded by the same function, with the same
    `protocol`. A double has up to 17 digits, which identify it exactly: `%.17g`, as `%g` alone keeps only six.
    """
    modules.check(ENCODE.format(value=value), [resp2, resp3])


@pytest.mark.read("What must not break a line")
@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(r"'two\r\nlines'", b"+two  lines\r\n", id="simple-string"),
        pytest.param(r"'\n+OK\r'", b"+ +OK \r\n", id="LF-and-CR-alone"),
        pytest.param(r"ValueError('ERR no\r\n+OK')", b"-ERR no  +OK\r\n", id="error"),
        pytest.param(r"['a\r\nb', ValueError('c\nd')]", b"*2\r\n+a  b\r\n-c d\r\n", id="in-an-array"),
    ],
)
def test_a_text_cannot_break_the_framing(modules: Modules, value: str, written: bytes) -> None:
    """A line end in a simple string or an error is written as blanks: the reply stays one line.

    A simple string and an error end at the first CRLF. What does a client read when the text has one in it?

    Replace each CR and each LF by a blank before the line is put together. A bulk string needs nothing: it is
    counted.
    """
    modules.check(ENCODE.format(value=value), [written, written])


@pytest.mark.read("Every type of reply")
@pytest.mark.parametrize("value", ["object()", "[1, b'two', 3j]"], ids=["alone", "in-an-array"])
def test_what_has_no_type_is_an_error_of_ours(modules: Modules, value: str) -> None:
    """`encode` raises TypeError for a value that has no line in its table, also where it stands in an array.

    What does your `encode` give when nothing fits? A function that comes to its end gives None.

    Raise it at the end of the function, and name the type: then you find the command that gave the value.
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


# The types on the wire


@pytest.mark.read("Every type of reply")
@pytest.mark.parametrize(
    ("kind", "resp2", "resp3"),
    [
        pytest.param("string", *same(b"$11\r\nHello World\r\n"), id="string"),
        pytest.param("integer", *same(b":12345\r\n"), id="integer"),
        pytest.param("double", b"$5\r\n3.141\r\n", b",3.141\r\n", id="double"),
        pytest.param(
            "bignum",
            b"$37\r\n1234567999999999999999999999999999999\r\n",
            b"(1234567999999999999999999999999999999\r\n",
            id="bignum",
        ),
        pytest.param("null", b"$-1\r\n", b"_\r\n", id="null"),
        pytest.param("array", *same(b"*3\r\n:0\r\n:1\r\n:2\r\n"), id="array"),
        pytest.param("set", b"*3\r\n:0\r\n:1\r\n:2\r\n", b"~3\r\n:0\r\n:1\r\n:2\r\n", id="set"),
        pytest.param(
            "map",
            b"*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n",
            b"%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n",
            id="map",
        ),
        pytest.param(
            "attrib",
            b"$39\r\nSome real reply following the attribute\r\n",
            b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"
            b"$39\r\nSome real reply following the attribute\r\n",
            id="attrib",
        ),
        pytest.param(
            "push",
            b"-ERR RESP2 is not supported by this command\r\n",
            b">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n",
            id="push",
        ),
        pytest.param(
            "verbatim",
            b"$25\r\nThis is a verbatim\nstring\r\n",
            b"=29\r\ntxt:This is a verbatim\nstring\r\n",
            id="verbatim",
        ),
        pytest.param("true", b":1\r\n", b"#t\r\n", id="true"),
        pytest.param("false", b":0\r\n", b"#f\r\n", id="false"),
    ],
)
def test_debug_protocol_shows_each_type(client: Client, kind: str, resp2: bytes, resp3: bytes) -> None:
    """`DEBUG PROTOCOL type` shows a value of each type, in RESP2 and, after `HELLO 3`, in RESP3.

    Try it with `redis-cli -3`, and with `nc` to see the bytes. What are they here?

    The values stand in EXAMPLES; the writer makes bytes of them in the version that this client has asked
    for.

    So `encode` must be called with the client's `protocol`, which HELLO changes.
    """
    client.check(request("DEBUG", "PROTOCOL", kind), resp2)
    client.ask("HELLO", 3)
    client.check(request("DEBUG", "protocol", kind.upper()), resp3)


@pytest.mark.read("Every type of reply")
def test_debug_protocol_knows_its_types(client: Client) -> None:
    """`DEBUG PROTOCOL` with a type that does not exist lists the types that do.

    Look for a KeyError, or for an answer to a type that is not there.

    The text is in `debug`: it is raised when the name is not in EXAMPLES.
    """
    types = "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
    text = f"ERR Wrong protocol type name. Please use one of the following: {types}"
    client.check(request("DEBUG", "PROTOCOL", "text"), b"-" + text.encode() + b"\r\n")


# The first commands


@pytest.mark.read("The first commands")
def test_ping_is_answered_with_pong(client: Client, rng: Dice) -> None:
    """PING is answered with PONG; PING with a message, with the message.

    `+PONG` is a simple string: in Python a `str`. A message is any bytes: a bulk string.

    Without a message the answer is "PONG", with one it is the message.
    """
    message = rng.randbytes(20)
    client.check(request("PING"), b"+PONG\r\n")
    client.check(request("PING", message), b"$20\r\n" + message + b"\r\n")


@pytest.mark.read("The first commands")
@pytest.mark.parametrize("size", [0, 1, 1000, 8 << 20], ids=["0", "1", "1000", "8-MB"])
def test_echo_gives_back_its_word(client: Client, rng: Dice, size: int) -> None:
    """ECHO gives its word back, whatever bytes are in it and however many.

    A bulk string is counted in bytes: `$`, the number of bytes, CRLF, the bytes, CRLF.

    Nothing of it may be decoded on the way: the words of a request are bytes, and so is the answer.
    """
    arg = rng.randbytes(size)
    client.check(request("ECHO", arg), b"$%d\r\n%b\r\n" % (size, arg))


@pytest.mark.read("The first commands")
@pytest.mark.parametrize(
    ("typed", "arg"),
    [
        pytest.param(b"hello", b"hello", id="plain"),
        pytest.param(b'"two words"', b"two words", id="double-quotes"),
        pytest.param(rb'"\n\r\t\b\a\\\"\q\x00\xFf\xzz"', b'\n\r\t\b\a\\"q\0\xffxzz', id="escapes"),
        pytest.param(rb"'it\'s \n'", rb"it's \n", id="single-quotes"),
        pytest.param(rb"a\nb", rb"a\nb", id="no-escapes-without-quotes"),
        pytest.param(b'ab"c d"', b"abc d", id="a-quote-in-the-middle"),
        pytest.param(b"''", b"", id="an-empty-word"),
    ],
)
def test_what_is_typed_in_quotes_comes_back_as_one_word(client: Client, typed: bytes, arg: bytes) -> None:
    """ECHO typed by hand gives back the word that was typed, without its quotes.

    Stage 02's reader splits what is typed. Does its checkpoint pass: `pytest stages/02`?

    If it does: is the answer made of the word that the reader gave, unchanged?
    """
    client.check(b"ECHO " + typed + b"\r\n", b"$%d\r\n%b\r\n" % (len(arg), arg))


@pytest.mark.read("The first commands")
def test_the_name_of_a_command_may_be_in_any_case(client: Client, rng: Dice) -> None:
    """PING, ping and PiNg are the same command; the words after it are left as they are.

    Compare the first word in one case: `args[0].lower()`.

    Lower only the name. A message in capitals must come back in capitals.
    """
    arg = rng.key().upper()
    for name in ("ECHO", "echo", "eChO"):
        assert client.ask(name, arg) == arg
    assert client.ask("client", "Setname", arg) == "OK"
    assert client.ask("CLIENT", "getNAME") == arg


@pytest.mark.read("The first commands")
def test_replies_come_in_the_order_of_the_requests(client: Client, rng: Dice) -> None:
    """Two hundred requests in one chunk are answered in their order, errors among them.

    Each request gets one answer, also the one that is an error: a client counts.

    Collect the encoded answers in the order of the requests, and write them in one go.
    """
    args = [rng.key() for _ in range(100)]
    sent = b"".join(request("ECHO", arg) + request("ECHO") for arg in args)
    error = b"-ERR wrong number of arguments for 'echo' command\r\n"
    client.check(sent, b"".join(b"$%d\r\n%b\r\n%b" % (len(arg), arg, error) for arg in args))


@pytest.mark.read("The first commands")
def test_a_request_may_still_be_cut_anywhere(connect: Connect, rng: Dice) -> None:
    """A request that is cut in two, at whatever byte, is answered once, when it is whole.

    Is the reader of stage 02 still the connection's own, and is it fed every chunk?

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


@pytest.mark.read("The first commands")
def test_quit_says_ok_and_hangs_up(client: Client) -> None:
    """QUIT is answered with OK, then the connection is closed; what was sent after it is not answered.

    Who closes the connection? The command knows no socket: it leaves a note on the client.

    `client.leaving = True`; the connection looks at it after each answer, writes what there is and closes.
    """
    client.check(request("PING") + request("QUIT") + request("PING"), b"+PONG\r\n+OK\r\n")
    client.expect_closed()


@pytest.mark.carried
@pytest.mark.read("The first commands")
def test_a_protocol_error_still_ends_the_connection(client: Client, rng: Dice) -> None:
    """What is no request is answered with an error, after the answers before it, and the connection is closed.

    Stage 02 did this. Has it been lost as `data_received` grew?

    Add the encoded error to what the requests before it were answered with, write all of it, and close.
    """
    arg = rng.key()
    sent = request("ECHO", arg) + b"*1\r\n$x\r\n" + request("PING")
    client.check(sent, b"$10\r\n%b\r\n-ERR Protocol error: invalid bulk length\r\n" % arg)
    client.expect_closed()


# HELLO


@pytest.mark.read("HELLO, or two versions of one protocol")
@pytest.mark.parametrize("version", [2, 3])
def test_hello_says_who_is_there(client: Client, version: int) -> None:
    """HELLO answers with what the server is: a map in RESP3, and in RESP2 an array of its keys and values.

    The answer is already written in the version that was asked for.

    The keys, in this order: server, version, proto, id, mode, role, modules.

    In `writer.py` a dict is `%7` in RESP3 and `*14` in RESP2; `hello` returns a dict in both cases.
    """
    reply: Any = client.ask("HELLO", version)
    assert isinstance(reply, dict if version == 3 else list)
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    assert list(fields) == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
    assert re.fullmatch(rb"\d+\.\d+\.\d+", fields.pop(b"version"))
    identity = client.ask("CLIENT", "ID")
    assert fields == {
        b"server": b"redis",
        b"proto": version,
        b"id": identity,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }


@pytest.mark.read("HELLO, or two versions of one protocol")
def test_a_client_speaks_resp2_until_it_says_otherwise(connect: Connect) -> None:
    """A client speaks RESP2 until it says `HELLO 3`, and again after `HELLO 2`; others are not concerned.

    Whose protocol did HELLO change? It is remembered for one client, not for the server.

    `client.protocol` starts at 2. HELLO without a version leaves it as it is.
    """
    client, other = connect(), connect()
    null = request("DEBUG", "PROTOCOL", "null")
    client.check(null, b"$-1\r\n")
    client.ask("HELLO", 3)
    client.check(null, b"_\r\n")
    other.check(null, b"$-1\r\n")
    assert isinstance(client.ask("HELLO"), dict)
    client.check(null, b"_\r\n")
    client.ask("HELLO", 2)
    client.check(null, b"$-1\r\n")
    assert isinstance(client.ask("HELLO"), list)


@pytest.mark.read("HELLO, or two versions of one protocol")
@pytest.mark.parametrize(
    ("args", "error"),
    [
        pytest.param(["4"], "NOPROTO unsupported protocol version", id="version-4"),
        pytest.param(["1"], "NOPROTO unsupported protocol version", id="version-1"),
        pytest.param(["three"], "ERR Protocol version is not an integer or out of range", id="no-number"),
        pytest.param(["3", "COLOR"], "ERR Syntax error in HELLO option 'COLOR'", id="unknown-option"),
        pytest.param(["3", "FOO", "bar"], "ERR Syntax error in HELLO option 'FOO'", id="unknown-option-with-a-value"),
        pytest.param(["3", "SETNAME"], "ERR Syntax error in HELLO option 'SETNAME'", id="option-without-value"),
        pytest.param(
            ["3", "SETNAME", "two words"],
            "ERR Client names cannot contain spaces, newlines or special characters.",
            id="name-with-a-blank",
        ),
    ],
)
def test_hello_refuses_what_it_does_not_know(client: Client, args: list[str], error: str) -> None:
    """HELLO with a version or an option that does not exist is an error, and the version stays what it was.

    The texts are in the docstring of `hello`. Which case is it?

    Change the version last, after all of the request has been read: after an error it is as before.
    """
    client.check(request("HELLO", *args), f"-{error}\r\n".encode())
    client.check(request("DEBUG", "PROTOCOL", "null"), b"$-1\r\n")
    client.check(request("CLIENT", "GETNAME"), b"$-1\r\n")


@pytest.mark.read("HELLO, or two versions of one protocol")
def test_hello_reads_its_version_as_strictly_as_redis(client: Client) -> None:
    """HELLO takes `3` for a version, but not `+3`, `03`, ` 3` or other texts that Python would read as 3.

    Python's `int()` accepts spaces, a plus, underscores, leading zeros and the digits of other alphabets.

    Read the version with `parse_integer` of the reader. It returns None for what is no integer.
    """
    error = b"-ERR Protocol version is not an integer or out of range\r\n"
    for version in ("+3", "03", " 3", "3\n", "0_3", "٣", "3.0", "", str(2**64)):
        client.check(request("HELLO", version), error)
    client.check(request("DEBUG", "PROTOCOL", "null"), b"$-1\r\n")


@pytest.mark.read("HELLO, or two versions of one protocol")
def test_hello_can_set_the_name(client: Client, rng: Dice) -> None:
    """`HELLO 3 SETNAME name` sets the client's name as well; a HELLO without SETNAME leaves it as it is.

    After the version come options, each with its value. A HELLO without SETNAME says nothing about the name.

    Check the name as CLIENT SETNAME does, and keep it in `client.name`. Change that only for SETNAME.
    """
    name, other = rng.key(), rng.key()
    assert isinstance(client.ask("HELLO", 3, "SETNAME", name), dict)
    assert client.ask("CLIENT", "GETNAME") == name
    for args in ([], [2], [3]):
        client.ask("HELLO", *args)
        assert client.ask("CLIENT", "GETNAME") == name, f"the name after HELLO {args}"
    assert isinstance(client.ask("HELLO", 2, "setName", other), list)
    assert client.ask("CLIENT", "GETNAME") == other


@pytest.mark.read("HELLO, or two versions of one protocol")
def test_hello_applies_its_options_one_by_one(client: Client, rng: Dice) -> None:
    """`HELLO 3 SETNAME name COLOR` is an error; the name is kept all the same, and the version is what it was.

    Each option is applied as it is read; the version changes last.

    Set `client.name` in the loop over the options, and `client.protocol` behind it.
    """
    name = rng.key()
    client.check(request("HELLO", 3, "SETNAME", name, "COLOR"), b"-ERR Syntax error in HELLO option 'COLOR'\r\n")
    client.check(request("CLIENT", "GETNAME"), b"$%d\r\n%b\r\n" % (len(name), name))
    client.check(request("DEBUG", "PROTOCOL", "null"), b"$-1\r\n")


# CLIENT


@pytest.mark.read("What the server knows of a client")
def test_every_client_has_a_number(connect: Connect) -> None:
    """CLIENT ID is an integer that a client keeps; who comes later has a greater one.

    The server counts its clients, also those that have gone: no number is given twice.

    `itertools.count(1)` in the server, and `next(…)` of it for each new connection.
    """
    first, second = connect(), connect()
    numbers: list[Any] = [client.ask("CLIENT", "ID") for client in (first, second, first)]
    first.close()
    numbers.append(connect().ask("CLIENT", "ID"))
    assert all(type(number) is int for number in numbers), numbers
    assert numbers[0] == numbers[2] > 0
    assert numbers[0] < numbers[1] < numbers[3]


@pytest.mark.read("What the server knows of a client")
def test_a_client_can_have_a_name(connect: Connect, rng: Dice) -> None:
    """CLIENT GETNAME is null until CLIENT SETNAME has given a name; an empty name takes it away again.

    The null is RESP2's `$-1` here, and RESP3's `_` after `HELLO 3`: None in Python, the rest is the writer's.

    Keep the name in `client.name`, one for each client. Where it is empty, answer with None.
    """
    client, other = connect(), connect()
    name = rng.key()
    client.check(request("CLIENT", "GETNAME"), b"$-1\r\n")
    client.check(request("CLIENT", "SETNAME", name), b"+OK\r\n")
    client.check(request("CLIENT", "GETNAME"), b"$10\r\n" + name + b"\r\n")
    other.check(request("CLIENT", "GETNAME"), b"$-1\r\n")
    client.check(request("CLIENT", "SETNAME", ""), b"+OK\r\n")
    client.ask("HELLO", 3)
    client.check(request("CLIENT", "GETNAME"), b"_\r\n")


@pytest.mark.read("What the server knows of a client")
@pytest.mark.parametrize("name", [b"two words", b"line\n", b"tab\t", b"\x7f", b"na\xc3\xafve", b"\0"], ids=repr)
def test_a_name_is_plain_and_without_blanks(client: Client, rng: Dice, name: bytes) -> None:
    """A name with blanks, line ends or special characters in it is refused, and the old one kept.

    Which characters are allowed? From `!` to `~`: what one sees on an American typewriter.

    Check before you keep it: `all(ord("!") <= byte <= ord("~") for byte in name)`.
    """
    old = rng.key()
    client.ask("CLIENT", "SETNAME", old)
    error = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
    client.check(request("CLIENT", "SETNAME", name), error)
    assert client.ask("CLIENT", "GETNAME") == old


@pytest.mark.read("What the server knows of a client")
def test_a_name_may_have_every_printable_character(client: Client) -> None:
    """A name may have every character from `!` to `~`, in CLIENT SETNAME and in HELLO.

    The first allowed character is `!`, byte 33, the last one is `~`, byte 126. Which one does your server refuse?

    Compare the bytes with these two, both included. `isalnum` and `isidentifier` allow fewer.
    """
    name = bytes(range(ord("!"), ord("~") + 1))
    client.check(request("CLIENT", "SETNAME", name), b"+OK\r\n")
    assert client.ask("CLIENT", "GETNAME") == name
    assert isinstance(client.ask("HELLO", 3, "SETNAME", name[::-1]), dict)
    assert client.ask("CLIENT", "GETNAME") == name[::-1]


@pytest.mark.not_redis("CLIENT SETINFO came with Redis 7.2; this server answers it because redis-py sends it")
@pytest.mark.read("What the server knows of a client")
def test_a_library_may_say_its_name(client: Client) -> None:
    """CLIENT SETINFO is answered with OK: redis-py tells its name and version when it connects.

    Nothing has to be done with it.

    An option and a value: two words behind SETINFO. With another number of words it is an error.
    """
    client.check(request("CLIENT", "SETINFO", "LIB-NAME", "redis-py"), b"+OK\r\n")
    client.check(request("CLIENT", "SETINFO", "lib-ver", "8.1.0"), b"+OK\r\n")
    assert client.ask("CLIENT", "SETINFO") == Error("ERR wrong number of arguments for 'client|setinfo' command")


# Errors


@pytest.mark.read("Errors in Redis's words")
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
        pytest.param(
            [b"\xff\xfe", b"\xfda\0b"],
            b"unknown command '\xff\xfe', with args beginning with: '\xfda' ",
            id="binary",
        ),
        pytest.param(
            [b"x" * 200, b"y" * 100, b"z" * 100, b"w"],
            b"unknown command '%b', with args beginning with: '%b' '%b' " % (b"x" * 128, b"y" * 100, b"z" * 25),
            id="long",
        ),
        pytest.param(
            [b"fly", b"y" * 125, b"z"],
            b"unknown command 'fly', with args beginning with: '%b' " % (b"y" * 125),
            id="just-128-bytes",
        ),
    ],
)
def test_an_unknown_command_is_named(client: Client, args: list[bytes], error: bytes) -> None:
    """A command that does not exist is answered with an error that names it and its first arguments.

    Compare the blanks and the quotes: there is a blank at the end, also when there are no arguments.

    The name is shown as far as 128 bytes go. Arguments are added, each in quotes and followed by a blank,
    until they are 128 bytes long together. Nothing is shown behind a zero byte: Redis is written in C.

    That is `processCommand` in server.c: `"%.128s"` for the name, `"'%.*s' "` for each argument.
    """
    client.check(request(*args), b"-ERR " + error + b"\r\n")


@pytest.mark.read("Errors in Redis's words")
@pytest.mark.parametrize(
    ("args", "name"),
    [
        pytest.param(["ECHO"], "echo", id="echo-nothing"),
        pytest.param(["Echo", "a", "b"], "echo", id="echo-two-words"),
        pytest.param(["PING", "a", "b"], "ping", id="ping-two-words"),
        pytest.param(["CLIENT"], "client", id="client-nothing"),
        pytest.param(["CLIENT", "ID", "x"], "client|id", id="client-id"),
        pytest.param(["CLIENT", "SETNAME"], "client|setname", id="client-setname"),
        pytest.param(["client", "GETNAME", "x"], "client|getname", id="client-getname"),
        pytest.param(["DEBUG"], "debug", id="debug-nothing"),
    ],
)
def test_a_wrong_number_of_arguments_is_said(client: Client, args: list[str], name: str) -> None:
    """A command with too few or too many words is answered with an error that names it in lower case.

    Count the words before you use them: there may be none behind the name.

    A subcommand is named together with its command: `client|setname`.
    """
    error = f"-ERR wrong number of arguments for '{name}' command\r\n"
    client.check(request(*args), error.encode())


@pytest.mark.read("Errors in Redis's words")
@pytest.mark.parametrize(
    ("args", "error"),
    [
        pytest.param(["CLIENT", "FLY"], "unknown subcommand 'FLY'. Try CLIENT HELP.", id="client"),
        pytest.param(
            ["DEBUG", "fly"],
            "unknown subcommand or wrong number of arguments for 'fly'. Try DEBUG HELP.",
            id="debug",
        ),
        pytest.param(
            ["DEBUG", "PROTOCOL"],
            "unknown subcommand or wrong number of arguments for 'PROTOCOL'. Try DEBUG HELP.",
            id="debug-protocol-nothing",
        ),
    ],
)
def test_an_unknown_subcommand_is_named(client: Client, args: list[str], error: str) -> None:
    """A subcommand that does not exist is answered with an error that names it as it was written.

    The text is in the docstring of the function that makes it, in `errors.py`.

    Show the client's own word, in the case it was written in.
    """
    client.check(request(*args), f"-ERR {error}\r\n".encode())


@pytest.mark.read("Errors in Redis's words")
def test_an_error_is_only_a_reply(client: Client, server: Server) -> None:
    """After an error the connection goes on: an error is a reply like any other.

    Which exception ends the connection? Only ProtocolError may: a wrong command is read perfectly well.

    Catch ReplyError where the command is called, and give it back as the value of the reply.
    """
    for args in (["FLY"], ["ECHO"], ["HELLO", "9"], ["CLIENT", "FLY"], ["DEBUG", "PROTOCOL", "x"]):
        reply = client.ask(*args)
        assert isinstance(reply, Error), f"{args} was answered with {reply!r}"
        client.check(request("PING"), b"+PONG\r\n")


# Other people's clients


@pytest.mark.read("Your server and redis-py")
@pytest.mark.parametrize("version", [2, 3], ids=["RESP2", "RESP3"])
def test_redis_py_connects(server: Server, rng: Dice, version: int) -> None:
    """redis-py, the client that most Python programs use, connects, and gets PING and ECHO answered.

    What does it send when it connects? Look at it with `python3 -m stages spy`.

    It begins with `HELLO 3` and gives up if that is refused; then come CLIENT subcommands, of which it
    forgives errors, but not silence or a closed connection.

    So HELLO needs its answer as a map, and everything unknown needs an error reply.
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
