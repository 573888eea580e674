"""Checkpoint 04: functions as commands, strings and hashes, types that do not mix, and updates that are not lost."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.server import Server
from stages.harness.target import Target
from stages.harness.wire import Client, parse, request

if TYPE_CHECKING:
    import redis

Connect = Callable[[], Client]

OK = b"+OK\r\n"
NULL = b"$-1\r\n"
WRONGTYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
NOT_AN_INTEGER = b"-ERR value is not an integer or out of range\r\n"
SYNTAX_ERROR = b"-ERR syntax error\r\n"
EVERY_BYTE = bytes(range(256))

NO_INTEGERS = {  # what Redis does not take for an integer
    "letters": b"ten",
    "empty": b"",
    "fraction": b"1.0",
    "space before": b" 1",
    "line end after": b"1\n",
    "plus": b"+1",
    "leading zero": b"01",
    "minus zero": b"-0",
    "underscore": b"1_000",
    "Arabic digit": "٣".encode(),
    "too big": b"9223372036854775808",
    "too small": b"-9223372036854775809",
}


def arity_error(command: str) -> bytes:
    """Return Redis's answer to a wrong number of arguments."""
    return f"-ERR wrong number of arguments for '{command}' command\r\n".encode()


@pytest.fixture
def modules(modules: Modules, target: Target) -> Modules:
    """Look into the target's modules; not into those of `final/`, which have grown out of the form they have here."""
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    return modules


REPORTS = """
from copy import deepcopy
import hashes, keys, strings
from client import Client
from command import find
from errors import ReplyError
from store import Store

class Listening(Store):
    def changed(self, *keys, **more):
        super().changed(*keys, **more)
        calls.append(sorted(keys))
        then.append(deepcopy(dict(self.items())))

result = []
for line in lines:
    db = Listening()
    db.put(b"string", b"text")
    db.put(b"number", b"5")
    db.put(b"hash", {b"field": b"value"})
    calls, then = [], []
    args = line.split()
    try:
        find(args).call({Store: db, Client: Client(id=1)}, args)
    except ReplyError:
        pass
    result.append((calls, any(each != dict(db.items()) for each in then)))
"""


def check_reports(modules: Modules, expected: dict[bytes, list[bytes]]) -> None:
    """Execute each request on a store with a string, a number and a hash; check the keys given to `db.changed`.

    It must be called once, with all the keys, when they have their new values; if there are none, not at all.
    """
    wrong = []
    found: Any = modules.run(REPORTS, lines=[*expected])
    for (line, keys), (calls, early) in zip(expected.items(), found, strict=True):
        if calls != ([sorted(keys)] if keys else []):
            right = named([keys]) if keys else "nothing"
            wrong.append(f"{line.decode()}: reported {named(calls)}, should report {right}")
        elif early:
            wrong.append(f"{line.decode()}: reported {named(calls)} too early: call `db.changed` after the change")
    if wrong:
        raise AssertionError("\n".join(wrong))


def named(calls: list[list[bytes]]) -> str:
    """Return the keys of each call of `db.changed` as text."""
    keys = [" and ".join(key.decode() for key in each) or "no key (`db.changed()`)" for each in calls]
    return ", and in another call ".join(keys) or "nothing"


def check_map(command: str, found: Any, expected: dict[bytes, Any]) -> None:
    """Compare a map that a command has answered with; name the entries that differ."""
    if not isinstance(found, dict):
        raise AssertionError(f"{command} answers {found!r}, which is no map")
    keys = [key for key in expected | found if shown_in(found, key) != shown_in(expected, key)]
    wrong = [f"{key!r}: {shown_in(found, key)}, should be {shown_in(expected, key)}" for key in keys[:5]]
    if wrong:
        more = [f"and {len(keys) - 5} more"] * (len(keys) > 5)
        raise AssertionError("\n".join([f"{command} answers with a map in which this is wrong:", *wrong, *more]))


def shown_in(found: dict[bytes, Any], key: bytes) -> str:
    """Return the value at a key as text."""
    return repr(found[key]) if key in found else "not there"


# Step 1: an argument becomes a value


@step(1)
@pytest.mark.read("Step 1: Convert an argument")
def test_an_argument_is_converted_to_the_type_of_its_parameter(modules: Modules) -> None:
    """`convert` turns an argument into an integer if the parameter is an `int`, and leaves all others unchanged.

    The result lists what `convert` returns for each argument, or the text of the error that it raises.

    Python's `int()` accepts much that Redis does not: spaces, a plus, underscores, numbers of any size. The reader has
    a function that is as strict as Redis: `parse_integer`. It returns None for what is no integer.

    Compare with `is None`, because 0 is an integer; then raise `not_an_integer()`.
    """
    numbers = [0, 7, -12, 2**63 - 1, -(2**63)]
    error = NOT_AN_INTEGER[1:-2].decode()
    modules.check(
        """
        from command import convert
        from errors import ReplyError

        result = []
        for argument, kind in [(each, int) for each in integers] + [(b"12", bytes), (b"", bytes | None)]:
            try:
                result.append(convert(argument, kind))
            except ReplyError as error:
                result.append(str(error))
        """,
        [*numbers, *(error for _ in NO_INTEGERS), b"12", b""],
        integers=[*(b"%d" % each for each in numbers), *NO_INTEGERS.values()],
    )


# Step 2: a signature is a syntax


@step(2)
@pytest.mark.read("Step 2: Read a signature")
def test_a_signature_says_how_many_arguments_there_may_be(modules: Modules) -> None:
    """`describe` reads the fewest and the most arguments from a signature.

    The result has the fewest and the most of five functions: with exactly two arguments, with none or one, with one or
    more, with any number, and with one or two.

    A parameter without a default must be there. So the fewest are the parameters whose default is
    `inspect.Parameter.empty`, without `*args`, and without `db` and `client`, which are no arguments.

    The most are all of them, or `math.inf` if the last one is `*args`: its kind is `VAR_POSITIONAL`.
    """
    modules.check(
        """
        from client import Client
        from command import describe
        from store import Store

        def incrby(db: Store, key: bytes, increment: int): ...
        def ping(message: bytes | None = None): ...
        def del_(db: Store, key: bytes, *keys: bytes): ...
        def quit_(client: Client, *ignored: bytes): ...
        def lpop(db: Store, client: Client, key: bytes, count: int = 1): ...

        signatures = [describe(each) for each in (incrby, ping, del_, quit_, lpop)]
        result = [(each.fewest, "infinite" if each.most == float("inf") else each.most) for each in signatures]
        """,
        [(2, 2), (0, 1), (1, "infinite"), (0, "infinite"), (1, 2)],
    )


@step(2)
@pytest.mark.read("Step 2: Read a signature")
def test_a_signature_says_what_a_function_is_handed_and_of_what_type_its_arguments_are(modules: Modules) -> None:
    """`describe` tells the parameters that the function is handed from the arguments, and names the types of both.

    The result has, for each of six functions, the tuple `handed` and the tuple `types`, with the names of their types.
    Is yours a list, in `[` and `]`? Make a tuple of it.

    `each.annotation` of a parameter is the type itself, so compare it with those in ARGUMENTS. What is not in
    ARGUMENTS is handed in, whatever type it is: a later stage adds another one. The annotations of `hget` are texts:
    `eval_str=True` makes types of them.

    `types` has one entry for each argument, also for one with a default, and none for `*args`.
    """
    modules.check(
        """
        from client import Client
        from command import describe
        from store import Store

        class Clock: ...

        def incrby(db: Store, key: bytes, increment: int): ...
        def ping(message: bytes | None = None): ...
        def quit_(client: Client, *ignored: bytes): ...
        def pick(db: Store, client: Client, key: bytes, start: int, count: int = 1, *more: bytes): ...
        def time(clock: Clock): ...
        def hget(db: "Store", key: "bytes", field: "bytes"): ...

        signatures = [describe(each) for each in (incrby, ping, quit_, pick, time, hget)]
        result = [[type(kinds)(kind.__name__ if isinstance(kind, type) else str(kind) for kind in kinds)
                   for kinds in (each.handed, each.types)] for each in signatures]
        """,
        [
            [("Store",), ("bytes", "int")],
            [(), ("bytes | None",)],
            [("Client",), ()],
            [("Store", "Client"), ("bytes", "int", "int")],
            [("Clock",), ()],
            [("Store",), ("bytes", "bytes")],
        ],
    )


# Step 3: from a request to a function

ARITY = {  # of each command: too few arguments, and too many if there is a maximum
    "PING": ["a b"],
    "ECHO": ["", "a b"],
    "CLIENT": [""],
    "SELECT": ["", "0 x"],
    "SET": ["", "k"],
    "GET": ["", "k x"],
    "STRLEN": ["", "k x"],
    "APPEND": ["", "k", "k v x"],
    "INCR": ["", "k x"],
    "DECR": ["", "k x"],
    "INCRBY": ["", "k", "k 1 x"],
    "DECRBY": ["", "k", "k 1 x"],
    "DEL": [""],
    "EXISTS": [""],
    "TYPE": ["", "k x"],
    "DBSIZE": ["x"],
    "HSET": ["", "k", "k f"],
    "HGET": ["", "k", "k f x"],
    "HDEL": ["", "k"],
    "HGETALL": ["", "k x"],
    "HLEN": ["", "k x"],
    "HEXISTS": ["", "k", "k f x"],
    "HKEYS": ["", "k x"],
    "HVALS": ["", "k x"],
}


@step(3)
@pytest.mark.read("Step 3: From a request to a function")
def test_a_command_gets_the_arguments_of_its_request(client: Client, rng: Dice) -> None:
    """PING, ECHO and SELECT are answered again: `find` finds their functions, and `call` calls them.

    Does the reply say *wrong number* or *unknown command*? Then look at `find`: the name is no argument, and the names
    in COMMANDS are in lower case. Is it another wrong reply? Then look at `call`: the arguments are behind the name.
    Is there no reply? Your server has said why. A NotImplementedError names the function that is still to be written.
    A TypeError about `execute()` is about its first parameter, which is new: the store. After another TypeError look
    at `call`: it hands in what `signature.handed` names, and nothing else.

    Let `Connection.data_received` pass the store: `execute(self.server.db, client, args)`.

    `find(args)` looks the name up in COMMANDS; `call` passes what follows the name, `args[1:]`, to the function.
    """
    message = rng.key()
    client.check(request("PING"), b"+PONG\r\n")
    client.check(request("PING", message), b"$10\r\n%b\r\n" % message)
    client.check(request("ECHO", message), b"$10\r\n%b\r\n" % message)
    client.check(request("SELECT", 0), OK)


@step(3)
@pytest.mark.read("Step 3: From a request to a function")
def test_a_wrong_number_of_arguments_is_refused(client: Client) -> None:
    """Too few or too many arguments are answered with the error that names the command, in lower case.

    They are counted before the function is called; the connection stays open.

    `describe` has counted the parameters: compare the number of arguments with `fewest` and `most` in `find`. The name
    of the command is not an argument.

    Raise `wrong_number_of_arguments(found.name)` if there are fewer or more.
    """
    for command, requests in ARITY.items():
        for args in requests:
            client.check(request(command, *args.split()), arity_error(command.lower()))


@step(3)
@pytest.mark.read("Step 3: From a request to a function")
def test_the_name_of_a_command_may_still_be_in_any_case(client: Client) -> None:
    """The name of a command may be in upper or lower case.

    The names in COMMANDS are in lower case.

    Look up `args[0].lower()`.
    """
    for name in ("select", "SELECT", "sElEcT"):
        client.check(request(name, 0), OK)


@step(3)
@pytest.mark.read("Step 3: From a request to a function")
def test_an_argument_that_is_an_integer_is_converted(client: Client) -> None:
    """SELECT 0 answers OK; the number of a database that does not exist is refused, and so is what is no integer.

    `index: int` in the signature of `select` says that the argument is an integer. Who converts it?

    `Command.call` converts each argument with `convert`, to the type that `signature.types` has at its place.
    """
    client.check(request("SELECT", "0"), OK)
    client.check(request("SELECT", "16"), b"-ERR DB index is out of range\r\n")
    client.check(request("SELECT", "-1"), b"-ERR DB index is out of range\r\n")
    client.check(request("SELECT", "zero"), NOT_AN_INTEGER)


@step(3)
@pytest.mark.read("Step 3: From a request to a function")
def test_a_new_command_is_one_function(modules: Modules, rng: Dice) -> None:
    """A function with `@command` is a command: its signature says how many arguments, and which are integers.

    To add a command nothing else has to be changed: no table, no `if`. In the result, the first two values of a list
    say whether `repeat` got a Clock, and then a Store. Is one False? Then the order is not that of its signature.

    `Command.call` passes what the function is handed, in the order of `signature.handed`, then the converted
    arguments, then the rest for `*args`, unchanged. The mapping `handed` may have more than the function asks for.

    `find` raises the errors; `call` is only used for a request that `find` has accepted.
    """
    modules.check(
        """
        from client import Client
        from command import command, find
        from errors import ReplyError
        from store import Store

        class Clock: ...

        @command
        def repeat(clock: Clock, db: Store, arg: bytes, times: int = 1, *more: bytes) -> object:
            return [isinstance(clock, Clock), isinstance(db, Store), arg, times, *more]

        @command
        def whoami(client: Client) -> object:
            return client.id

        def answer(*args):
            handed = {Store: Store(), Client: Client(id=7), Clock: Clock()}
            try:
                return find(list(args)).call(handed, list(args))
            except ReplyError as error:
                return str(error)

        result = [answer(b"REPEAT", arg), answer(b"REPEAT", arg, b"3"), answer(b"repeat", arg, b"-3", b"4", b"5"),
                  answer(b"repeat", arg, b"x"), answer(b"repeat"), answer(b"WhoAmI"), answer(b"whoami", arg)]
        """,
        [
            [True, True, (arg := rng.key()), 1],
            [True, True, arg, 3],
            [True, True, arg, -3, b"4", b"5"],
            "ERR value is not an integer or out of range",
            "ERR wrong number of arguments for 'repeat' command",
            7,
            "ERR wrong number of arguments for 'whoami' command",
        ],
        arg=arg,
    )


@step(3)
@pytest.mark.until("05")
@pytest.mark.read("Step 3: From a request to a function")
def test_the_replies_to_a_chunk_are_one_write(modules: Modules) -> None:
    """`data_received` calls `write` once for all replies to a chunk, as in stage 03.

    The result lists what each call of `write` was given. Is it one reply in each? Then `write` is in your loop.

    Collect the replies in a bytearray, and write it after the loop.
    """
    modules.check(
        """
        from server import Connection, Server

        class Transport:
            writes = []
            def write(self, data):
                if data:
                    self.writes.append(bytes(data))

        connection = Connection(Server())
        connection.transport = Transport()
        connection.data_received(data)
        result = connection.transport.writes
        """,
        [b"+PONG\r\n+OK\r\n+PONG\r\n"],
        data=b"PING\r\nSELECT 0\r\nPING\r\n",
    )


@pytest.mark.carried
@pytest.mark.read("Step 3: From a request to a function")
def test_an_unknown_command_is_still_an_error(client: Client, rng: Dice) -> None:
    """A command that is not in the table is answered with an error that names it, and the connection stays open.

    What does `COMMANDS.get` return for a name that is not there? Is the name in the reply in lower case? The error
    shows it as it came.

    Raise `unknown_command(args)` if it returns None, with the request unchanged.
    """
    name = rng.key()
    error = b"-ERR unknown command '%b', with args beginning with: 'key' \r\n" % name
    client.check(request(name, "key") + request("PING"), error + b"+PONG\r\n")


@pytest.mark.carried
@pytest.mark.read("Step 3: From a request to a function")
def test_hello_still_answers_and_switches_the_protocol(connect: Connect, rng: Dice) -> None:
    """HELLO answers as in stage 03: it describes the server, switches the protocol and sets the name.

    Is HELLO an unknown command? `@command` stands above `hello` (`start` has put it there): has it gone?

    A star before `options` collects the arguments: `def hello(client: Client, *options: bytes)`. The body stays.
    """
    client, name = connect(), rng.key()
    number = client.ask("CLIENT", "ID")
    for args, error in {
        "x": "ERR Protocol version is not an integer or out of range",
        "4": "NOPROTO unsupported protocol version",
        "1": "NOPROTO unsupported protocol version",
        "3 FOO": "ERR Syntax error in HELLO option 'FOO'",
        "3 FOO bar": "ERR Syntax error in HELLO option 'FOO'",
        "3 SETNAME": "ERR Syntax error in HELLO option 'SETNAME'",
    }.items():
        client.check(request("HELLO", *args.split()), f"-{error}\r\n".encode())
    client.check(request("CLIENT", "GETNAME"), NULL)
    refused = b"-ERR Syntax error in HELLO option 'FOO'\r\n"
    client.check(request("HELLO", 3, "SETNAME", name, "FOO", "bar"), refused)
    client.check(request("CLIENT", "GETNAME"), b"$10\r\n%b\r\n" % name)
    about = {b"server": b"redis", b"id": number, b"mode": b"standalone", b"role": b"master", b"modules": []}
    flat: Any = client.ask("HELLO")
    assert isinstance(flat, list), "in RESP2 the answer is an array"
    told = dict(zip(flat[::2], flat[1::2], strict=True))
    assert list(told) == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
    check_map("HELLO", told, {**told, **about, b"proto": 2})
    again: Any = client.ask("HELLO", 3, "setname", name[:3])
    check_map("HELLO 3", again, {**told, b"proto": 3})
    client.check(request("CLIENT", "GETNAME"), b"$3\r\n%b\r\n" % name[:3])
    check_map("HELLO after HELLO 3", client.ask("HELLO"), again)
    client.ask("HELLO", 2)
    client.check(request("CLIENT", "SETNAME", "") + request("CLIENT", "GETNAME"), OK + NULL)


@pytest.mark.carried
@pytest.mark.read("Step 3: From a request to a function")
def test_client_still_answers(connect: Connect, rng: Dice) -> None:
    """CLIENT ID, SETNAME and GETNAME answer as in stage 03.

    Is CLIENT an unknown command? `client`, which was `client_command`, has `@command` above it: has it gone?

    A star before `arguments` collects the rest: `def client(client: Client, subcommand: bytes, *arguments: bytes)`.
    """
    client, name = connect(), rng.key()
    assert client.ask("CLIENT", "ID") != connect().ask("client", "id")
    client.check(request("CLIENT", "GETNAME"), NULL)
    client.check(request("CLIENT", "SetName", name) + request("client", "getname"), OK + b"$10\r\n%b\r\n" % name)
    refused = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
    client.check(request("CLIENT", "SETNAME", "two words"), refused)
    for args in ("id x", "setname", "setname a b", "getname x"):
        client.check(request("CLIENT", *args.split()), arity_error(f"client|{args.split()[0]}"))
    client.check(request("CLIENT", "NO-SUCH", "x"), b"-ERR unknown subcommand 'NO-SUCH'. Try CLIENT HELP.\r\n")


@pytest.mark.carried
@pytest.mark.not_redis("CLIENT SETINFO is new in Redis 7.2")
@pytest.mark.read("Step 3: From a request to a function")
def test_a_library_may_still_tell_its_name(client: Client) -> None:
    """CLIENT SETINFO answers OK, with exactly two arguments.

    redis-py sends it when it connects.

    It is a subcommand of CLIENT: see `client` in `commands.py`.
    """
    client.check(request("CLIENT", "SETINFO", "LIB-NAME", "redis-py"), OK)
    for args in ((), ("LIB-NAME",), ("LIB-NAME", "a", "b")):
        client.check(request("CLIENT", "SETINFO", *args), arity_error("client|setinfo"))


@pytest.mark.carried
@pytest.mark.read("Step 3: From a request to a function")
def test_a_protocol_error_still_ends_the_connection(client: Client) -> None:
    """What is no request is answered with an error, after the requests before it, and the connection is closed.

    Only `execute` has changed in `Connection.data_received`: the rest of it stays as you wrote it.

    Pass `self.server.db` to `execute`.
    """
    client.send(request("PING") + b"*1\r\n!4\r\nPING\r\n" + request("PING"))
    client.expect(b"+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n")
    client.expect_closed()


# Step 4: SET and GET


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_what_was_set_can_be_got(client: Client, rng: Dice) -> None:
    """GET answers with the value that SET has stored, as a bulk string; SET itself answers OK.

    Try it by hand: `SET name Alice`, then `GET name`, in redis-cli. Which of the two goes wrong?

    SET puts the value into the store, `db.put(key, value)`, calls `db.changed(key)`, and returns "OK": a `str` becomes
    a simple string. GET returns the stored `bytes`, which become a bulk string.
    """
    key, value = rng.key(), rng.key()
    client.check(request("SET", key, value), OK)
    client.check(request("GET", key), b"$10\r\n%b\r\n" % value)


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_a_key_that_was_never_set_is_null(client: Client, rng: Dice) -> None:
    """GET of a key that does not exist answers with null, which is `$-1` in RESP2 and `_` in RESP3.

    Null is not the empty string and not an error.

    `dict.get` returns None for a missing key, and the writer already encodes None.

    The reply is encoded for the version that this client has chosen: `encode(answer, client.protocol)`.
    """
    client.check(request("GET", rng.key()), NULL)
    client.ask("HELLO", 3)
    client.check(request("GET", rng.key()), b"_\r\n")


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_a_value_is_seen_by_every_client(connect: Connect, rng: Dice) -> None:
    """A client gets what another client has set, also if that one has disconnected.

    Where is your dictionary? There must be one for all connections.

    `Server.__init__` makes the store; `Connection.data_received` passes `self.server.db` to `execute`.
    """
    key, value = rng.key(), rng.key()
    first = connect()
    first.check(request("SET", key, value), OK)
    first.close()
    second = connect()
    assert second.ask("GET", key) == value


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_set_replaces_the_old_value(client: Client, rng: Dice) -> None:
    """SET replaces the old value of a key; an empty value is a value, too.

    Is the old value still there, or is an empty one null? An empty string is false in Python, and still a value.

    `db.put(key, value)` sets the key without asking for the old value; `db.get` compares with None; `changed` removes
    no string.
    """
    key = rng.key()
    for value in (b"one", b"two", b"", b"three"):
        client.check(request("SET", key, value) + request("GET", key), OK + b"$%d\r\n%b\r\n" % (len(value), value))


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_keys_and_values_are_any_bytes(client: Client, rng: Dice) -> None:
    r"""Keys and values are bytes, any of them: zeros, line ends, bytes that are no text, upper and lower case.

    A traceback with UnicodeDecodeError? Somewhere bytes are decoded to text.

    Keep `bytes` from the reader to the writer. Only the name of a command is put into lower case.
    """
    key, value = (bytes(rng.sample(EVERY_BYTE, 256)) + rng.key().lower() for _ in range(2))
    bulk = b"$%d\r\n%b\r\n" % (len(value), value)
    client.check(request("SET", key, value) + request("GET", key), OK + bulk)
    client.check(request("SET", "", value) + request("GET", ""), OK + bulk)
    client.check(request("GET", key + b"\0") + request("GET", key[:-1]) + request("GET", key.upper()), NULL * 3)


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_spaces_belong_to_a_key(client: Client, rng: Dice) -> None:
    """Spaces at the ends of a key belong to it: `key` and ` key ` are two keys.

    The length in the header counts every byte. Does your server remove some of them, with `strip()` or `split()`?

    Use the key exactly as the reader returns it.
    """
    key = rng.key()
    keys = [key, b" " + key, key + b" ", b" " + key + b" ", b" ", b"  ", key + b"\t"]
    for number, each in enumerate(keys):
        client.check(request("SET", each, number), OK)
    for number, each in enumerate(keys):
        client.check(request("GET", each), b"$1\r\n%d\r\n" % number)


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_a_large_value_comes_back_whole(client: Client, rng: Dice) -> None:
    """A value of several megabytes is stored and comes back byte for byte; STRLEN counts its bytes.

    It arrives in hundreds of chunks and leaves in as many. Is it cut, or does it take too long?

    The reader joins the chunks; `transport.write` sends later, by itself, what the system does not take at once.
    Neither must process all that is already there each time a little more comes.
    """
    key, value = rng.key(), rng.randbytes(4_000_000)
    client.check(request("SET", key, value), OK)
    client.check(request("STRLEN", key), b":4000000\r\n")
    client.check(request("GET", key), b"$4000000\r\n%b\r\n" % value)


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_strlen_counts_bytes(client: Client, rng: Dice) -> None:
    """STRLEN answers with the length of the value in bytes, and with 0 if there is no such key.

    A key that does not exist counts as an empty string here.

    `len` of `bytes` counts bytes; if you get 7 for `naïve` and a line end, you have decoded it to text.
    """
    key = rng.key()
    client.check(request("STRLEN", key), b":0\r\n")
    client.check(request("SET", key, "naïve\r\n"), OK)
    client.check(request("STRLEN", key), b":8\r\n")


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_a_pipeline_is_answered_in_order(client: Client, rng: Dice) -> None:
    """Several hundred requests sent at once are all answered, in the order in which they were sent.

    A client need not wait for a reply before it sends the next request. Which reply is missing or misplaced?

    Execute every complete request that a chunk has brought, one after the other, and keep what is left.

    An error is a reply like any other: the requests after it are answered.
    """
    requests, replies = b"", b""
    for number in range(200):
        key, value = rng.key(), rng.randbytes(rng.randrange(100))
        requests += request("SET", key, value) + request("GET", key)
        replies += OK + b"$%d\r\n%b\r\n" % (len(value), value)
        if number % 2:
            requests += request("GET") + request("SET", key, number) + request("GET", key)
            replies += arity_error("get") + OK + b"$%d\r\n%d\r\n" % (len(str(number)), number)
    client.check(requests, replies)


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_no_request_after_quit_is_executed(connect: Connect, rng: Dice) -> None:
    """Requests that come after QUIT, even in the same chunk, are neither answered nor executed.

    Is there a key that the client has set after QUIT?

    To drop the replies is not enough: take no more requests from the reader when the client is `leaving`.
    """
    before, after = rng.key(), rng.key()
    client = connect()
    requests = [request("SET", before, "1"), request("QUIT"), request("SET", after, "1"), request("SET", before, "2")]
    client.check(b"".join(requests), OK + OK)
    client.expect_closed()
    connect().check(request("GET", after) + request("GET", before), NULL + b"$1\r\n1\r\n")


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_the_store_refuses_a_value_of_another_kind(modules: Modules, rng: Dice) -> None:
    """The store: `get` returns a value of the kind that is asked for, None for a missing key, or raises an error.

    The result has what `get` returns for a string, an empty string and a missing key; the error for the wrong kind, of
    both strings; and the keys that are left after `changed` of all of them.

    `isinstance(value, kind)` tells the kind. An empty string is a value, so compare with None, not with `not value`.

    `changed` removes an empty container, and no string.
    """
    modules.check(
        """
        from errors import ReplyError
        from store import Store

        db = Store()
        db.put(key, b"value")
        db.put(b"empty", b"")
        result = [db.get(key, bytes), db.get(b"empty", bytes), db.get(b"missing", bytes), db.get(b"missing", dict)]
        for each in (key, b"empty"):
            try:
                result.append(db.get(each, dict))
            except ReplyError as error:
                result.append(str(error).split()[0])
        db.changed(key, b"empty", b"missing")
        db.changed()
        result.append(dict(db.items()))
        """,
        [*(b"value", b"", None, None, "WRONGTYPE", "WRONGTYPE"), {(key := rng.key()): b"value", b"empty": b""}],
        key=key,
    )


@step(4)
@pytest.mark.read("Step 4: SET and GET")
def test_set_reports_the_key_that_it_has_set(modules: Modules) -> None:
    """SET calls `db.changed(key)`, once, after it has set the key; GET, which changes nothing, does not.

    Nothing needs it yet: in step 8 it removes empty hashes, and in stage 05 what has been reported goes into the log.

    Call `db.changed(key)` after `db.put(key, value)`.
    """
    check_reports(modules, {b"SET new value": [b"new"], b"SET string value": [b"string"], b"GET string": []})


# Step 5: strings that are numbers


@step(5)
@pytest.mark.read("Step 5: Strings that are numbers")
def test_append_adds_the_value_at_the_end(client: Client, rng: Dice) -> None:
    """APPEND adds a value at the end of the string and answers with the new length; a missing key is an empty string.

    The answer is a number, the length of the whole string.

    Join the old value (or `b""`) and the new one, put the result into the store, and return its length.
    """
    key, one, two = rng.key(), rng.key(), rng.key(7)
    client.check(request("APPEND", key, one) + request("APPEND", key, two), b":10\r\n:17\r\n")
    client.check(request("GET", key), b"$17\r\n%b\r\n" % (one + two))


@step(5)
@pytest.mark.read("Step 5: Strings that are numbers")
def test_append_of_an_empty_value_creates_the_key(client: Client, rng: Dice) -> None:
    """APPEND of an empty value creates a missing key, with an empty string; an old value stays as it is.

    Does your APPEND return early when there is nothing to append?

    An empty string is a value like any other: put the joined string into the store, whatever its length.
    """
    key, value = rng.key(), rng.key()
    client.check(request("APPEND", key, "") + request("GET", key), b":0\r\n$0\r\n\r\n")
    client.check(request("APPEND", key, value), b":10\r\n")
    client.check(request("APPEND", key, ""), b":10\r\n")
    client.check(request("GET", key), b"$10\r\n%b\r\n" % value)


@step(5)
@pytest.mark.read("Step 5: Strings that are numbers")
def test_incr_counts_from_nothing(client: Client, rng: Dice) -> None:
    """INCR, DECR, INCRBY and DECRBY answer with the new number; a key that does not exist counts as 0.

    The answer is an integer (`:1`), while GET of the same key is a bulk string (`$1`, `1`).

    The four differ in what they add: 1, -1, the increment, minus the decrement. All of them call `add`.
    """
    key, start = rng.key(), rng.randrange(10, 1000)
    client.check(request("INCR", key), b":1\r\n")
    client.check(request("INCRBY", key, start), b":%d\r\n" % (start + 1))
    client.check(request("DECR", key), b":%d\r\n" % start)
    client.check(request("DECRBY", key, 2 * start), b":%d\r\n" % -start)
    client.check(request("INCRBY", key, -start), b":%d\r\n" % (-2 * start))
    client.check(request("DECRBY", key, -start), b":%d\r\n" % -start)
    client.check(request("INCRBY", key, 0), b":%d\r\n" % -start)
    client.check(request("DECR", rng.key()), b":-1\r\n")


@step(5)
@pytest.mark.read("Step 5: Strings that are numbers")
def test_a_number_is_still_a_string(client: Client, rng: Dice) -> None:
    """A counter is a string of digits: SET starts it, at any number, GET and STRLEN read it, APPEND adds a digit.

    What type has the value in your store after INCR? Is `0` "no integer"? It is one: compare with `is None`.

    Store the digits, not a Python int: `b"%d" % total`. Each INCR parses them again.
    """
    key = rng.key()
    client.check(request("SET", key, "9"), OK)
    client.check(request("INCR", key), b":10\r\n")
    client.check(request("GET", key), b"$2\r\n10\r\n")
    client.check(request("STRLEN", key), b":2\r\n")
    client.check(request("APPEND", key, "5"), b":3\r\n")
    client.check(request("INCR", key), b":106\r\n")
    client.check(request("SET", key, "0") + request("INCR", key), OK + b":1\r\n")


@step(5)
@pytest.mark.read("Step 5: Strings that are numbers")
def test_what_is_no_integer_is_not_counted(client: Client, rng: Dice) -> None:
    """INCR of a value that is no 64-bit integer is an error, and so is such an increment; nothing changes.

    Which value did SET store, and what does your code make of it?
    Python's `int()` accepts much that Redis does not: spaces, a plus, underscores, numbers of any size. An empty string
    (`$0`) is no integer, either: only a key that does not exist counts as 0.

    `parse_integer` of the reader is as strict as Redis. It returns None for what is no integer. Compare with `is None`,
    also the value of a missing key: `or b"0"` replaces the empty string, too.

    Raise `not_an_integer()` before you put anything into the store.
    """
    for value in NO_INTEGERS.values():
        key, bulk = rng.key(), b"$%d\r\n%b\r\n" % (len(value), value)
        stored = request("SET", key, value)
        client.check(stored + request("INCR", key) + request("GET", key), OK + NOT_AN_INTEGER + bulk)
        client.check(stored + request("DECRBY", key, 3) + request("GET", key), OK + NOT_AN_INTEGER + bulk)
        stored = request("SET", key, "5")
        client.check(stored + request("INCRBY", key, value), OK + NOT_AN_INTEGER)
        client.check(request("GET", key), b"$1\r\n5\r\n")


@step(5)
@pytest.mark.read("Step 5: Strings that are numbers")
def test_a_counter_does_not_overflow(client: Client, rng: Dice) -> None:
    """A counter stays within 64 bits: a sum beyond is an error, and the value remains.

    Python's integers have no limit. Redis's end at 9223372036854775807 and -9223372036854775808.

    Compare the sum with `-(2**63)` and `2**63 - 1` before you store it.

    DECRBY of -9223372036854775808 has an error of its own: the opposite of this number does not fit into 64 bits.
    """
    key, most, least = rng.key(), 2**63 - 1, -(2**63)
    overflow = b"-ERR increment or decrement would overflow\r\n"
    client.check(request("SET", key, most - 1) + request("INCR", key), OK + b":%d\r\n" % most)
    client.check(request("INCR", key), overflow)
    client.check(request("INCRBY", key, most), overflow)
    client.check(request("DECRBY", key, -most), overflow)
    client.check(request("GET", key), b"$19\r\n%d\r\n" % most)
    client.check(request("SET", key, least + 1) + request("DECR", key), OK + b":%d\r\n" % least)
    client.check(request("DECR", key), overflow)
    client.check(request("INCRBY", key, -1) + request("INCRBY", key, least), overflow * 2)
    client.check(request("DECRBY", key, most), overflow)
    client.check(request("DECRBY", key, least), b"-ERR decrement would overflow\r\n")
    client.check(request("GET", key), b"$20\r\n%d\r\n" % least)


@step(5)
@pytest.mark.read("Step 5: Strings that are numbers")
def test_requests_in_pieces_are_executed_once(client: Client, rng: Dice) -> None:
    """Requests that arrive in pieces, cut anywhere, are executed once each, when they are complete.

    Does a string become too long? Then a request is executed again when its next piece comes.

    `data_received` asks the reader for complete requests until it returns None, and forgets what was executed.
    """
    key = rng.key()
    requests = b"".join(request("APPEND", key, bytes([byte])) for byte in EVERY_BYTE)
    cuts = sorted(rng.sample(range(1, len(requests)), 60))
    for start, end in pairwise([0, *cuts, len(requests)]):
        client.send(requests[start:end])
    client.expect(b"".join(b":%d\r\n" % length for length in range(1, 257)))
    client.check(request("GET", key), b"$256\r\n%b\r\n" % EVERY_BYTE)


CLIENTS, ROUNDS, BURST, SIZE = 8, 3, 100, 16_000_000


@step(5)
@pytest.mark.read("Where is the lock?")
def test_clients_that_count_together_lose_nothing(connect: Connect, rng: Dice) -> None:
    """Many clients change the same keys at once, and no change is lost.

    Two clients read the counter while it is 5, and both write 6: one of the two is lost. Where can a second request
    come between the reading and the writing of yours?

    In a server with threads: anywhere. It needs a lock around each command, from its first look at the store to its
    last write. In an asyncio server: at each `await`, and nowhere else.

    So a command is an ordinary function without `await`, called from `data_received`: it runs from its beginning to
    its end before anything else happens. This is what "atomic" means in Redis.
    """
    counter, text = rng.key(), rng.key()
    client, *clients = [connect() for _ in range(1 + CLIENTS)]
    client.check(request("SET", text, b"." * SIZE), OK)  # so large that an APPEND takes its time
    left = [b""] * CLIENTS
    for _ in range(ROUNDS):
        for number, other in enumerate(clients):
            stream = left[number] + request("APPEND", text, "x") + request("INCR", counter) * BURST
            cut = len(stream) - rng.randrange(1, 20)  # the rest of the last request comes with the next round
            other.send(stream[:cut])
            left[number] = stream[cut:]
    for other, rest in zip(clients, left, strict=True):
        other.send(rest)
    replies = [[parse(other.read_reply())[0] for _ in range(ROUNDS * (BURST + 1))] for other in clients]
    total = CLIENTS * ROUNDS * BURST
    assert client.ask("GET", counter) == b"%d" % total, f"INCR was sent {total} times"
    appended = CLIENTS * ROUNDS
    assert client.ask("STRLEN", text) == SIZE + appended, f"APPEND was sent {appended} times, each with one byte"
    sums = {reply for each in replies for at, reply in enumerate(each) if at % (BURST + 1)}
    assert sums == set(range(1, total + 1)), "each number is the answer to one INCR only"
    client.check(request("SET", text, ""), OK)


@step(5)
@pytest.mark.read("Step 5: Strings that are numbers")
def test_append_and_the_counters_report_the_key(modules: Modules) -> None:
    """APPEND and the counters call `db.changed(key)`, whatever is added; a request that is refused does not.

    `append` and `add` set the key, so they report it, also if there was no such key, and if 0 or nothing was added.

    Call `db.changed(key)` after `db.put(key, …)`.
    """
    expected = {
        b"APPEND string more": [b"string"],
        b"APPEND new text": [b"new"],
        b"INCR number": [b"number"],
        b"INCRBY new 5": [b"new"],
        b"INCRBY number 0": [b"number"],
        b"INCR string": [],
        b"INCRBY number 9223372036854775807": [],
    }
    check_reports(modules, expected)


# Step 6: keys


@step(6)
@pytest.mark.read("Step 6: Keys")
def test_del_removes_keys_and_counts_them(client: Client, rng: Dice) -> None:
    """DEL removes the keys and answers with the number of removed keys.

    A missing key counts 0, and so does one that is named for the second time: it is already gone. One of the keys has
    an empty value (`$0`): it counts.

    Count the keys for which `db.delete` returns True. An empty string is a value: `delete` returns True for it.
    """
    one, two, missing = rng.key(), rng.key(), rng.key()
    stored = request("SET", one, "1") + request("SET", two, "")
    client.check(stored + request("DEL", one, missing, two, one), OK + OK + b":2\r\n")
    client.check(request("GET", one) + request("GET", two), NULL + NULL)
    client.check(request("DEL", one), b":0\r\n")


@step(6)
@pytest.mark.read("Step 6: Keys")
def test_exists_counts_keys(client: Client, rng: Dice) -> None:
    """EXISTS answers with the number of keys that exist; a key that is named twice counts twice.

    Is a key with an empty value missing in your sum, or one that is named twice? A set of the keys forgets the second.

    Add 1 for each argument that is a key, `each in db`.
    """
    one, two, missing = rng.key(), rng.key(), rng.key()
    client.check(request("SET", one, "") + request("EXISTS", one) + request("EXISTS", missing), OK + b":1\r\n:0\r\n")
    client.check(request("SET", two, "2") + request("EXISTS", one, missing, two, one), OK + b":3\r\n")


@step(6)
@pytest.mark.read("Step 6: Keys")
def test_type_names_the_kind_of_value(client: Client, rng: Dice) -> None:
    """TYPE answers with the simple string `string`, or with `none` if there is no such key.

    A simple string begins with `+`: in Python a `str`, not `bytes`. Is the answer `none` for a key with an empty value
    (`$0`)? An empty string is a value: compare with None.

    `db.kind(key)` returns the kind, or None; the table NAMES has the name of each kind.
    """
    key = rng.key()
    client.check(request("SET", key, "") + request("TYPE", key), OK + b"+string\r\n")
    client.check(request("TYPE", rng.key()), b"+none\r\n")


@step(6)
@pytest.mark.read("Step 6: Keys")
def test_flushall_removes_and_dbsize_counts_all_keys(server: Server, client: Client, rng: Dice) -> None:
    """FLUSHALL removes every key and answers OK; DBSIZE answers with the number of keys.

    A key that is set again is not a new one, and one that DEL has removed does not count.

    FLUSHALL may be followed by ASYNC or SYNC, which make no difference here; any other argument is a syntax error, and
    nothing is removed.
    """
    if server.program is None:
        pytest.skip(f"{server.target.name} is already running: FLUSHALL would remove what others keep there")
    client.check(request("FLUSHALL"), OK)
    client.check(request("DBSIZE"), b":0\r\n")
    keys = {rng.key() for _ in range(rng.randrange(5, 20))}
    for key in [*keys, min(keys), removed := rng.key(4)]:
        client.check(request("SET", key, "x"), OK)
    client.check(request("DEL", removed), b":1\r\n")
    client.check(request("FLUSHALL", "now"), SYNTAX_ERROR)
    client.check(request("DBSIZE"), b":%d\r\n" % len(keys))
    client.check(request("flushall", "Async"), OK)
    client.check(request("EXISTS", *keys) + request("DBSIZE"), b":0\r\n:0\r\n")


@step(6)
@pytest.mark.read("Step 6: Keys")
def test_del_reports_the_keys_that_it_has_removed(modules: Modules) -> None:
    """DEL calls `db.changed` once, with all the keys that it has removed; if there are none, it does not call it.

    A key that was not there has not changed. One call takes many keys: `db.changed(*gone)`.

    Keep a list of the keys for which `db.delete` returned True: its length is the answer.
    """
    expected = {
        b"DEL string missing number": [b"string", b"number"],
        b"DEL string string": [b"string"],
        b"DEL missing": [],
        b"EXISTS string": [],
        b"TYPE string": [],
    }
    check_reports(modules, expected)


# Step 7: hashes


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_hset_answers_with_the_number_of_new_fields(client: Client, rng: Dice) -> None:
    """HSET sets one or more fields of a hash and answers with the number of new fields.

    A field that was there gets its new value but does not count. Does HGET answer null? Then nothing was stored:
    `db.make(key, HASH)` puts a new hash into the store, `db.get(key, HASH) or {}` does not.

    The number is the length of the hash afterwards minus the length before. So a new field that is named twice in one
    request counts once, and its last value stays.
    """
    key, value = rng.key(), rng.key()
    client.check(request("HSET", key, "a", "1") + request("HGET", key, "a"), b":1\r\n$1\r\n1\r\n")
    client.check(request("HSET", key, "a", value), b":0\r\n")
    client.check(request("HSET", key, "a", "3", "b", "4", "c", "5"), b":2\r\n")
    client.check(request("HSET", key, "d", "6", "d", value), b":1\r\n")
    client.check(request("HGET", key, "a"), b"$1\r\n3\r\n")
    client.check(request("HGET", key, "d"), b"$10\r\n%b\r\n" % value)


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_hset_needs_a_value_for_each_field(client: Client, rng: Dice) -> None:
    """HSET with a field that has no value is an error, 'wrong number of arguments', and sets nothing.

    The arguments after the key come in pairs. What has been set before you see that the last field has no value? What
    has the store been asked for?

    A signature cannot say "in pairs": check it in the function, before you ask the store for the hash. So it is this
    error, too, if the key holds a string.
    """
    key = rng.key()
    refused = request("HSET", key, "a", "1", "b")
    client.check(refused + request("EXISTS", key), arity_error("hset") + b":0\r\n")
    client.check(request("HSET", key, "a", "old"), b":1\r\n")
    refused = request("HSET", key, "a", "new", "b", "2", "c")
    replies = arity_error("hset") + b"$3\r\nold\r\n:1\r\n"
    client.check(refused + request("HGET", key, "a") + request("HLEN", key), replies)
    client.check(request("SET", key, "a string") + request("HSET", key, "a", "1", "b"), OK + arity_error("hset"))


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_what_is_not_in_a_hash_is_null(client: Client, rng: Dice) -> None:
    """HGET of a field that does not exist, or of a key that does not exist, answers with null; no key is made.

    A missing key is treated as a hash without fields.

    `(db.get(key, HASH) or {}).get(field)` reads both cases. `make` would put an empty hash into the store.
    """
    key, missing = rng.key(), rng.key()
    client.check(request("HSET", key, "field", ""), b":1\r\n")
    client.check(request("HGET", key, "field"), b"$0\r\n\r\n")
    client.check(request("HGET", key, "other"), NULL)
    client.check(request("HGET", missing, "field") + request("EXISTS", missing), NULL + b":0\r\n")
    client.ask("HELLO", 3)
    client.check(request("HGET", key, "other"), b"_\r\n")


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_fields_and_their_values_are_any_bytes(client: Client, rng: Dice) -> None:
    """Fields and their values are bytes, any of them, in upper or lower case, and may be empty.

    A traceback with UnicodeDecodeError? Somewhere bytes are decoded to text.

    Use the arguments exactly as the reader returns them.
    """
    key = rng.key()
    field, value = (bytes(rng.sample(EVERY_BYTE, 256)) + rng.key().lower() for _ in range(2))
    client.check(request("HSET", key, field, value, b"", b"", field.upper(), "HIGH"), b":3\r\n")
    client.check(request("HGET", key, field), b"$%d\r\n%b\r\n" % (len(value), value))
    client.check(request("HGET", key, field.upper()), b"$4\r\nHIGH\r\n")
    client.check(request("HGET", key, "") + request("HEXISTS", key, ""), b"$0\r\n\r\n:1\r\n")


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_a_hash_can_be_looked_at_from_all_sides(client: Client, rng: Dice) -> None:
    """HLEN counts the fields, HEXISTS looks for one, HKEYS lists the fields and HVALS the values, in the same order.

    They are dictionary methods under other names: `len`, `in`, `keys`, `values`.

    HEXISTS answers 1 or 0; HKEYS and HVALS answer with arrays, in RESP3 as well, so make lists of them.
    """
    key = rng.key()
    hash_ = {rng.key(): rng.key() for _ in range(rng.randrange(5, 20))}
    client.ask("HSET", key, *chain(*hash_.items()))
    for protocol in 2, 3:
        client.ask("HELLO", protocol)
        client.check(request("HLEN", key), b":%d\r\n" % len(hash_))
        client.check(request("HEXISTS", key, min(hash_)), b":1\r\n")
        client.check(request("HEXISTS", key, min(hash_.values())), b":0\r\n")
        fields, values = client.ask("HKEYS", key), client.ask("HVALS", key)
        assert isinstance(fields, list), "HKEYS answers with an array"
        assert isinstance(values, list), "HVALS answers with an array"
        assert dict(zip(fields, values, strict=True)) == hash_
    missing = rng.key()
    client.check(request("HLEN", missing) + request("HEXISTS", missing, "f"), b":0\r\n:0\r\n")
    client.check(request("HKEYS", missing) + request("HVALS", missing), b"*0\r\n*0\r\n")


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_a_hash_is_no_string(client: Client, rng: Dice) -> None:
    """A command for strings refuses a key that holds a hash, with WRONGTYPE, and the hash stays as it was.

    Does your server answer with something made of the hash, or with a Python error in its output?

    Every command asks the store for the kind that it needs, `db.get(key, STRING)`, and the store raises `wrong_type()`
    if the value is of another kind. So the check is in one place.
    """
    key, value = rng.key(), rng.key()
    client.check(request("HSET", key, "f", value), b":1\r\n")
    for args in ("GET", "STRLEN", "APPEND 1", "INCR", "DECR", "INCRBY 1", "DECRBY 1"):
        command, *arguments = args.split()
        client.check(request(command, key, *arguments), WRONGTYPE)
    client.check(request("HGET", key, "f"), b"$10\r\n%b\r\n" % value)
    client.check(request("HLEN", key), b":1\r\n")


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_a_string_is_no_hash(client: Client, rng: Dice) -> None:
    """A command for hashes refuses a key that holds a string, with WRONGTYPE, and the string stays as it was.

    An empty string is a string, too: does your store take it for a missing value?

    Compare with None, not with `not value`; then ask whether the value is of the kind that is wanted.
    """
    for value in (rng.key(), b""):
        stored = request("SET", (key := rng.key()), value)
        for args in ("HSET f 1", "HGET f", "HLEN", "HEXISTS f", "HKEYS", "HVALS"):
            command, *arguments = args.split()
            refused = stored + request(command, key, *arguments) + request("GET", key)
            client.check(refused, OK + WRONGTYPE + b"$%d\r\n%b\r\n" % (len(value), value))


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_keys_of_both_kinds_are_counted_named_and_removed(client: Client, rng: Dice) -> None:
    """DEL, EXISTS and TYPE work on keys with hashes as on keys with strings.

    A hash is one key, however many fields it has. Does EXISTS answer with WRONGTYPE, or DEL? Then it asks for a string,
    `db.get(key, STRING)`: `each in db` tells whether there is a key.

    These commands ask the store about the key, not about the value: they need no code for hashes.
    """
    text, fields = rng.key(), rng.key()
    client.check(request("SET", text, "x") + request("HSET", fields, "f", "v", "g", "w"), OK + b":2\r\n")
    client.check(request("EXISTS", text, fields) + request("TYPE", fields), b":2\r\n+hash\r\n")
    client.check(request("DEL", text, fields), b":2\r\n")
    client.check(request("GET", text) + request("HGET", fields, "f") + request("TYPE", fields), NULL * 2 + b"+none\r\n")


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_set_replaces_even_a_hash(client: Client, rng: Dice) -> None:
    """SET replaces the old value, even a hash; DEL then removes the key, and the hash does not come back.

    Does your SET ask for the old value? Then the store refuses a hash, with WRONGTYPE: only the option GET asks for it.

    A key has one value, in the one dictionary of the store: put the new one there, `db.put(key, value)`.
    """
    key = rng.key()
    client.check(request("HSET", key, "field", "value") + request("SET", key, "three"), b":1\r\n" + OK)
    client.check(request("GET", key), b"$5\r\nthree\r\n")
    client.check(request("TYPE", key), b"+string\r\n")
    client.check(request("DEL", key), b":1\r\n")
    client.check(request("EXISTS", key), b":0\r\n")
    client.check(request("HGET", key, "field"), NULL)


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_the_store_makes_a_container_that_can_be_changed_in_place(modules: Modules, rng: Dice) -> None:
    """The store: `make` returns the hash at a key, a new one if there is no such key, and refuses a string.

    The result has the fields that were set through two calls of `make`, the error for a key with a string, and the keys
    that are left after `changed` of two emptied hashes, one of them not named.

    `make` puts the new container into the dictionary and returns the same object, so that a change to it changes the
    value in the store. The second time it returns the object that is there.

    `self.get(key, kind)` raises the error for you. `changed` removes the empty containers among the keys that it is
    given, and no others.
    """
    modules.check(
        """
        from errors import ReplyError
        from store import Store

        db = Store()
        db.put(b"string", b"")
        db.make(b"hash", dict)[key] = b"1"
        db.make(b"hash", dict)[b"other"] = b"2"
        result = [dict(db.get(b"hash", dict))]
        try:
            result.append(db.make(b"string", dict))
        except ReplyError as error:
            result.append(str(error).split()[0])
        db.make(b"emptied", dict)
        db.make(b"not named", dict)
        db.changed(b"string", b"emptied", b"hash")
        result.append(sorted(name for name, _ in db.items()))
        """,
        [{(key := rng.key()): b"1", b"other": b"2"}, "WRONGTYPE", [b"hash", b"not named", b"string"]],
        key=key,
    )


@step(7)
@pytest.mark.read("Step 7: Hashes")
def test_hset_reports_the_key(modules: Modules) -> None:
    """HSET calls `db.changed(key)`, once, also if no field is new; HGET, and HSET without the last value, do not.

    The store cannot see that you change a hash in place. An old field that gets a value is a change, too.

    Call `db.changed(key)` when all fields are set.
    """
    expected = {
        b"HSET hash other value": [b"hash"],
        b"HSET hash field other": [b"hash"],
        b"HSET new field value other value": [b"new"],
        b"HSET hash field value other": [],
        b"HGET hash field": [],
    }
    check_reports(modules, expected)


# Step 8: no empty hashes


@step(8)
@pytest.mark.read("Step 8: No empty hashes")
def test_hdel_removes_fields_and_counts_them(client: Client, rng: Dice) -> None:
    """HDEL removes the fields and answers with the number of removed fields.

    It is to a hash what DEL is to the keys.

    `dict.pop(field, None)` removes a field and tells whether it was there; an empty value is not None.
    """
    key = rng.key()
    client.check(request("HSET", key, "a", "", "b", "2", "c", "3"), b":3\r\n")
    client.check(request("HDEL", key, "a", "missing", "b", "a"), b":2\r\n")
    client.check(request("HGET", key, "a") + request("HLEN", key), NULL + b":1\r\n")
    client.check(request("HDEL", rng.key(), "a"), b":0\r\n")


@step(8)
@pytest.mark.read("Step 8: No empty hashes")
def test_a_hash_without_fields_is_no_key(client: Client, rng: Dice) -> None:
    """When HDEL removes the last field, the key is gone, too; and reading a missing hash makes no key.

    In Redis there are no empty hashes: EXISTS answers 0, TYPE `none`, and the key may become a string.

    The store does it once for all commands: `db.changed(key)` removes a container that is empty now.

    The commands that only read must not use `make`, which puts an empty hash into the store.
    """
    key, other = rng.key(), rng.key()
    client.check(request("HSET", key, "a", "1", "b", "2"), b":2\r\n")
    client.check(request("HDEL", key, "a", "b"), b":2\r\n")
    client.check(request("EXISTS", key) + request("TYPE", key), b":0\r\n+none\r\n")
    client.check(request("APPEND", key, "now a string"), b":12\r\n")
    for command in ("HGETALL", "HLEN", "HKEYS", "HVALS"):
        client.ask(command, other)
    client.ask("HGET", other, "f")
    client.ask("HEXISTS", other, "f")
    client.ask("HDEL", other, "f")
    client.check(request("EXISTS", other), b":0\r\n")


@step(8)
@pytest.mark.read("Step 8: No empty hashes")
def test_hgetall_is_a_map_in_resp3_and_a_flat_array_in_resp2(client: Client, rng: Dice) -> None:
    """HGETALL answers with fields and values: a flat array in RESP2 and, after HELLO 3, a map.

    The command returns the same value in both cases; the writer encodes it in two ways. Is the last reply null? A
    missing key is an empty hash, not null.

    Return the dictionary itself. An empty one is `*0` or `%0`.
    """
    key = rng.key()
    hash_ = {rng.key(): rng.key() for _ in range(20)}
    client.check(request("HSET", key, *chain(*hash_.items())), b":20\r\n")
    flat = client.ask("HGETALL", key)
    assert isinstance(flat, list), "in RESP2 the answer is an array: *40"
    check_map("HGETALL", dict(zip(flat[::2], flat[1::2], strict=True)), hash_)
    client.check(request("HGETALL", rng.key()), b"*0\r\n")
    client.ask("HELLO", 3)
    check_map("HGETALL after HELLO 3", client.ask("HGETALL", key), hash_)
    client.check(request("HGETALL", rng.key()), b"%0\r\n")


@step(8)
@pytest.mark.read("Step 8: No empty hashes")
def test_hdel_and_hgetall_refuse_a_string(client: Client, rng: Dice) -> None:
    """HDEL and HGETALL of a key that holds a string, even an empty one, are refused with WRONGTYPE.

    An empty string is a string, too.

    `db.get(key, HASH)` raises `wrong_type()` for you.
    """
    for value in (rng.key(), b""):
        key = rng.key()
        stored = request("SET", key, value)
        client.check(stored + request("HDEL", key, "f") + request("HGETALL", key), OK + WRONGTYPE * 2)
        client.check(request("GET", key), b"$%d\r\n%b\r\n" % (len(value), value))


@step(8)
@pytest.mark.read("Step 8: No empty hashes")
def test_hdel_reports_the_key_if_it_has_removed_a_field(modules: Modules) -> None:
    """HDEL calls `db.changed(key)` if it has removed a field; if it has removed none, it does not.

    In stage 05 what has changed something goes into the log, and nothing else does.

    Count the removed fields first; if there are any, call `db.changed(key)`.
    """
    expected = {
        b"HDEL hash field": [b"hash"],
        b"HDEL hash missing": [],
        b"HDEL missing field": [],
        b"HGETALL hash": [],
    }
    check_reports(modules, expected)


# Step 9: the options of SET


@step(9)
@pytest.mark.read("Step 9: The options of SET")
@pytest.mark.parametrize(
    ("options", "before", "answer", "after"),
    [
        pytest.param("NX", None, OK, b"new", id="NX-no-key"),
        pytest.param("NX", b"old", NULL, b"old", id="NX-key-there"),
        pytest.param("XX", None, NULL, None, id="XX-no-key"),
        pytest.param("XX", b"old", OK, b"new", id="XX-key-there"),
        pytest.param("GET", None, NULL, b"new", id="GET-no-key"),
        pytest.param("GET", b"old", b"$3\r\nold\r\n", b"new", id="GET-key-there"),
        pytest.param("NX GET", b"old", b"$3\r\nold\r\n", b"old", id="NX-GET-key-there"),
        pytest.param("NX GET", None, NULL, b"new", id="NX-GET-no-key"),
        pytest.param("GET XX", b"old", b"$3\r\nold\r\n", b"new", id="GET-XX-key-there"),
        pytest.param("GET XX", None, NULL, None, id="GET-XX-no-key"),
        pytest.param("nx", b"old", NULL, b"old", id="lower-case"),
        pytest.param("gEt Xx", b"old", b"$3\r\nold\r\n", b"new", id="mixed-case"),
        pytest.param("NX NX", None, OK, b"new", id="NX-NX-no-key"),
    ],
)
def test_set_obeys_its_options(
    client: Client, rng: Dice, options: str, before: bytes | None, answer: bytes, after: bytes | None
) -> None:
    """SET with NX sets only a new key, with XX only an existing one; with GET it answers with the old value.

    Is the reply a syntax error? Options come in upper and lower case, also twice.
    Whether the key exists decides about NX and XX. What the answer is, is a second question.

    With GET the answer is the old value, or null if there was none, whether the key was set or not. Without GET it is
    OK if the key was set, else null.

    Options come in any order and any case, also twice: make a set of them in lower case, and look into that.
    """
    key = rng.key()
    stored, first = (b"", b"") if before is None else (request("SET", key, before), OK)
    client.check(stored + request("SET", key, "new", *options.split()), first + answer)
    assert client.ask("GET", key) == after


@step(9)
@pytest.mark.read("Step 9: The options of SET")
def test_set_nx_and_xx_accept_a_key_of_any_kind(client: Client, rng: Dice) -> None:
    """SET with NX does not replace a hash and answers null; with XX it replaces the hash and answers OK.

    NX and XX ask only whether the key exists. The value is not asked for its kind, so there is no WRONGTYPE.

    `key in db` tells whether the key exists. Call `db.get(key, STRING)`, which raises WRONGTYPE, only for GET.
    """
    key, value = rng.key(), rng.key()
    stored = request("HSET", key, "field", value)
    client.check(stored + request("SET", key, "new", "NX"), b":1\r\n" + NULL)
    client.check(request("HGET", key, "field"), b"$10\r\n%b\r\n" % value)
    client.check(stored + request("SET", key, "new", "XX"), b":0\r\n" + OK)
    client.check(request("GET", key), b"$3\r\nnew\r\n")


@step(9)
@pytest.mark.read("Step 9: The options of SET")
def test_set_with_get_refuses_a_hash(client: Client, rng: Dice) -> None:
    """SET with GET refuses a key that holds a hash, with WRONGTYPE, and the hash stays as it was.

    The answer would be the old value, and GET is for strings.

    Call `db.get(key, STRING)` before you set anything.
    """
    key, value = rng.key(), rng.key()
    client.ask("HSET", key, "field", value)
    stored = request("HSET", key, "field", value)
    for options in ("GET", "XX GET", "NX GET"):
        client.check(stored + request("SET", key, "new", *options.split()), b":0\r\n" + WRONGTYPE)
    client.check(request("HGET", key, "field"), b"$10\r\n%b\r\n" % value)


@step(9)
@pytest.mark.read("Step 9: The options of SET")
@pytest.mark.parametrize(
    "options", ["NX XX", "xx get nx", "KEEP", "NX no-option", "GET 10"], ids=lambda args: args.replace(" ", "-")
)
def test_options_that_make_no_sense_are_a_syntax_error(client: Client, rng: Dice, options: str) -> None:
    """An option of SET that does not exist, or NX together with XX, is a syntax error, and nothing is set.

    What does your SET do with options that it does not know? Is the reply WRONGTYPE? The options are checked before the
    old value is looked at.

    Look at all options before you set anything; raise `syntax_error()` if one is left over.
    """
    key, value = rng.key(), rng.key()
    client.check(request("SET", key, value), OK)
    client.check(request("SET", key, "new", *options.split()), SYNTAX_ERROR)
    client.check(request("GET", key), b"$10\r\n%b\r\n" % value)
    hash_ = rng.key()
    client.check(request("HSET", hash_, "f", "v"), b":1\r\n")
    client.check(request("SET", hash_, "new", *options.split(), "GET"), SYNTAX_ERROR)


@step(9)
@pytest.mark.read("Step 9: The options of SET")
def test_set_reports_a_change_only_if_it_has_set_the_key(modules: Modules) -> None:
    """SET with NX or XX calls `db.changed(key)` only if the key was set.

    Put `db.changed(key)` beside `db.put(key, value)`.
    """
    expected = {
        b"SET string value NX": [],
        b"SET new value XX": [],
        b"SET new value NX": [b"new"],
        b"SET string value XX GET": [b"string"],
        b"SET new value GET": [b"new"],
        b"SET string value NX GET": [],
        b"SET hash value GET": [],
    }
    check_reports(modules, expected)


@contextmanager
def redis_py(server: Server, protocol: int) -> Iterator[redis.Redis]:
    """Use the server through redis-py; an exception that it raises fails the test."""
    redis = pytest.importorskip("redis", reason="redis-py is not installed")
    seconds = server.patience.seconds
    with redis.Redis(server.host, server.port, protocol=protocol, socket_timeout=seconds, retry=None) as client:
        try:
            yield client
        except redis.RedisError as error:
            raise AssertionError(f"redis-py raised {type(error).__name__}: {error}") from error


@step(9)
@pytest.mark.read("Real clients")
@pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])
def test_redis_py_works(server: Server, rng: Dice, protocol: int) -> None:
    """Python's Redis client works with your server: strings, counters, hashes, errors and pipelines.

    Try the same in a Python prompt: `import redis; redis.Redis(port=6379).set("name", "Alice")`.

    If it already fails to connect, look at what it sends first: `python3 -m stages spy` shows it.

    With RESP3 it sends `HELLO 3`, and from then on expects nulls as `_` and HGETALL as a map.
    """
    key, fields, value = rng.key(), rng.key(), rng.key()
    hash_ = {rng.key(): rng.key() for _ in range(5)}
    with redis_py(server, protocol) as client:
        assert client.set(key, value) is True
        assert client.get(key) == value
        assert client.get(rng.key()) is None
        assert client.set(key, "other", nx=True) is None
        assert client.set(key, "7", get=True) == value
        assert client.incr(key, 3) == 10
        assert client.hset(fields, mapping=hash_) == 5  # type: ignore[arg-type]
        assert client.hget(fields, min(hash_)) == hash_[min(hash_)]
        assert client.hgetall(fields) == hash_
        assert client.type(fields) == b"hash"
        assert client.exists(key, fields) == 2
        pipeline: Any = client.pipeline(transaction=False)
        for _ in range(100):
            pipeline.incr(key)
        pipeline.hlen(key).delete(key, fields)
        *counts, refused, deleted = pipeline.execute(raise_on_error=False)
        assert counts == list(range(11, 111))
        assert str(refused).startswith("WRONGTYPE") or "wrong kind" in str(refused), refused
        assert deleted == 2


@step(9)
@pytest.mark.needs("redis-cli")
@pytest.mark.read("Real clients")
@pytest.mark.parametrize("options", [(), ("-3",)], ids=["RESP2", "RESP3"])
def test_redis_cli_works(server: Server, rng: Dice, options: tuple[str, ...]) -> None:
    """redis-cli, started in a terminal, connects to your server, and shows the answers to what one types.

    Try it: `redis-cli -p 6379`. Before it shows a prompt it sends `COMMAND DOCS`, and with `-3` `HELLO 3`.

    `COMMAND DOCS` may be answered with an error, but it must be answered with one reply, and the connection stays
    open.
    """
    value = rng.key().decode()
    typed = f'SET {value}.key "{value}"\nGET {value}.key\nHSET {value}.hash a 1\nHGETALL {value}.hash\nquit\n'
    shown = type_into(["redis-cli", "-h", server.host, "-p", str(server.port), *options], typed, server)
    field = '1# "a" => "1"' if options else '1) "a"'
    for line in ("> OK\n", f'> "{value}"\n', "> (integer) 1\n", f"> {field}\n"):
        assert line in shown, f"redis-cli does not show {line[:-1]!r}; it shows:\n{shown}"
    assert "(error)" not in shown, f"redis-cli shows an error:\n{shown}"


def type_into(program: list[str], typed: str, server: Server) -> str:
    """Type into a program that runs in a terminal of its own; return what it showed."""
    terminal, inside = pty.openpty()
    with os.fdopen(terminal, "wb", buffering=0) as keyboard:
        running = subprocess.Popen(
            program,
            stdin=inside,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TERM": "dumb", "FAKETTY": "1", "REDISCLI_HISTFILE": "/dev/null"},
            text=True,
        )
        os.close(inside)
        keyboard.write(typed.encode())
        try:
            return running.communicate(timeout=2 * server.patience.seconds)[0]
        except subprocess.TimeoutExpired:
            running.kill()
            return running.communicate()[0] + "\n(and then it waited for an answer)"
