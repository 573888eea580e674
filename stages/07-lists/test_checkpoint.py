"""Checkpoint 07: an element goes to the client that has waited for it longest, at once, and nobody else waits."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.log import log_of, logged, records, same, settle
from stages.harness.server import Server
from stages.harness.target import Target
from stages.harness.wire import Client, request

Start = Callable[..., Server]
Connect = Callable[[], Client]

OK = b"+OK\r\n"
PONG = b"+PONG\r\n"
PING = request("PING")
NULL, NULL_ARRAY, NULL_OF_RESP3 = b"$-1\r\n", b"*-1\r\n", b"_\r\n"
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
SYNTAX_ERROR = b"-ERR syntax error\r\n"
NOT_A_TIMEOUT = b"-ERR timeout is not a float or out of range\r\n"
SIDES = ("LEFT", "RIGHT")

array = request  # a request is an array of bulk strings, and so are many replies


def bulk(value: bytes | str) -> bytes:
    """Encode a bulk string."""
    return request(value)[4:]


def integer(number: int) -> bytes:
    """Encode an integer."""
    return b":%d\r\n" % number


def waits(client: Client, *args: bytes | str | int, behind: bytes = b"") -> None:
    """Have a client send a request that waits, in one chunk with a PING before it, and `behind` after it.

    When PONG has come, a server with one thread has read all of it. One with more threads has a moment for it.
    """
    client.check(PING + request(*args) + behind, PONG)
    time.sleep(0.01)


def still_waits(client: Client, other: Client) -> None:
    """Assert that the client has got nothing, after one more round trip of another one."""
    settle(other)
    client.expect_nothing()


def added(log: Path, before: int, expected: bytes, what: str, sent: bytes) -> None:
    """Fail if something else was added to the log since it had that size. `expected` has a record in each line.

    Redis puts MULTI and EXEC around a unit (stage 09), and writes the sides of an LMOVE in any case of letters.
    """
    found = [args for args in records(log.read_bytes()[before:]) if args not in ([b"MULTI"], [b"EXEC"])]
    found = [args[:3] + [arg.upper() for arg in args[3:]] if args[:1] == [b"LMOVE"] else args for args in found]
    got = b"".join(b" ".join(args) + b"\n" for args in found)
    same(got, expected, f"This was added to the log, a line for each record, by {what}.", sent)


@pytest.fixture
def server_options(tmp_path: Path) -> dict[str, Any]:
    """The server that the tests share keeps a log, and makes no fsync."""
    return {"data": tmp_path, "appendfsync": "no"}


@pytest.fixture
def log(server: Server) -> Path:
    """The log of the shared server."""
    assert server.data
    logged(server.data)
    return log_of(server.data)


@pytest.fixture
def modules(modules: Modules, target: Target) -> Modules:
    """Look into the target's modules; not into those of `final/`, which have grown out of the form they have here."""
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    return modules


# Lists


@step(1)
@pytest.mark.read("Step 1: a list is a deque")
def test_changed_touches_its_keys_and_a_replay_touches_none(modules: Modules) -> None:
    """`Store.changed` adds its keys to `touched`; after `Engine.replay` nothing is in it, and no record.
    The result is `touched` after two calls of `changed`; then, after a request was replayed, `touched` and `records`.

    All keys of a call, in their order. Nobody waits during a replay, so `replay` empties `touched`, as it empties
    `records`.

    `self.touched.extend(keys)` in `changed`, and `self.db.touched.clear()` in `replay`.
    """
    modules.check(
        """
        from engine import Engine
        import strings

        engine = Engine(clock=lambda: 1000)
        engine.db.changed(b"b", b"a")
        engine.db.changed(b"b", log=[b"SET", b"b", b"1"])
        result = [list(engine.db.touched)]
        engine.replay([b"SET", b"c", b"1"])
        result += [list(engine.db.touched), engine.db.records]
        """,
        [[b"b", b"a", b"b"], [], []],
    )


@step(1)
@pytest.mark.read("Step 1: a list is a deque")
def test_elements_are_added_at_both_ends(client: Client, rng: Dice) -> None:
    """RPUSH adds elements at the right end, LPUSH at the left, one after the other; the answer is the length.

    LPUSH with a and b pushes a, then b: now b is the first. `deque.extendleft` does just this.

    `db.make(key, LIST)` returns the list, or a new one. Return its length after all elements have been added.
    """
    key = rng.key()
    client.check(request("LLEN", key), integer(0))
    client.check(request("RPUSH", key, "c", "d"), integer(2))
    client.check(request("LPUSH", key, "b", "a"), integer(4))
    client.check(request("RPUSH", key, "e"), integer(5))
    client.check(request("LLEN", key) + request("TYPE", key), integer(5) + b"+list\r\n")
    for index, element in enumerate("abcde"):
        client.check(request("LINDEX", key, index), bulk(element))


@step(1)
@pytest.mark.read("Step 1: a list is a deque")
def test_a_list_without_elements_is_no_key(client: Client, rng: Dice) -> None:
    """When LREM has removed the last element, the list is no key, and its deadline is gone, too. An empty string stays.

    `Store.changed` removes empty containers: a hash `{}` until now. What do an empty deque, an empty dictionary, and
    nothing else have in common? Does TTL answer 1000? Remove the deadline of the key, too.

    `not value` is true for them, and for `b""`, which has to stay: it is no container.
    """
    key, text, user = rng.key(), rng.key(), rng.key()
    client.check(request("RPUSH", key, "x", "y", "x"), integer(3))
    client.check(request("EXPIRE", key, 1000), integer(1))
    client.check(request("LREM", key, 0, "x") + request("EXISTS", key), integer(2) + integer(1))
    client.check(request("LREM", key, 0, "y") + request("EXISTS", key), integer(1) + integer(0))
    client.check(request("TYPE", key), b"+none\r\n")
    client.check(request("RPUSH", key, "z") + request("TTL", key), integer(1) + integer(-1))
    client.check(request("SET", text, "") + request("APPEND", text, "") + request("EXISTS", text), OK + b":0\r\n:1\r\n")
    client.check(request("HSET", user, "f", "v") + request("HDEL", user, "f"), integer(1) * 2)
    client.check(request("EXISTS", user), integer(0))


@step(1)
@pytest.mark.read("Step 1: a list is a deque")
def test_a_missing_array_has_a_null_of_its_own(connect: Connect, rng: Dice) -> None:
    """LPOP of a missing list is null: `$-1`, and with a count `*-1`, because an array is missing. In RESP3 `_`.

    `encode` has one more case: `NullArray()`, as a class pattern. `LPOP key 2` is given; it answers NULL_ARRAY.
    """
    client, resp3 = connect(), connect()
    client.check(request("LPOP", rng.key()) + request("RPOP", rng.key(), 2), NULL + NULL_ARRAY)
    resp3.send(request("HELLO", 3))
    resp3.read_reply()
    resp3.check(request("LPOP", rng.key()) + request("LPOP", rng.key(), 2), NULL_OF_RESP3 * 2)


@step(1)
@pytest.mark.read("Step 1: a list is a deque")
def test_what_is_not_a_list_is_left_alone(client: Client, log: Path, rng: Dice) -> None:
    """RPUSH, LPUSH and LLEN of a string or a hash are answered with WRONGTYPE; nothing changes, nothing is logged.

    `db.make` and `db.get` raise the error, if you tell them the kind: LIST. Is an RPUSH in the log twice? Call
    `changed` once for all elements.
    """
    text, user, key = rng.key(), rng.key(), rng.key()
    client.check(request("SET", text, "v") + request("HSET", user, "f", "v"), OK + integer(1))
    settle(client)
    before = log.stat().st_size
    for held in (text, user):
        sent = request("RPUSH", held, "x") + request("LPUSH", held, "x") + request("LLEN", held)
        client.check(sent, WRONG_TYPE * 3)
    client.check(request("GET", text) + request("HLEN", user), bulk("v") + integer(1))
    sent = request("RPUSH", key, "x", "y")
    client.check(sent, integer(2))
    settle(client)
    added(log, before, b"RPUSH %b x y\n" % key, "this request, after six that were refused", sent)


@step(2)
@pytest.mark.read("Step 2: indexes")
def test_elements_are_taken_off_both_ends(client: Client, rng: Dice) -> None:
    """LPOP takes elements off the left end, RPOP off the right, as many as the count says, or as there are.

    RPOP with 2 of a, b, c answers c, then b: each is popped alone.

    With the count 0 nothing is taken: the answer is an empty array.

    Has the last element left the key behind? `pop` calls `db.changed(key)`, which removes an empty list.
    """
    key = rng.key()
    client.check(request("RPUSH", key, *"abcdefgh"), integer(8))
    client.check(request("LPOP", key) + request("RPOP", key), bulk("a") + bulk("h"))
    client.check(request("LPOP", key, 2) + request("RPOP", key, 2), array("b", "c") + array("g", "f"))
    client.check(request("LPOP", key, 0) + request("RPOP", key, 0), b"*0\r\n" * 2)
    client.check(request("RPOP", key, 1) + request("LLEN", key), array("e") + integer(1))
    client.check(request("LPOP", key, 9) + request("EXISTS", key), array("d") + integer(0))
    client.check(request("RPUSH", key, "x", "y") + request("RPOP", key, 9), integer(2) + array("y", "x"))
    client.check(request("TYPE", key), b"+none\r\n")


@step(2)
@pytest.mark.read("Step 2: indexes")
def test_lrange_includes_both_ends(client: Client, rng: Dice) -> None:
    """LRANGE answers with the elements from start to stop, both included; negative indexes count from the end.

    `LRANGE key 0 -1` is the whole list: -1 is the last one, and it is included. A start before the beginning means 0.

    Behind the end means to the end. If start is behind stop, there is nothing. `range(start, stop)` excludes its stop:
    add one.

    A start of -9 in a list of five must become 0, not -4, which would be the second one.
    """
    key = rng.key()
    client.check(request("RPUSH", key, *"abcde"), integer(5))
    for start, stop, chosen in (
        *((0, -1, "abcde"), (0, 0, "a"), (1, 3, "bcd"), (4, 4, "e"), (0, 4, "abcde"), (3, 1, "")),
        *((-2, -1, "de"), (-5, -5, "a"), (-9, 1, "ab"), (-9, -9, ""), (2, 99, "cde"), (5, 9, ""), (9, -1, "")),
        *((-1, 0, ""), (0, -6, ""), (0, -5, "a"), (-6, 0, "a"), (-3, 3, "cd"), (1, -2, "bcd"), (-9, 99, "abcde")),
    ):
        client.check(request("LRANGE", key, start, stop), array(*chosen) if chosen else b"*0\r\n")
    client.check(request("LRANGE", rng.key(), 0, -1), b"*0\r\n")
    client.check(request("SET", key, "v") + request("LRANGE", key, 0, -1), OK + WRONG_TYPE)


@step(2)
@pytest.mark.read("Step 2: indexes")
def test_ltrim_keeps_the_elements_that_lrange_shows(client: Client, rng: Dice) -> None:
    """LTRIM, which is given, keeps what LRANGE shows. If that is nothing, the key is gone.

    It calls your `span` and `lrange`.
    """
    key = rng.key()
    for start, stop, kept in ((1, 3, "bcd"), (-2, -1, "de"), (0, 99, "abcde"), (-9, 0, "a")):
        client.check(request("DEL", key) + request("RPUSH", key, *"abcde"), integer(start != 1) + integer(5))
        client.check(request("LTRIM", key, start, stop) + request("LRANGE", key, 0, -1), OK + array(*kept))
    client.check(request("LTRIM", key, 3, 1) + request("EXISTS", key), OK + integer(0))


@step(2)
@pytest.mark.read("Step 2: indexes")
def test_what_was_popped_is_in_the_log_and_what_was_not_is_not(client: Client, log: Path, rng: Dice) -> None:
    """A push and a pop that took something are one record each; a pop that took nothing is none.

    Is one LPOP there several times? Call `changed` once for all elements, not once for each. Is `LPOP key 0` there?
    Call `changed` only if something was popped.
    """
    key = rng.key()
    settle(client)
    before = log.stat().st_size
    sent = request("LPUSH", key, "c", "b", "a") + request("LPOP", key, 2) + request("LPOP", key, 0)
    client.check(sent, integer(3) + array("a", "b") + b"*0\r\n")
    client.check(request("RPOP", rng.key()) + request("RPOP", key), NULL + bulk("c"))
    client.check(request("LPOP", key, -1), b"-ERR value is out of range, must be positive\r\n")
    settle(client)
    expected = b"LPUSH %b c b a\nLPOP %b 2\nRPOP %b\n" % (key, key, key)
    added(log, before, expected, "six requests, of which three changed something", sent)


@step(3)
@pytest.mark.read("Step 3: from one list to another")
def test_lmove_moves_an_element_from_an_end_to_an_end(client: Client, rng: Dice) -> None:
    """LMOVE takes an element off an end of a list, and adds it at an end of another one, or of the same.

    With the same list and LEFT RIGHT the list is rotated. The sides may be in small letters: `end_of`, which is given,
    returns LEFT or RIGHT.

    If the last element was moved away, the source is no key any more. Is there a `null` with one element in the same
    list? `changed` must not remove it in between: call it once, at the end, with both keys.
    """
    for wherefrom in SIDES:
        for whereto in SIDES:
            one, two = rng.key(), rng.key()
            client.check(request("RPUSH", one, *"abc") + request("RPUSH", two, *"xy"), integer(3) + integer(2))
            moved = "a" if wherefrom == "LEFT" else "c"
            client.check(request("LMOVE", one, two, wherefrom, whereto.lower()), bulk(moved))
            client.check(request("LRANGE", one, 0, -1), array(*"abc".replace(moved, "")))
            client.check(request("LRANGE", two, 0, -1), array(*(moved + "xy" if whereto == "LEFT" else "xy" + moved)))
    client.check(request("LMOVE", two, two, "LEFT", "RIGHT"), bulk("x"))
    client.check(request("LRANGE", two, 0, -1), array("y", "c", "x"))
    source, new = rng.key(), rng.key()
    client.check(request("RPUSH", source, "only"), integer(1))
    client.check(request("LMOVE", source, source, "LEFT", "LEFT"), bulk("only"))
    client.check(request("LMOVE", source, new, "RIGHT", "LEFT"), bulk("only"))
    client.check(request("EXISTS", source) + request("LRANGE", new, 0, -1), integer(0) + array("only"))


@step(3)
@pytest.mark.read("Step 3: from one list to another")
def test_lmove_takes_nothing_if_it_cannot_give_it(client: Client, log: Path, rng: Dice) -> None:
    """If the destination holds another kind, LMOVE is answered with WRONGTYPE, and the source keeps its element.

    Is an element gone? `db.make(destination, LIST)` raises the error. Call it before `popleft` or `pop`. Is WRONGTYPE
    the answer to `UP`? Parse the sides before you look at the keys. Is LMOVE in the log twice? Call `changed` once, and
    neither your `pop` nor your `push`, which call it, too.

    If there is no source, the answer is null (None), whatever is at the destination, and no list is made there.
    """
    source, text, none = rng.key(), rng.key(), rng.key()
    client.check(request("RPUSH", source, *"ab") + request("SET", text, "v"), integer(2) + OK)
    settle(client)
    before = log.stat().st_size
    client.check(request("LMOVE", source, text, "LEFT", "LEFT"), WRONG_TYPE)
    client.check(request("LRANGE", source, 0, -1), array(*"ab"))
    client.check(request("LMOVE", text, source, "LEFT", "LEFT"), WRONG_TYPE)
    client.check(request("LMOVE", none, text, "LEFT", "LEFT"), NULL)
    client.check(request("LMOVE", none, none + b"2", "LEFT", "LEFT") + request("EXISTS", none + b"2"), NULL + b":0\r\n")
    client.check(
        request("LMOVE", source, none, "UP", "LEFT") + request("LMOVE", text, none, "LEFT", ""), SYNTAX_ERROR * 2
    )
    sent = request("LMOVE", source, none, "RIGHT", "LEFT")
    client.check(sent, bulk("b"))
    settle(client)
    added(log, before, b"LMOVE %b %b RIGHT LEFT\n" % (source, none), "an LMOVE after several that moved nothing", sent)


# Those that wait


@step(4)
@pytest.mark.read("Step 4: a queue for each key")
def test_who_has_waited_longest_is_first(modules: Modules) -> None:
    """`Waiting.first` returns the client that has waited longest for a key and for a value of the kind that it holds.
    Clients 1 and 3 wait for lists at `a`, client 2 for a hash there and at `b`. The result has their ids: the first for
    a list at `a`, for a hash at `a`, for a string at `a`, for nothing at `a`; the same for `b`; for a list at `c`.

    A dictionary keeps the order in which keys were added: the first one has waited longest. Client 2 waits for a hash:
    with a list at `a` it is passed over, and stays in its queue.

    `self.waits[client].kind` is what a client waits for.
    """
    modules.check(
        """
        from blocking import Wait, Waiting
        from client import Client
        from collections import deque

        waiting = Waiting()
        for id, keys, kind in ((1, (b"a",), deque), (2, (b"a", b"b"), dict), (3, (b"a",), deque)):
            waiting.park(Client(id=id), Wait(keys, kind, 0, bytes.upper))

        def first(key, kind):
            client = waiting.first(key, kind)
            return client and client.id

        result = [[first(key, kind) for kind in (deque, dict, bytes, None)] for key in (b"a", b"b")]
        result.append(first(b"c", deque))
        """,
        [[1, 2, None, None], [None, 2, None, None], None],
    )


@step(4)
@pytest.mark.read("Step 4: a queue for each key")
def test_who_waits_no_more_leaves_all_queues(modules: Modules) -> None:
    """`Waiting.unpark` takes a client out of all its queues, and removes queues that are empty; it returns the Wait.
    Client 1 waits for `a` and `b`, client 2 for `b` and `c`. The result is, after `unpark` of 1: whether the right Wait
    was returned, whether each still waits, who is first at `a` and `b`, and the keys that have queues; then the keys
    after `unpark` of 2.

    A client is in the queue of each key in its `wait.keys`. If it stayed in one, it would be served twice. And an empty
    queue for each key that anybody has ever waited for would fill the memory.

    `del self.queues[key][client]`, and if the queue is empty then, `del self.queues[key]`.
    """
    modules.check(
        """
        from blocking import Wait, Waiting
        from client import Client

        waiting, one, two = Waiting(), Client(id=1), Client(id=2)
        wait = Wait((b"a", b"b"), dict, 0, bytes.upper)
        waiting.park(one, wait)
        waiting.park(two, Wait((b"b", b"c"), dict, 0, bytes.upper))
        result = [waiting.unpark(one) is wait, one in waiting, two in waiting]
        result += [waiting.first(b"a", dict), waiting.first(b"b", dict).id, sorted(waiting.queues)]
        waiting.unpark(two)
        result += [two in waiting, list(waiting.queues)]
        """,
        [True, False, True, None, 2, [b"b", b"c"], False, []],
    )


@step(4)
@pytest.mark.read("Step 4: a queue for each key")
def test_a_key_named_twice_and_a_client_that_does_not_wait_do_no_harm(modules: Modules) -> None:
    """A client that names a key twice is in its queue once; `unpark` of a client that does not wait returns None.
    The result is what `unpark` returns before, and again after, the client has waited for `a`, `b` and `a`; whether it
    returned the Wait in between; and the keys that have queues then.

    Does the second `del` raise a KeyError? `dict.fromkeys(wait.keys)` has each key once.

    `self.waits.pop(client, None)`: most clients that leave have not waited.
    """
    modules.check(
        """
        from blocking import Wait, Waiting
        from client import Client

        waiting, client = Waiting(), Client(id=1)
        wait = Wait((b"a", b"b", b"a"), dict, 0, bytes.upper)
        result = [waiting.unpark(client)]
        waiting.park(client, wait)
        result += [waiting.unpark(client) is wait, waiting.unpark(client), list(waiting.queues)]
        """,
        [None, True, None, []],
    )


# BLPOP


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_blpop_takes_what_is_there(client: Client, log: Path, rng: Dice) -> None:
    """If there is a list, BLPOP and BRPOP answer at once: the first key that has one, and its element.

    The keys are looked at in the order of the arguments. The answer is an array of the key and the element. The log has
    what happened, `LPOP key` or `RPOP key`: a replay must not wait.

    `pop` has a parameter `log`: `[b"LPOP", key]`, or `[b"RPOP", key]`.
    """
    none, one, two = rng.key(), rng.key(), rng.key()
    client.check(request("RPUSH", one, *"abc") + request("RPUSH", two, *"xy"), integer(3) + integer(2))
    settle(client)
    before = log.stat().st_size
    sent = request("BLPOP", one, 0) + request("BRPOP", one, 0)
    client.check(sent, array(one, "a") + array(one, "c"))
    client.check(
        request("BLPOP", none, two, one, 0) + request("BRPOP", one, two, "0.0"), array(two, "x") + array(one, "b")
    )
    client.check(request("EXISTS", one) + request("LRANGE", two, 0, -1), integer(0) + array("y"))
    settle(client)
    expected = b"LPOP %b\nRPOP %b\nLPOP %b\nRPOP %b\n" % (one, one, two, one)
    added(log, before, expected, "these two and two more, which found a list", sent)


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_a_wrong_timeout_and_a_key_of_another_kind_are_refused(client: Client, rng: Dice) -> None:
    """A timeout that is no number, or negative, is an error; so is a key of another kind, if no list comes before it.

    Nothing is taken then. So parse the timeout before you look at the keys.

    `db.get(key, LIST)` raises the error for another kind; go through the keys in their order.
    """
    key, text, none = rng.key(), rng.key(), rng.key()
    client.check(request("RPUSH", key, "a", "b") + request("SET", text, "v"), integer(2) + OK)
    for timeout in ("x", "1s", "0.1.2", " 1", "-"):
        client.check(request("BLPOP", key, timeout) + request("BRPOP", text, timeout), NOT_A_TIMEOUT * 2)
    client.check(request("BLPOP", key, -1) + request("BLPOP", none, "-0.1"), b"-ERR timeout is negative\r\n" * 2)
    client.check(request("BLPOP", text, 0) + request("BRPOP", none, text, key, 0), WRONG_TYPE * 2)
    client.check(request("LLEN", key) + request("BRPOP", key, text, 0), integer(2) + array(key, "b"))


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_who_waits_has_an_element_the_moment_it_is_pushed(connect: Connect, rng: Dice) -> None:
    """BLPOP waits for a list; when somebody pushes an element, it has it, and the list is gone. Nobody else waits.

    Is there no PONG? No command may sleep: it returns a Wait, `execute` parks the client, and `data_received` gives the
    Wait to `self.wait`, because it is no reply. Is there no element? At its end `execute` calls `serve`, also if
    this request does not wait. Does the server hang after the first element? Unpark a client before you serve it.

    Is the element taken, and not sent? `deliver` appends the reply to `self.output`, and `data_received` sends it.

    RPUSH answers with the length after its push, 1. It is a unit of its own, and BLPOP is served after it.
    """
    worker, other = connect(), connect()
    key = rng.key()
    for command in ("BLPOP", "BRPOP"):
        waits(worker, command, key, 0)
        other.check(request("EXISTS", key), integer(0))
        still_waits(worker, other)
        other.check(request("RPUSH", key, "job"), integer(1))
        worker.expect(array(key, "job"))
        other.check(request("EXISTS", key), integer(0))
    waits(worker, "BRPOP", key, 0)
    other.check(request("RPUSH", key, *"abc") + request("LLEN", key), integer(3) + integer(2))
    worker.expect(array(key, "c"))
    worker.check(PING, PONG)


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_who_has_waited_longest_is_served_first(connect: Connect, rng: Dice) -> None:
    """Of several clients that wait for a key each push serves the one that has waited longest, as long as there is one.

    One push can serve several: go on with the key as long as there is a `first` client. After each of them ask again
    what the key holds now: after the last element, nothing.

    What is left stays in the list.
    """
    workers, other = [connect() for _ in range(4)], connect()
    key = rng.key()
    for worker in workers:
        waits(worker, "BLPOP", key, 0)
    other.check(request("RPUSH", key, "1"), integer(1))
    workers[0].expect(array(key, "1"))
    waits(workers[0], "BLPOP", key, 0)
    other.check(request("RPUSH", key, "2", "3"), integer(2))
    workers[1].expect(array(key, "2"))
    workers[2].expect(array(key, "3"))
    for worker in (workers[0], workers[3]):
        still_waits(worker, other)
    other.check(request("RPUSH", key, "4", "5", "6"), integer(3))
    workers[3].expect(array(key, "4"))
    workers[0].expect(array(key, "5"))
    other.check(request("LRANGE", key, 0, -1), array("6"))


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_who_waits_for_several_keys_is_served_once(connect: Connect, rng: Dice) -> None:
    """A client that waits for several keys has the first element that comes to any of them, and then waits no more.

    The answer says which key it was.

    Has the second push vanished? The client has been served, and is still in the other queue: call `unpark` first.
    """
    worker, other = connect(), connect()
    one, two, three = rng.key(), rng.key(), rng.key()
    waits(worker, "BLPOP", one, two, three, two, 0)
    other.check(request("RPUSH", two, "x"), integer(1))
    worker.expect(array(two, "x"))
    other.check(request("RPUSH", one, "y") + request("RPUSH", three, "z") + request("RPUSH", two, "w"), integer(1) * 3)
    other.check(request("LLEN", one) + request("LLEN", two) + request("LLEN", three), integer(1) * 3)
    still_waits(worker, other)


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_only_a_list_serves_who_waits_for_a_list(connect: Connect, rng: Dice) -> None:
    """A string or a hash at the key serves nobody; the client goes on waiting, until there is a list.

    Has the client got an error? When it began to wait there was nothing. Give `first` the kind that the key holds now.
    """
    worker, other = connect(), connect()
    key = rng.key()
    waits(worker, "BLPOP", key, 0)
    other.check(request("SET", key, "v") + request("DEL", key), OK + integer(1))
    other.check(request("HSET", key, "f", "v") + request("HDEL", key, "f"), integer(1) * 2)
    other.check(request("RPUSH", key + b"2", "no"), integer(1))
    still_waits(worker, other)
    other.check(request("RPUSH", key, "x"), integer(1))
    worker.expect(array(key, "x"))


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_whatever_makes_a_list_serves(connect: Connect, rng: Dice) -> None:
    """LPUSH and LMOVE serve who waits, too; and in a pipeline the next request finds the element gone.

    Everything that changes a key touches it: LMOVE both of its keys. And `serve` takes all keys out of `touched`.

    `serve` comes after each request, not after each chunk.
    """
    worker, other = connect(), connect()
    key, source = rng.key(), rng.key()
    waits(worker, "BLPOP", key, 0)
    other.check(request("LPUSH", key, "a", "b") + request("LRANGE", key, 0, -1), integer(2) + array("a"))
    worker.expect(array(key, "b"))
    other.check(request("DEL", key) + request("RPUSH", source, "c"), integer(1) * 2)
    waits(worker, "BRPOP", key, 0)
    other.check(request("LMOVE", source, key, "LEFT", "LEFT") + request("EXISTS", key, source), bulk("c") + integer(0))
    worker.expect(array(key, "c"))


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_the_log_has_the_push_and_then_the_pop(connect: Connect, log: Path, rng: Dice) -> None:
    """The log has what happened, in its order: RPUSH, then an LPOP for each client that was served; never a BLPOP.

    Is the LPOP before the RPUSH? A replay would pop nothing, then push: `execute` settles its unit before it serves. Is
    an LPOP missing, until the next request comes? To serve a client is a unit: settle it, before the reply. Is
    there an empty line? It is an empty record: `serve` of the Wait passes `log=` to `pop`, and `pop` to `changed`.

    Is there a BLPOP? A replay would wait. `serve` of the Wait passes `log=` to `pop`.
    """
    one, two, other = connect(), connect(), connect()
    key, second = rng.key(), rng.key()
    settle(other)
    before = log.stat().st_size
    waits(one, "BLPOP", key, 0)
    waits(two, "BRPOP", second, key, 0)
    sent = request("RPUSH", key, "a", "b", "c")
    other.check(sent, integer(3))
    one.expect(array(key, "a"))
    two.expect(array(key, "c"))
    expected = b"RPUSH %b a b c\nLPOP %b\nRPOP %b\n" % (key, key, key)
    added(log, before, expected, "this request, while two clients waited", sent)


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_a_request_behind_one_that_waits_waits_too(connect: Connect, rng: Dice) -> None:
    """Requests behind a BLPOP that waits are executed after it, in their order, whether they came with it or later.

    Has PONG come first? `data_received` reads no more requests while the client is in `engine.waiting`, also when the
    next chunk comes. Is one answer missing? Feed the reader first, always; and ask whether the client waits before
    `reader.next()`, which takes a request out. Do the requests behind stay unanswered? Somebody has to read them when
    the element has come.

    `deliver` has `data_received(b"")` called soon: that reads what the reader has.
    """
    worker, other = connect(), connect()
    key, number = rng.key(), rng.key()
    waits(worker, "BLPOP", key, 0, behind=PING + request("INCR", number))
    worker.send(request("INCR", number) + request("BLPOP", key, 0) + request("INCR", number))
    still_waits(worker, other)
    other.check(request("EXISTS", number), integer(0))
    other.check(request("RPUSH", key, "a"), integer(1))
    worker.expect(array(key, "a") + PONG + integer(1) + integer(2))
    still_waits(worker, other)
    other.check(request("RPUSH", key, "b"), integer(1))
    worker.expect(array(key, "b") + integer(3))
    waits(worker, "BLPOP", key, 0, behind=request("QUIT"))
    other.check(request("RPUSH", key, "c"), integer(1))
    worker.expect(array(key, "c") + OK)
    worker.expect_closed()


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_what_comes_behind_does_not_overtake_those_that_wait(connect: Connect, log: Path, rng: Dice) -> None:
    """Two clients wait, the first has a second BLPOP behind: of two elements each of the clients gets one.

    Is INCR between the LPOPs, or has the first one got both? What stood behind its BLPOP was executed in the middle of
    `serve`. Do not call `data_received` in `deliver`, but give it to `call_soon` of the event loop.
    """
    first, second, other = connect(), connect(), connect()
    key, number = rng.key(), rng.key()
    settle(other)
    before = log.stat().st_size
    waits(first, "BLPOP", key, 0, behind=request("INCR", number) + request("BLPOP", key, 0))
    waits(second, "BLPOP", key, 0)
    sent = request("RPUSH", key, "a", "b")
    other.check(sent, integer(2))
    first.expect(array(key, "a") + integer(1))
    second.expect(array(key, "b"))
    expected = b"RPUSH %b a b\nLPOP %b\nLPOP %b\nINCR %b\n" % (key, key, key, number)
    added(log, before, expected, "this request, and what the clients had sent before", sent)
    still_waits(first, other)
    other.check(request("RPUSH", key, "c"), integer(1))
    first.expect(array(key, "c"))


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_lists_survive_kill_9(start: Start, tmp_path: Path, rng: Dice) -> None:
    """After `kill -9` and a new start each list has its elements, in their order, and nobody waits.

    Is an element there again that a BLPOP has taken? Look at the log: is the LPOP there, and behind the RPUSH?
    """
    one, two, three = rng.key(), rng.key(), rng.key()
    first = start(data=tmp_path, appendfsync="no")
    client, worker = first.connect(), first.connect()
    for args in (
        *(["RPUSH", one, *"abcdef"], ["LPUSH", one, *"xyz"], ["LPOP", one, 2], ["RPOP", one], ["LREM", one, 1, "b"]),
        *(["LSET", one, 0, "first"], ["LMOVE", one, two, "RIGHT", "LEFT"], ["LMOVE", two, two, "LEFT", "LEFT"]),
        *(["BLPOP", one, 0], ["RPUSH", two, "last"], ["EXPIRE", two, 1000]),
    ):
        client.ask(*args)
    waits(worker, "BLPOP", three, 0)
    client.check(request("RPUSH", three, "taken", "stays"), integer(2))
    worker.expect(array(three, "taken"))
    before = [client.ask("LRANGE", key, 0, -1) for key in (one, two, three)]
    settle(client)
    first.kill()
    client = start(data=tmp_path, appendfsync="no").connect()
    after = [client.ask("LRANGE", key, 0, -1) for key in (one, two, three)]
    assert after == before, "three lists, after and before"
    assert before[1:] == [[b"e", b"last"], [b"stays"]], "the second and the third list"
    client.check(request("RPUSH", three, "new") + request("LLEN", three), integer(2) * 2)


@step(5)
@pytest.mark.read("Step 5: served at once")
def test_nothing_stays_touched(modules: Modules) -> None:
    """After each request `db.touched` is empty, whether anybody waits or not: otherwise it would grow for ever.
    Nobody waits during the first two requests, then one client does. The result is the length of `touched` after each
    request; what was delivered; and the last record of the log when it was delivered.

    `execute` calls `serve` at the end of each request, and `serve` takes all keys out of `touched`. Is the last record
    the RPUSH? `serve` calls `settle`, then `deliver`.
    """
    modules.check(
        """
        from client import Client
        from engine import Engine
        import hashes, lists, strings

        delivered, result = [], []
        engine = Engine(clock=lambda: 1000)
        engine.log = []  # a list has an `append`, too
        deliver = lambda reply: delivered.extend([list(reply), engine.log[-1]])
        worker, other = Client(id=1, deliver=deliver), Client(id=2)
        for client, line in (
            *((other, b"SET name Alice"), (other, b"RPUSH list x"), (worker, b"BLPOP jobs 0")),
            *((other, b"HSET user name Bob"), (other, b"RPUSH list y"), (other, b"RPUSH jobs x y")),
        ):
            engine.execute(client, line.split())
            result.append(len(engine.db.touched))
        result.append(delivered)
        """,
        [0, 0, 0, 0, 0, 0, [[b"jobs", b"x"], [b"LPOP", b"jobs"]]],
    )


# Timeouts, and clients that leave


@step(6)
@pytest.mark.read("Step 6: long enough")
def test_when_the_timeout_is_over_the_answer_is_null(connect: Connect, rng: Dice) -> None:
    """After 0.1 seconds without a list BLPOP answers null, `*-1`; in RESP3 `_`. Not earlier.

    `Connection.wait` is given, and has your `time_out` called, which delivers NULL_ARRAY. Is it never called?
    `data_received` gives the Wait to `self.wait` (step 5). Does the PONG not come? The client waits still: unpark it
    first. Is only `_` missing? `deliver` encodes in `client.protocol`.

    Was nothing sent? `deliver` sends it. It also has the requests behind it read.
    """
    client, resp3 = connect(), connect()
    resp3.send(request("HELLO", 3))
    resp3.read_reply()
    began = time.monotonic()
    for each in (client, resp3):
        each.send(request("BLPOP", rng.key(), rng.key(), "0.1") + PING)
    client.expect(NULL_ARRAY + PONG)
    took = time.monotonic() - began
    resp3.expect(NULL_OF_RESP3 + PONG)
    assert took > 0.09, f"the answer of BLPOP with a timeout of 0.1 seconds came after {took:.3f} seconds"


@step(6)
@pytest.mark.read("Step 6: long enough")
def test_who_has_waited_long_enough_takes_nothing_any_more(connect: Connect, rng: Dice) -> None:
    """A client whose timeout is over is out of the queue: the next element goes to the one behind it, or stays.

    Has the element gone to the client whose answer was null? Call `unpark`, then `deliver`.
    """
    impatient, patient, other = connect(), connect(), connect()
    key = rng.key()
    waits(impatient, "BLPOP", key, "0.05")
    waits(patient, "BLPOP", key, 0)
    impatient.expect(NULL_ARRAY)
    still_waits(patient, other)
    other.check(request("RPUSH", key, "a", "b"), integer(2))
    patient.expect(array(key, "a"))
    still_waits(impatient, other)
    other.check(request("LRANGE", key, 0, -1), array("b"))
    impatient.check(PING, PONG)


@step(6)
@pytest.mark.read("Step 6: long enough")
def test_an_old_timeout_does_not_end_the_next_wait(connect: Connect, rng: Dice) -> None:
    """A client is served before its timeout of 0.1 seconds, and waits again, with 0, for ever: longer than 0.1 seconds.

    Has null come? The call of `time_out` from the first time is still to come, and finds the client waiting. Is it for
    the Wait that `time_out` was called with? Ask `is`.

    Has null come at once? 0 means for ever.
    """
    worker, other = connect(), connect()
    key = rng.key()
    waits(worker, "BLPOP", key, "0.1")
    other.check(request("RPUSH", key, "a"), integer(1))
    worker.read_reply()  # the element; null, and the element stays, if the machine was busy for so long
    began = time.monotonic()
    other.ask("DEL", key)
    waits(worker, "BLPOP", key, 0)
    while time.monotonic() < began + 0.2:
        time.sleep(0.02)
        still_waits(worker, other)
    other.check(request("RPUSH", key, "b"), integer(1))
    worker.expect(array(key, "b"))


@step(6)
@pytest.mark.read("Step 6: long enough")
def test_a_client_that_has_left_is_not_served(connect: Connect, rng: Dice) -> None:
    """A client leaves while it waits: the element goes to the one behind it, and if there is none it stays.

    Has it vanished? It was sent to nobody. `connection_lost` has the engine forget the client: `disconnect`.

    `disconnect` takes it out of all queues: `unpark`.
    """
    gone, worker, other = connect(), connect(), connect()
    one, two = rng.key(), rng.key()
    waits(gone, "BLPOP", one, two, 0)
    waits(worker, "BLPOP", two, 0)
    gone.close()
    for _ in range(5):  # meanwhile the server notices
        settle(other)
        time.sleep(0.01)
    other.check(request("RPUSH", two, "a"), integer(1))
    worker.expect(array(two, "a"))
    other.check(request("RPUSH", one, "b") + request("RPUSH", two, "c"), integer(1) * 2)
    other.check(request("LRANGE", one, 0, -1) + request("LRANGE", two, 0, -1), array("b") + array("c"))


@step(6)
@pytest.mark.read("Step 6: long enough")
def test_who_is_served_and_gone_at_once_takes_nothing_more(connect: Connect, rng: Dice) -> None:
    """A client has two BLPOPs behind each other, and leaves; at the same time an element comes for the first of them.

    Has the other element vanished? The second BLPOP was executed after the client had gone: `deliver` had asked for
    `data_received`, which the event loop called after `connection_lost`. Set `client.leaving` there: then nothing more
    is executed.
    """
    for _ in range(4):
        busy, gone, other = connect(), connect(), connect()
        one, two = rng.key(), rng.key()
        waits(gone, "BLPOP", one, 0)
        gone.send(request("BLPOP", two, 0))
        settle(other)
        busy.send(request("PING") * 20_000)  # while the server is busy with it, both happen
        gone.close()
        other.check(request("RPUSH", one, "a"), integer(1))
        busy.expect(PONG * 20_000)
        settle(other)
        other.check(request("RPUSH", two, "b") + request("LLEN", two), integer(1) * 2)


@step(6)
@pytest.mark.read("Step 6: long enough")
def test_who_has_gone_is_forgotten(modules: Modules) -> None:
    """After `connection_lost` the connection is not in `server.connections`, and its client is not in `engine.waiting`.
    The result is whether they are there; first while the client waits, then after `connection_lost`.

    `self.server.connections.discard(self)` was there before: `connection_lost` grows.
    """
    modules.check(
        """
        from server import Connection, Server

        server = Server()
        connection = Connection(server)
        server.connections.add(connection)

        def there():
            return [connection in server.connections, connection.client in server.engine.waiting]

        server.engine.execute(connection.client, [b"BLPOP", b"jobs", b"0"])
        result = there()
        connection.connection_lost(None)
        result += there()
        """,
        [True, True, False, False],
    )


# BLMOVE


@step(7)
@pytest.mark.read("Step 7: to serve may fail")
def test_blmove_moves_what_is_there_or_waits(connect: Connect, log: Path, rng: Dice) -> None:
    """BLMOVE is LMOVE if there is a source; otherwise it waits for one. The log has LMOVE, never BLMOVE.

    `move` has a parameter `log`: `[b"LMOVE", source, destination, …]`, with the sides. Has a push to the destination
    ended the wait? The Wait has one key, the source.

    After the timeout the answer is null, as that of BLPOP.
    """
    worker, other = connect(), connect()
    jobs, busy = rng.key(), rng.key()
    other.check(request("RPUSH", jobs, "a"), integer(1))
    settle(other)
    before = log.stat().st_size
    worker.check(request("BLMOVE", jobs, busy, "LEFT", "RIGHT", 0), bulk("a"))
    waits(worker, "BLMOVE", jobs, busy, "RIGHT", "LEFT", 0)
    other.check(request("RPUSH", busy, "z") + request("LRANGE", busy, 0, -1), integer(2) + array("a", "z"))
    still_waits(worker, other)
    sent = request("RPUSH", jobs, "b", "c")
    other.check(sent, integer(2))
    worker.expect(bulk("c"))
    other.check(request("LRANGE", busy, 0, -1) + request("LRANGE", jobs, 0, -1), array("c", "a", "z") + array("b"))
    settle(other)
    moves = (jobs, busy, busy, jobs, jobs, busy)
    expected = b"LMOVE %b %b LEFT RIGHT\nRPUSH %b z\nRPUSH %b b c\nLMOVE %b %b RIGHT LEFT\n" % moves
    what = "a BLMOVE that found a list, a push to its destination, and this request while another BLMOVE waited"
    added(log, before, expected, what, sent)
    worker.check(request("BLMOVE", rng.key(), busy, "LEFT", "LEFT", "0.02"), NULL_ARRAY)


@step(7)
@pytest.mark.read("Step 7: to serve may fail")
def test_blmove_refuses_what_is_wrong(client: Client, rng: Dice) -> None:
    """A side that is neither LEFT nor RIGHT, a wrong timeout, and another kind at source or destination are errors.

    The arguments are parsed from left to right, before anything is looked at in the store.
    """
    source, text = rng.key(), rng.key()
    client.check(request("RPUSH", source, "a") + request("SET", text, "v"), integer(1) + OK)
    client.check(request("BLMOVE", text, source, "LEFT", "UP", "x"), SYNTAX_ERROR)
    client.check(request("BLMOVE", text, source, "LEFT", "LEFT", "x"), NOT_A_TIMEOUT)
    client.check(request("BLMOVE", source, source, "LEFT", "LEFT", "-1"), b"-ERR timeout is negative\r\n")
    client.check(request("BLMOVE", text, source, "LEFT", "LEFT", 0), WRONG_TYPE)
    client.check(request("BLMOVE", source, text, "LEFT", "LEFT", 0), WRONG_TYPE)
    client.check(request("LRANGE", source, 0, -1), array("a"))


@step(7)
@pytest.mark.read("Step 7: to serve may fail")
def test_whoever_cannot_be_served_gets_the_error_and_the_next_one_the_element(connect: Connect, rng: Dice) -> None:
    """BLMOVE waits, though its destination is a string; RPUSH: it gets WRONGTYPE, and who waits behind it the element.

    Was the connection closed that pushed, or did it get the error? `serve` of the Wait raises ReplyError: catch it in
    `Engine.serve`, and deliver it to the client that has waited. Does the second client still wait? Go on with the same
    key. Has the error come before the RPUSH? While there is no source, nobody looks at the destination.

    Is the element gone? `move` looks at the destination first.
    """
    mover, worker, other = connect(), connect(), connect()
    jobs, text = rng.key(), rng.key()
    other.check(request("SET", text, "v"), OK)
    waits(mover, "BLMOVE", jobs, text, "LEFT", "LEFT", 0, behind=PING)
    still_waits(mover, other)
    waits(worker, "BLPOP", jobs, 0)
    other.check(request("RPUSH", jobs, "a", "b"), integer(2))
    mover.expect(WRONG_TYPE + PONG)
    worker.expect(array(jobs, "a"))
    other.check(request("LRANGE", jobs, 0, -1) + request("GET", text), array("b") + bulk("v"))


@step(7)
@pytest.mark.read("Step 7: to serve may fail")
def test_one_push_goes_through_a_chain(connect: Connect, log: Path, rng: Dice) -> None:
    """Many clients wait with BLMOVE, each for the list to which the one before moves: one push serves all of them.
    The keys are served in the order in which they were touched.

    Is only the first one served? To serve it has touched another key: take keys out of `touched` until it is empty. Was
    the last client of two lists served by the second one? Take out the key that was touched first: `popleft`.
    """
    length = 30
    keys = [rng.key() for _ in range(length + 1)]
    movers, last, other = [connect() for _ in range(length)], connect(), connect()
    for place, mover in enumerate(movers):
        mover.check(PING + request("BLMOVE", keys[place], keys[place + 1], "LEFT", "LEFT", 0), PONG)
    waits(last, "BLPOP", keys[-1], 0)
    before = log.stat().st_size
    other.check(request("RPUSH", keys[0], "a"), integer(1))
    last.expect(array(keys[-1], "a"))
    for mover in movers:
        mover.expect(bulk("a"))
    other.check(request("EXISTS", *keys), integer(0))
    moves = b"".join(b"LMOVE %b %b LEFT LEFT\n" % pair for pair in itertools.pairwise(keys))
    expected = b"RPUSH %b a\n" % keys[0] + moves + b"LPOP %b\n" % keys[-1]
    added(log, before, expected, "this request", request("RPUSH", keys[0], "a"))
    one, two = connect(), connect()
    source, first, second = rng.key(), rng.key(), rng.key()
    waits(one, "BLMOVE", source, first, "LEFT", "LEFT", 0)
    waits(two, "BLMOVE", source, second, "LEFT", "LEFT", 0)
    waits(last, "BLPOP", second, first, 0)
    other.check(request("RPUSH", source, "1", "2"), integer(2))
    last.expect(array(first, "1"))
    one.expect(bulk("1"))
    two.expect(bulk("2"))
    other.check(request("LRANGE", second, 0, -1), array("2"))
