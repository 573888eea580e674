"""Checkpoint 04: commands on strings and hashes, types that do not mix, and updates that do not get lost."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from stages.harness.checkpoint import Dice, Modules
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


def arity_error(command: str) -> bytes:
    """What Redis says to too few or too many words."""
    return f"-ERR wrong number of arguments for '{command}' command\r\n".encode()


# Strings


@pytest.mark.read("The first command: SET and GET")
def test_what_was_set_can_be_got(client: Client, rng: Dice) -> None:
    """GET answers with the value that SET has stored, as a bulk string; SET itself answers OK.

    Try it by hand: `SET name Alice`, then `GET name`, in redis-cli. Which of the two goes wrong?

    All data lives in one dictionary, from key to value, that belongs to the server, not to a connection.

    SET puts the value into the store and gives back "OK" (a `str`: a simple string); GET gives back the
    stored `bytes` (a bulk string).
    """
    key, value = rng.key(), rng.key()
    client.check(request("SET", key, value), OK)
    client.check(request("GET", key), b"$10\r\n%b\r\n" % value)


@pytest.mark.read("The first command: SET and GET")
def test_a_key_that_was_never_set_is_null(client: Client, rng: Dice) -> None:
    """GET of a key that does not exist answers with null, which is `$-1` in RESP2 and `_` in RESP3.

    Null is not the empty string and not an error.

    `dict.get` gives None for a missing key, and the writer already knows how to write None.

    Write the reply with the version that this client has chosen: `encode(answer, client.protocol)`.
    """
    client.check(request("GET", rng.key()), NULL)
    client.ask("HELLO", 3)
    client.check(request("GET", rng.key()), b"_\r\n")


@pytest.mark.read("The first command: SET and GET")
def test_a_value_is_seen_by_every_client(connect: Connect, rng: Dice) -> None:
    """What one client has set, another one gets, also after the first has gone.

    Where does your dictionary live? There must be one for all connections.

    Make the store in `Server.__init__` and hand it to each command; a connection owns only its client.
    """
    key, value = rng.key(), rng.key()
    first = connect()
    first.check(request("SET", key, value), OK)
    first.close()
    second = connect()
    assert second.ask("GET", key) == value


@pytest.mark.read("The first command: SET and GET")
def test_set_replaces_whatever_was_there(client: Client, rng: Dice) -> None:
    """SET replaces the old value of a key, even a hash; DEL then removes the key, and the hash does not come back.

    SET is the one command that does not care what the key held before.

    A key has one value. Do you keep strings and hashes in two dictionaries? Then a hash can still be there
    after SET, and the key exists again as soon as the string is deleted.

    Keep all values in one dictionary, and put the new one into the store without asking for the old one:
    `db.put(key, value)`.
    """
    key = rng.key()
    client.check(request("SET", key, "one"), OK)
    client.check(request("SET", key, "two"), OK)
    client.check(request("GET", key), b"$3\r\ntwo\r\n")
    client.check(request("DEL", key), b":1\r\n")
    client.ask("HSET", key, "field", "value")
    client.check(request("SET", key, "three"), OK)
    client.check(request("GET", key), b"$5\r\nthree\r\n")
    client.check(request("TYPE", key), b"+string\r\n")
    client.check(request("DEL", key), b":1\r\n")
    client.check(request("EXISTS", key), b":0\r\n")
    client.check(request("HGET", key, "field"), NULL)


@pytest.mark.read("Options of SET")
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
    ],
)
def test_set_obeys_its_options(
    client: Client, rng: Dice, options: str, before: bytes | None, answer: bytes, after: bytes | None
) -> None:
    """SET with NX sets only a new key, with XX only an existing one; with GET it answers with the old value.

    Whether the key is there decides about NX and XX; what the answer is, is a second question.

    With GET the answer is the value from before, or null when there was none, whether the key was set or
    not. Without GET it is OK when the key was set, else null.

    Options come in any order and any case: make a set of them in lower case, and look into that.
    """
    key = rng.key()
    if before is not None:
        client.check(request("SET", key, before), OK)
    client.check(request("SET", key, "new", *options.split()), answer)
    assert client.ask("GET", key) == after


@pytest.mark.read("Options of SET")
def test_set_nx_and_xx_accept_a_key_of_any_type(client: Client, rng: Dice) -> None:
    """SET with NX does not replace a hash and answers null; with XX it replaces the hash and answers OK.

    NX and XX ask only whether the key exists. The value is not asked for its type, so there is no WRONGTYPE.

    `key in db` returns whether the key exists. Call `db.get(key, STRING)`, which raises WRONGTYPE, only for GET.
    """
    key, value = rng.key(), rng.key()
    client.ask("HSET", key, "field", value)
    client.check(request("SET", key, "new", "NX"), NULL)
    client.check(request("HGET", key, "field"), b"$10\r\n%b\r\n" % value)
    client.check(request("SET", key, "new", "XX"), OK)
    client.check(request("GET", key), b"$3\r\nnew\r\n")


@pytest.mark.read("Options of SET")
@pytest.mark.parametrize(
    "options", ["NX XX", "xx get nx", "KEEP", "NX no-option", "GET 10"], ids=lambda args: args.replace(" ", "-")
)
def test_options_that_make_no_sense_are_a_syntax_error(client: Client, rng: Dice, options: str) -> None:
    """An option of SET that does not exist, or NX together with XX, is a syntax error, and nothing is set.

    What does your SET do with words that it does not know?

    Look at all options before you touch the store; raise `syntax_error()` when one is left over.
    """
    key, value = rng.key(), rng.key()
    client.check(request("SET", key, value), OK)
    client.check(request("SET", key, "new", *options.split()), SYNTAX_ERROR)
    client.check(request("GET", key), b"$10\r\n%b\r\n" % value)


@pytest.mark.read("Strings that are numbers")
def test_strlen_counts_bytes(client: Client, rng: Dice) -> None:
    """STRLEN answers with the length of the value in bytes, and with 0 where there is no key.

    A key that does not exist counts as an empty string here.

    `len` of `bytes` counts bytes; if you get 4 for `naïve` less than expected, you have decoded to text.
    """
    key = rng.key()
    client.check(request("STRLEN", key), b":0\r\n")
    client.check(request("SET", key, "naïve\r\n"), OK)
    client.check(request("STRLEN", key), b":8\r\n")


@pytest.mark.read("Strings that are numbers")
def test_append_puts_the_value_at_the_end(client: Client, rng: Dice) -> None:
    """APPEND puts a value at the end of the string and answers with the new length; no key: an empty string.

    The answer is a number, the length after appending.

    Join the old value (or `b""`) and the new one, put the result back, and answer with its length.
    """
    key, one, two = rng.key(), rng.key(), rng.key(7)
    client.check(request("APPEND", key, one), b":10\r\n")
    client.check(request("APPEND", key, two), b":17\r\n")
    client.check(request("GET", key), b"$17\r\n%b\r\n" % (one + two))


@pytest.mark.read("Strings that are numbers")
def test_append_of_an_empty_value_creates_the_key(client: Client, rng: Dice) -> None:
    """APPEND of an empty value creates a missing key, with an empty string; a string that is there stays as it is.

    Does your APPEND return early when there is nothing to append?

    An empty string is a value like any other: put the joined string into the store, whatever its length.
    """
    key, value = rng.key(), rng.key()
    client.check(request("APPEND", key, ""), b":0\r\n")
    client.check(request("EXISTS", key), b":1\r\n")
    client.check(request("GET", key), b"$0\r\n\r\n")
    client.check(request("APPEND", key, value), b":10\r\n")
    client.check(request("APPEND", key, ""), b":10\r\n")
    client.check(request("GET", key), b"$10\r\n%b\r\n" % value)


@pytest.mark.read("Strings that are numbers")
def test_incr_counts_from_nothing(client: Client, rng: Dice) -> None:
    """INCR, DECR, INCRBY and DECRBY answer with the new number; a key that does not exist counts from 0.

    The answer is an integer (`:1`), while GET of the same key is a bulk string (`$1`, `1`).

    The four differ in what they add: 1, -1, the increment, minus the decrement. Write one function `add`.
    """
    key, start = rng.key(), rng.randrange(10, 1000)
    client.check(request("INCR", key), b":1\r\n")
    client.check(request("INCRBY", key, start), b":%d\r\n" % (start + 1))
    client.check(request("DECR", key), b":%d\r\n" % start)
    client.check(request("DECRBY", key, 2 * start), b":%d\r\n" % -start)
    client.check(request("INCRBY", key, -start), b":%d\r\n" % (-2 * start))
    client.check(request("DECRBY", key, -start), b":%d\r\n" % -start)
    client.check(request("DECR", rng.key()), b":-1\r\n")


@pytest.mark.read("Strings that are numbers")
def test_a_number_is_still_a_string(client: Client, rng: Dice) -> None:
    """A counter is a string that looks like a number: SET starts it, GET and STRLEN show it, APPEND adds digits.

    What type has the value in your store after INCR?

    Store the digits, not a Python int: `b"%d" % total`. Each INCR reads them again.
    """
    key = rng.key()
    client.check(request("SET", key, "9"), OK)
    client.check(request("INCR", key), b":10\r\n")
    client.check(request("GET", key), b"$2\r\n10\r\n")
    client.check(request("STRLEN", key), b":2\r\n")
    client.check(request("TYPE", key), b"+string\r\n")
    client.check(request("APPEND", key, "5"), b":3\r\n")
    client.check(request("INCR", key), b":106\r\n")


@pytest.mark.read("Strings that are numbers")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"ten", id="letters"),
        pytest.param(b"", id="empty"),
        pytest.param(b"1.0", id="fraction"),
        pytest.param(b" 1", id="blank-before"),
        pytest.param(b"1\n", id="line-end-after"),
        pytest.param(b"+1", id="plus"),
        pytest.param(b"01", id="leading-zero"),
        pytest.param(b"-0", id="minus-zero"),
        pytest.param(b"1_000", id="underscore"),
        pytest.param("٣".encode(), id="arabic-digit"),
        pytest.param(b"9223372036854775808", id="too-big"),
        pytest.param(b"-9223372036854775809", id="too-small"),
    ],
)
def test_what_is_no_integer_is_not_counted(client: Client, rng: Dice, value: bytes) -> None:
    """INCR of a value that is no 64-bit integer is an error, and so is such an increment; nothing changes.

    Python's `int()` forgives much that Redis does not: blanks, a plus, underscores, numbers of any size.

    `parse_integer` of the reader is as strict as Redis. It gives None for what is no integer; compare with
    `is None`, for 0 is a number.

    Raise `not_an_integer()` before anything is put into the store.
    """
    key, counter = rng.key(), rng.key()
    client.check(request("SET", key, value) + request("SET", counter, "5"), OK + OK)
    client.check(request("INCR", key), NOT_AN_INTEGER)
    client.check(request("DECRBY", key, 3), NOT_AN_INTEGER)
    client.check(request("INCRBY", counter, value), NOT_AN_INTEGER)
    client.check(request("GET", key), b"$%d\r\n%b\r\n" % (len(value), value))
    client.check(request("GET", counter), b"$1\r\n5\r\n")


@pytest.mark.read("Strings that are numbers")
def test_a_counter_does_not_overflow(client: Client, rng: Dice) -> None:
    """A counter stays within 64 bits: what would go beyond is an error, and the value remains.

    Python's integers grow without end. Redis's end at 9223372036854775807 and -9223372036854775808.

    Compare the sum with `-(2**63)` and `2**63 - 1` before you store it.

    DECRBY of -9223372036854775808 is refused at once: the opposite of this number has no place in 64 bits.
    """
    key, most, least = rng.key(), 2**63 - 1, -(2**63)
    overflow = b"-ERR increment or decrement would overflow\r\n"
    client.check(request("SET", key, most - 1), OK)
    client.check(request("INCR", key), b":%d\r\n" % most)
    client.check(request("INCR", key), overflow)
    client.check(request("INCRBY", key, most), overflow)
    client.check(request("DECRBY", key, -most), overflow)
    client.check(request("GET", key), b"$19\r\n%d\r\n" % most)
    client.check(request("SET", key, least + 1), OK)
    client.check(request("DECR", key), b":%d\r\n" % least)
    client.check(request("DECR", key), overflow)
    client.check(request("INCRBY", key, -1) + request("INCRBY", key, least), overflow * 2)
    client.check(request("DECRBY", key, most), overflow)
    client.check(request("DECRBY", key, least), b"-ERR decrement would overflow\r\n")
    client.check(request("GET", key), b"$20\r\n%d\r\n" % least)


# Keys


@pytest.mark.read("Keys")
def test_del_removes_keys_and_counts_them(client: Client, rng: Dice) -> None:
    """DEL removes the keys that there are and answers with how many there were.

    A missing key counts 0, and so does one that is named for the second time: it has already gone.

    Strings and hashes go alike; count what the store's `delete` says was there.
    """
    one, two, missing = rng.key(), rng.key(), rng.key()
    client.check(request("SET", one, "1"), OK)
    client.ask("HSET", two, "f", "v")
    client.check(request("DEL", one, missing, two, one), b":2\r\n")
    client.check(request("GET", one) + request("HGET", two, "f"), NULL + NULL)
    client.check(request("DEL", one), b":0\r\n")


@pytest.mark.read("Keys")
def test_exists_counts_keys(client: Client, rng: Dice) -> None:
    """EXISTS answers with how many of the keys there are; a key that is named twice counts twice.

    The answer is a number, not a boolean.

    Add up one for each word that is a key; an empty string is a value too, so do not ask for its truth.
    """
    one, two, missing = rng.key(), rng.key(), rng.key()
    client.check(request("SET", one, ""), OK)
    client.ask("HSET", two, "f", "v")
    client.check(request("EXISTS", missing), b":0\r\n")
    client.check(request("EXISTS", one), b":1\r\n")
    client.check(request("EXISTS", one, missing, two, one), b":3\r\n")


@pytest.mark.read("Keys")
def test_type_names_the_kind_of_value(client: Client, rng: Dice) -> None:
    """TYPE answers with the simple string `string`, `hash`, or `none` where there is no key.

    A simple string begins with `+`: in Python a `str`, not `bytes`.

    A table from Python's type to Redis's name is all that it takes: `{bytes: "string", dict: "hash"}`.
    """
    text, fields = rng.key(), rng.key()
    client.check(request("SET", text, ""), OK)
    client.ask("HSET", fields, "f", "v")
    client.check(request("TYPE", text), b"+string\r\n")
    client.check(request("TYPE", fields), b"+hash\r\n")
    client.check(request("TYPE", rng.key()), b"+none\r\n")


@pytest.mark.read("Keys")
def test_flushall_removes_and_dbsize_counts_all_keys(server: Server, client: Client, rng: Dice) -> None:
    """FLUSHALL removes every key and answers OK; DBSIZE answers with the number of keys.

    A hash is one key, however many fields it has, and a key that is set again is not a new one.

    FLUSHALL may be followed by ASYNC or SYNC, which make no difference here; any other word is a syntax
    error, and nothing is removed.
    """
    if server.program is None:
        pytest.skip(f"{server.target.name} is already running: FLUSHALL would remove what others keep there")
    client.check(request("FLUSHALL"), OK)
    client.check(request("DBSIZE"), b":0\r\n")
    keys = {rng.key() for _ in range(rng.randrange(5, 20))}
    for key in [*keys, min(keys)]:
        client.check(request("SET", key, "x"), OK)
    client.ask("HSET", rng.key(4), "f", "v", "g", "w")
    client.check(request("FLUSHALL", "now"), SYNTAX_ERROR)
    client.check(request("DBSIZE"), b":%d\r\n" % (len(keys) + 1))
    client.check(request("flushall", "Async"), OK)
    client.check(request("EXISTS", *keys) + request("DBSIZE"), b":0\r\n:0\r\n")


# Hashes


@pytest.mark.read("Hashes")
def test_hset_answers_with_the_number_of_new_fields(client: Client, rng: Dice) -> None:
    """HSET sets one or more fields of a hash and answers with how many of them are new.

    A field that was there gets its new value but does not count.

    The number is the length of the hash afterwards minus the length before: so a new field that is named
    twice in one request counts once, and its last value stays.
    """
    key, value = rng.key(), rng.key()
    client.check(request("HSET", key, "a", "1"), b":1\r\n")
    client.check(request("HSET", key, "a", value), b":0\r\n")
    client.check(request("HSET", key, "a", "3", "b", "4", "c", "5"), b":2\r\n")
    client.check(request("HSET", key, "d", "6", "d", value), b":1\r\n")
    client.check(request("HGET", key, "a"), b"$1\r\n3\r\n")
    client.check(request("HGET", key, "d"), b"$10\r\n%b\r\n" % value)


@pytest.mark.read("Hashes")
def test_hset_wants_a_value_for_each_field(client: Client, rng: Dice) -> None:
    """HSET with a field that has no value is an error, 'wrong number of arguments', and sets nothing.

    The words after the key come in pairs. What has been set before you see that the last one has no value?

    Signatures cannot say "in pairs": check it yourself, before the first field is set.
    """
    key = rng.key()
    client.check(request("HSET", key, "a", "1", "b"), arity_error("hset"))
    client.check(request("EXISTS", key), b":0\r\n")
    client.check(request("HSET", key, "a", "old"), b":1\r\n")
    client.check(request("HSET", key, "a", "new", "b", "2", "c"), arity_error("hset"))
    client.check(request("HGET", key, "a") + request("HLEN", key), b"$3\r\nold\r\n:1\r\n")


@pytest.mark.read("Hashes")
def test_what_is_not_in_a_hash_is_null(client: Client, rng: Dice) -> None:
    """HGET of a field that does not exist, or of a key that does not exist, answers with null.

    A missing key is treated as a hash without fields.

    `(db.get(key, HASH) or {}).get(field)` reads both cases, and makes no key.
    """
    key = rng.key()
    client.check(request("HSET", key, "field", ""), b":1\r\n")
    client.check(request("HGET", key, "field"), b"$0\r\n\r\n")
    client.check(request("HGET", key, "other"), NULL)
    client.check(request("HGET", rng.key(), "field"), NULL)
    client.ask("HELLO", 3)
    client.check(request("HGET", key, "other"), b"_\r\n")


@pytest.mark.read("Hashes")
def test_hdel_removes_fields_and_counts_them(client: Client, rng: Dice) -> None:
    """HDEL removes the fields that there are and answers with how many there were.

    It is to a hash what DEL is to the keys.

    `dict.pop(field, None)` removes a field and tells whether it was there; an empty value is not None.
    """
    key = rng.key()
    client.check(request("HSET", key, "a", "", "b", "2", "c", "3"), b":3\r\n")
    client.check(request("HDEL", key, "a", "missing", "b", "a"), b":2\r\n")
    client.check(request("HGET", key, "a") + request("HLEN", key), NULL + b":1\r\n")
    client.check(request("HDEL", rng.key(), "a"), b":0\r\n")


@pytest.mark.read("Hashes")
def test_a_hash_without_fields_is_no_key(client: Client, rng: Dice) -> None:
    """When HDEL removes the last field the key is gone too, and reading a missing hash makes no key.

    Redis knows no empty hashes: EXISTS answers 0, TYPE `none`, and the key may become a string.

    The store does it once for all commands: `changed(key)` drops a container that has become empty.

    The commands that only read must not use `make`, which puts an empty hash there.
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


@pytest.mark.read("Hashes")
def test_hgetall_is_a_map_in_resp3_and_a_flat_array_in_resp2(client: Client, rng: Dice) -> None:
    """HGETALL answers with fields and values: a flat array in RESP2 and, after HELLO 3, a map.

    The command gives the same value in both cases; that it is written in two ways is the writer's work.

    Give back the dictionary itself, and encode it with `client.protocol`. An empty one is `*0` or `%0`.
    """
    key = rng.key()
    hash_ = {rng.key(): rng.key() for _ in range(20)}
    client.check(request("HSET", key, *chain(*hash_.items())), b":20\r\n")
    flat = client.ask("HGETALL", key)
    assert isinstance(flat, list), "in RESP2 the answer is an array: *40"
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == hash_
    client.check(request("HGETALL", rng.key()), b"*0\r\n")
    client.ask("HELLO", 3)
    assert client.ask("HGETALL", key) == hash_
    client.check(request("HGETALL", rng.key()), b"%0\r\n")


@pytest.mark.read("Hashes")
def test_a_hash_can_be_looked_at_from_all_sides(client: Client, rng: Dice) -> None:
    """HLEN counts the fields, HEXISTS looks for one, HKEYS lists the fields and HVALS the values, in one order.

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


# Types do not mix


@pytest.mark.read("WRONGTYPE")
@pytest.mark.parametrize(
    "args",
    ["GET", "STRLEN", "APPEND 1", "INCR", "DECR", "INCRBY 1", "DECRBY 1", "SET 1 GET", "SET 1 XX GET"],
    ids=lambda args: args.replace(" ", "-"),
)
def test_a_hash_is_no_string(client: Client, rng: Dice, args: str) -> None:
    """A command for strings refuses a key that holds a hash, with WRONGTYPE, and the hash stays as it was.

    Does your server answer with something made of the hash, or with a Python error in its output?

    Every command asks the store for the kind that it needs, `db.get(key, STRING)`; the store raises
    `wrong_type()` when another kind is there. So the check stands in one place.

    SET asks for the old value only with GET, and then before it sets anything.
    """
    key, value = rng.key(), rng.key()
    command, *arguments = args.split()
    client.check(request("HSET", key, "f", value), b":1\r\n")
    client.check(request(command, key, *arguments), WRONGTYPE)
    client.check(request("HGET", key, "f"), b"$10\r\n%b\r\n" % value)
    client.check(request("HLEN", key), b":1\r\n")


@pytest.mark.read("WRONGTYPE")
@pytest.mark.parametrize(
    "args",
    ["HSET f 1", "HGET f", "HDEL f", "HGETALL", "HLEN", "HEXISTS f", "HKEYS", "HVALS"],
    ids=lambda args: args.replace(" ", "-"),
)
def test_a_string_is_no_hash(client: Client, rng: Dice, args: str) -> None:
    """A command for hashes refuses a key that holds a string, with WRONGTYPE, and the string stays as it was.

    An empty string is a string too: is the value that your store has found perhaps taken for "nothing"?

    Compare with None, not with `not value`; then ask whether the value is of the kind wanted.
    """
    command, *arguments = args.split()
    for value in (rng.key(), b""):
        key = rng.key()
        client.check(request("SET", key, value), OK)
        client.check(request(command, key, *arguments), WRONGTYPE)
        client.check(request("GET", key), b"$%d\r\n%b\r\n" % (len(value), value))


# Requests


ARITY = {  # of each command: too few words, and too many where there can be too many
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
    "HSET": ["", "k", "k f", "k f v g"],
    "HGET": ["", "k", "k f x"],
    "HDEL": ["", "k"],
    "HGETALL": ["", "k x"],
    "HLEN": ["", "k x"],
    "HEXISTS": ["", "k", "k f x"],
    "HKEYS": ["", "k x"],
    "HVALS": ["", "k x"],
    "SELECT": ["", "0 x"],
}


@pytest.mark.read("A command is a function")
@pytest.mark.parametrize("command", ARITY)
def test_a_wrong_number_of_words_is_told(client: Client, command: str) -> None:
    """Too few or too many words are answered with the error that names the command, in lower case.

    The words are counted before the command runs; the connection stays open.

    What a command takes is in its signature: parameters without a default must be there, `*args` takes any
    number. `describe` has counted them: `fewest` and `most`.

    Raise `wrong_number_of_arguments(self.name)` where the words of the request are fewer or more.
    """
    for args in ARITY[command]:
        client.check(request(command, *args.split()), arity_error(command.lower()))


@pytest.mark.read("A command is a function")
def test_command_names_come_in_any_case(client: Client, rng: Dice) -> None:
    """The name of a command may be in capitals or not; keys, fields and values are taken as they are.

    `SET`, `set` and `sEt` are the same command, but `name` and `Name` are two keys.

    Lower the first word only, when you look into the table.
    """
    key = rng.key().lower()
    client.check(request("sEt", key, "low") + request("set", key.upper(), "HIGH"), OK + OK)
    client.check(request("get", key) + request("gEt", key.upper()), b"$3\r\nlow\r\n$4\r\nHIGH\r\n")
    client.check(request("hset", key + b"2", "f", "v", "F", "V"), b":2\r\n")
    client.check(request("hgEt", key + b"2", "F"), b"$1\r\nV\r\n")


@pytest.mark.carried
@pytest.mark.read("A command is a function")
def test_an_unknown_command_is_still_an_error(client: Client, rng: Dice) -> None:
    """A command that is not in the table is answered with an error that names it, and the connection goes on.

    What does `COMMANDS.get` give for a name that is not there?

    Raise `unknown_command(args)` where it gives None.
    """
    name = rng.key()
    error = b"-ERR unknown command '%b', with args beginning with: 'key' \r\n" % name
    client.check(request(name, "key") + request("PING"), error + b"+PONG\r\n")


@pytest.mark.read("The first command: SET and GET")
def test_keys_fields_and_values_are_any_bytes(client: Client, rng: Dice) -> None:
    r"""Keys, fields and values are bytes, any of them: zeros, line ends, bytes that are no text.

    A traceback with UnicodeDecodeError? Somewhere bytes are made into text.

    Keep `bytes` from the reader to the writer. Only the name of a command, and what looks like a number, is
    ever looked into.
    """
    key, field, value = (bytes(rng.sample(EVERY_BYTE, 256)) + rng.key() for _ in range(3))
    size = len(value)
    client.check(request("SET", key, value), OK)
    client.check(request("GET", key), b"$%d\r\n%b\r\n" % (size, value))
    client.check(request("APPEND", key, value), b":%d\r\n" % (2 * size))
    client.check(request("HSET", key + b"\0", field, value, b"", b""), b":2\r\n")
    client.check(request("HGET", key + b"\0", field), b"$%d\r\n%b\r\n" % (size, value))
    client.check(request("HEXISTS", key + b"\0", ""), b":1\r\n")
    client.check(request("SET", "", value) + request("GET", ""), OK + b"$%d\r\n%b\r\n" % (size, value))
    client.check(request("EXISTS", key, key + b"\0", "", key[:-1]), b":3\r\n")


@pytest.mark.read("The first command: SET and GET")
def test_spaces_belong_to_a_key(client: Client, rng: Dice) -> None:
    """Spaces at the ends of a key belong to it: `key` and ` key ` are two keys.

    The length in the header counts every byte. Which of them does your server remove, with `strip()` or `split()`?

    Use the key exactly as the reader returns it.
    """
    key = rng.key()
    keys = [key, b" " + key, key + b" ", b" " + key + b" ", b" ", b"  ", key + b"\t"]
    for number, each in enumerate(keys):
        client.check(request("SET", each, number), OK)
    for number, each in enumerate(keys):
        client.check(request("GET", each), b"$1\r\n%d\r\n" % number)
        client.check(request("HSET", each + b"f", each, "value"), b":1\r\n")
    client.check(request("DEL", *keys), b":7\r\n")


@pytest.mark.read("The first command: SET and GET")
def test_a_large_value_comes_back_whole(client: Client, rng: Dice) -> None:
    """A value of several megabytes is stored and comes back byte for byte.

    It arrives in hundreds of chunks and leaves in as many. Is it cut, or does it take too long?

    The reader takes the chunks together; `transport.write` sends what the system does not take at once
    later, by itself. Neither must do work for all that is there each time a little more comes.
    """
    key, value = rng.key(), rng.randbytes(4_000_000)
    client.check(request("SET", key, value), OK)
    client.check(request("STRLEN", key), b":4000000\r\n")
    client.check(request("GET", key), b"$4000000\r\n%b\r\n" % value)


@pytest.mark.read("One request after the other")
def test_a_pipeline_is_answered_in_order(client: Client, rng: Dice) -> None:
    """Several hundred requests sent at once are all answered, in the order in which they were sent.

    A client need not wait for a reply before it sends the next request. Which reply is missing or misplaced?

    Execute every complete request that a chunk has brought, one after the other, and keep what is left.

    An error is a reply like any other: it takes its place, and the requests after it are answered.
    """
    requests, replies = b"", b""
    for number in range(200):
        key, value = rng.key(), rng.randbytes(rng.randrange(100))
        bulk = b"$%d\r\n%b\r\n" % (len(value), value)
        requests += request("SET", key, value) + request("GET", key) + request("HGET", key, "f")
        replies += OK + bulk + WRONGTYPE
        if number % 2:
            requests += request("DEL", key) + request("GET", key)
            replies += b":1\r\n" + NULL
    client.check(requests, replies)


@pytest.mark.read("One request after the other")
def test_requests_in_pieces_are_executed_once(client: Client, rng: Dice) -> None:
    """Requests that arrive in pieces, cut anywhere, are executed once each, when they are complete.

    Does a counter count too much? Then a request is executed again when its next piece comes.

    `data_received` asks the reader for complete requests until it says None, and forgets what was executed.
    """
    key = rng.key()
    requests = b"".join(request("APPEND", key, bytes([byte])) for byte in EVERY_BYTE)
    cuts = sorted(rng.sample(range(1, len(requests)), 60))
    for start, end in pairwise([0, *cuts, len(requests)]):
        client.send(requests[start:end])
    client.expect(b"".join(b":%d\r\n" % length for length in range(1, 257)))
    client.check(request("GET", key), b"$256\r\n%b\r\n" % EVERY_BYTE)


CLIENTS, ROUNDS, BURST, SIZE = 8, 3, 100, 16_000_000


@pytest.mark.read("One request after the other")
def test_clients_that_count_together_lose_nothing(connect: Connect, rng: Dice) -> None:
    """Many clients change the same keys at once, and every single change is there in the end.

    Two clients read the counter while it is 5, both write 6: one of the two has counted for nothing. Where
    can a second request come between the reading and the writing of yours?

    In a server with threads: anywhere. It needs a lock around each command, from its first look at the
    store to its last write. In an asyncio server: at each `await`, and nowhere else.

    So let a command be an ordinary function without `await`, called from `data_received`: then each runs
    from its beginning to its end before anything else happens. That is what "atomic" means in Redis.
    """
    counter, text, fields = rng.key(), rng.key(), rng.key()
    client, *clients = [connect() for _ in range(1 + CLIENTS)]
    client.check(request("SET", text, b"." * SIZE), OK)  # so large that an APPEND takes its time
    left = [b""] * CLIENTS
    for turn in range(ROUNDS):
        for number, other in enumerate(clients):
            stream = left[number] + request("APPEND", text, "x") + request("INCR", counter) * BURST
            stream += request("HSET", fields, b"%d %d" % (number, turn), "")
            cut = len(stream) - rng.randrange(1, 20)  # the rest of the last request comes with the next turn
            other.send(stream[:cut])
            left[number] = stream[cut:]
    for other, rest in zip(clients, left, strict=True):
        other.send(rest)
    replies = [[parse(other.read_reply())[0] for _ in range(ROUNDS * (BURST + 2))] for other in clients]
    turns = CLIENTS * ROUNDS
    total = turns * BURST
    assert client.ask("GET", counter) == b"%d" % total, f"INCR was sent {total} times"
    assert client.ask("STRLEN", text) == SIZE + turns, f"APPEND was sent {turns} times, each with one byte"
    assert client.ask("HLEN", fields) == turns, f"HSET was sent {turns} times, each with a new field"
    sums = {reply for each in replies for at, reply in enumerate(each) if 0 < at % (BURST + 2) <= BURST}
    assert sums == set(range(1, total + 1)), "each number is the answer to one INCR only"
    client.ask("DEL", text)


# Connections


@pytest.mark.read("One request after the other")
def test_no_request_after_quit_is_executed(connect: Connect, rng: Dice) -> None:
    """Requests that come after QUIT, even in the same chunk, are neither answered nor executed.

    The client has said goodbye. Is there a key that it has set afterwards?

    Holding the replies back is not enough: stop taking requests out of the reader as soon as the client is
    `leaving`.
    """
    before, after = rng.key(), rng.key()
    client = connect()
    requests = [request("SET", before, "1"), request("QUIT"), request("SET", after, "1"), request("INCR", before)]
    client.check(b"".join(requests), OK + OK)
    client.expect_closed()
    connect().check(request("EXISTS", after) + request("GET", before), b":0\r\n$1\r\n1\r\n")


@pytest.mark.read("What clients ask")
def test_there_is_one_database_at_least(client: Client, rng: Dice) -> None:
    """SELECT 0 answers OK; a number that no database has is refused, and so is what is no number.

    Clients say SELECT when they connect, whether they need it or not.

    `index: int` in the signature reads the number, and complains where there is none; you say
    `ERR DB index is out of range` to any but 0.
    """
    key, value = rng.key(), rng.key()
    client.check(request("SET", key, value), OK)
    client.check(request("SELECT", "0"), OK)
    client.check(request("SELECT", "16"), b"-ERR DB index is out of range\r\n")
    client.check(request("SELECT", "-1"), b"-ERR DB index is out of range\r\n")
    client.check(request("SELECT", "zero"), NOT_AN_INTEGER)
    client.check(request("GET", key), b"$10\r\n%b\r\n" % value)


DESCRIBED = {  # name: arity, the flag, first key, last key, step
    b"get": (2, "readonly", 1, 1, 1),
    b"set": (-3, "write", 1, 1, 1),
    b"del": (-2, "write", 1, -1, 1),
    b"exists": (-2, "readonly", 1, -1, 1),
    b"type": (2, "readonly", 1, 1, 1),
    b"incr": (2, "write", 1, 1, 1),
    b"incrby": (3, "write", 1, 1, 1),
    b"hset": (-4, "write", 1, 1, 1),
    b"hget": (3, "readonly", 1, 1, 1),
    b"hdel": (-3, "write", 1, 1, 1),
    b"hgetall": (2, "readonly", 1, 1, 1),
    b"dbsize": (1, "readonly", 0, 0, 0),
}


@pytest.mark.read("What clients ask")
def test_command_describes_the_commands(client: Client) -> None:
    """COMMAND answers with what there is to know of each command; COMMAND COUNT with how many there are.

    Of each command: its name, its arity, an array of flags, and where its keys stand: the first, the last,
    the step from one to the next.

    The arity is the number of words, that of the name among them; negative where there may be more. The last
    key is -1 where all words to the end are keys.

    All of it is already in the table: `describe` has read it off the signature.
    """
    answer = client.ask("COMMAND")
    assert isinstance(answer, list), "COMMAND answers with an array"
    table = {name: tuple(rest) for name, *rest in answer}
    for name, (arity, flag, *keys) in DESCRIBED.items():
        assert name in table, f"{name!r} is missing"
        assert table[name][0] == arity, f"the arity of {name!r}"
        assert flag in table[name][1], f"the flags of {name!r}"
        assert list(table[name][2:5]) == keys, f"first key, last key and step of {name!r}"
    client.check(request("COMMAND", "COUNT"), b":%d\r\n" % len(table))


@contextmanager
def redis_py(server: Server, protocol: int) -> Iterator[redis.Redis]:
    """Use the server through redis-py; what that complains of fails the test."""
    redis = pytest.importorskip("redis", reason="redis-py is not installed")
    seconds = server.patience.seconds
    with redis.Redis(server.host, server.port, protocol=protocol, socket_timeout=seconds, retry=None) as client:
        try:
            yield client
        except redis.RedisError as error:
            raise AssertionError(f"redis-py raised {type(error).__name__}: {error}") from error


@pytest.mark.read("What clients ask")
@pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])
def test_redis_py_works(server: Server, rng: Dice, protocol: int) -> None:
    """Python's Redis client works with your server: strings, counters, hashes, errors and pipelines.

    Try the same in a Python prompt: `import redis; redis.Redis(port=6379).set("name", "Alice")`.

    When it already fails at connecting, look at what it sends first: `python3 -m stages spy` shows it.

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


@pytest.mark.read("What clients ask")
@pytest.mark.parametrize("options", [(), ("-3",)], ids=["RESP2", "RESP3"])
def test_redis_cli_works(server: Server, rng: Dice, options: tuple[str, ...]) -> None:
    """redis-cli, started in a terminal, connects to your server, and shows the answers to what one types.

    Try it: `redis-cli -p 6379`. Before it shows a prompt it sends `COMMAND DOCS`, and with `-3` `HELLO 3`.

    `COMMAND DOCS` may be answered with an error, but with one reply it must be answered, and the connection
    stays open.
    """
    if not shutil.which("redis-cli"):
        pytest.skip("redis-cli is not installed")
    value = rng.key().decode()
    typed = f'SET {value}.key "{value}"\nGET {value}.key\nHSET {value}.hash a 1\nHGETALL {value}.hash\nquit\n'
    shown = type_into(["redis-cli", "-h", server.host, "-p", str(server.port), *options], typed, server)
    field = '1# "a" => "1"' if options else '1) "a"'
    for line in ("> OK\n", f'> "{value}"\n', "> (integer) 1\n", f"> {field}\n"):
        assert line in shown, f"redis-cli does not show {line[:-1]!r}; it shows:\n{shown}"


def type_into(program: list[str], typed: str, server: Server) -> str:
    """Type into a program that runs in a terminal of its own, and answer with what it showed."""
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


# The modules


@pytest.fixture
def modules(modules: Modules, target: Target) -> Modules:
    """Look into the target's modules; not into those of `final/`, which have grown out of the form they have here."""
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    return modules


@pytest.mark.read("The store")
def test_the_store_has_four_verbs(modules: Modules, rng: Dice) -> None:
    """The store: `put` and `get` for values, `make` for containers, `delete`; and `changed` drops an empty one.

    Read the docstrings of `Store`: each says what its method gives, and shows an example.

    `get` and `make` take the kind of value that is wanted, and raise `wrong_type()` for another kind.

    `make` puts the new container into the dictionary and gives you the same object, so that what you do to
    it is done to the value in the store.
    """
    modules.check(
        """
        from errors import ReplyError
        from store import Store

        db = Store()
        db.put(key, b"")
        db.make(b"hash", dict)[key] = b"value"
        db.changed(b"hash")
        result = [db.get(key, bytes), dict(db.get(b"hash", dict)), db.get(b"missing", bytes)]
        for ask in (db.get, db.make):
            try:
                ask(key, dict)
            except ReplyError as error:
                result.append(str(error).split()[0])
        db.make(b"hash", dict).clear()
        db.changed(b"hash")
        result += [db.get(b"hash", dict), db.delete(key), db.delete(key), db.get(key, bytes)]
        """,
        [b"", {(key := rng.key()): b"value"}, None, "WRONGTYPE", "WRONGTYPE", None, True, False, None],
        key=key,
    )


CHANGED: dict[bytes, list[bytes]] = {  # request: the keys that it changes
    b"SET new value": [b"new"],
    b"SET string value": [b"string"],
    b"SET string value NX": [],
    b"SET new value XX": [],
    b"APPEND string more": [b"string"],
    b"INCR number": [b"number"],
    b"INCRBY new 5": [b"new"],
    b"INCR string": [],
    b"DEL string missing hash": [b"string", b"hash"],
    b"DEL missing": [],
    b"HSET hash other value": [b"hash"],
    b"HDEL hash field": [b"hash"],
    b"HDEL hash missing": [],
    b"HDEL missing field": [],
    b"GET string": [],
    b"HGETALL hash": [],
}


@pytest.mark.read("The store")
def test_a_command_says_which_keys_it_has_changed(modules: Modules) -> None:
    """A command that has changed something says `db.changed(key)`; one that has changed nothing does not.

    The result lists the requests of which something else was said, with the keys that were said.

    Nothing comes of it yet, but for a hash that is empty now. Stage 05 lives on it: what has changed something
    goes into the log, and nothing else does.
    """
    modules.check(
        """
        import hashes, keys, strings
        from client import Client
        from command import execute
        from store import Store

        class Listening(Store):
            def changed(self, *keys):
                said.extend(keys)
                super().changed(*keys)

        said = []
        result = []
        for line, wanted in lines.items():
            db = Listening()
            for request in (b"SET string text", b"SET number 5", b"HSET hash field value"):
                execute(db, Client(id=1), request.split())
            said.clear()
            execute(db, Client(id=1), line.split())
            if said != wanted:
                result.append((line, said.copy()))
        """,
        [],
        lines=CHANGED,
    )


@pytest.mark.read("A command is a function")
def test_a_new_command_is_one_function(modules: Modules, rng: Dice) -> None:
    """A function with `@command` before it is a command: its signature says how many words, and which are numbers.

    Nothing else has to be changed to add a command: no table, no `if`.

    `Command.call` hands in the store where the function asks for it, turns the words into what the
    parameters are annotated with, and passes what is left as it is.

    A word for an `int` parameter goes through `convert`, which raises `not_an_integer()`.
    """
    modules.check(
        """
        from client import Client
        from command import command, find
        from errors import ReplyError
        from store import Store

        @command()
        def repeat(db: Store, arg: bytes, times: int, *more: bytes) -> object:
            return [isinstance(db, Store), arg, times, *more]

        def answer(*args):
            try:
                return find(list(args)).call(Store(), Client(id=1), list(args))
            except ReplyError as error:
                return str(error)

        result = [answer(b"REPEAT", arg, b"3"), answer(b"repeat", arg, b"-3", b"4", b"5"),
                  answer(b"repeat", arg, b"x"), answer(b"repeat", arg)]
        """,
        [
            [True, (arg := rng.key()), 3],
            [True, arg, -3, b"4", b"5"],
            "ERR value is not an integer or out of range",
            "ERR wrong number of arguments for 'repeat' command",
        ],
        arg=arg,
    )
