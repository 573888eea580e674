"""What a command returns when it has to wait, mostly for a key. It knows no client and no socket."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..data.store import Store
from ..protocol.writer import NULL_ARRAY, Value
from .args import parse_timeout


@dataclass(frozen=True)
class Wait:
    """A command returns this instead of a reply: call `serve` when one of `keys` holds a value of type `kind`.

    With no keys, `Waiting.look` asks `ready` and calls `serve`, both with an empty key: see WAIT.
    For a blocking pop, `serve` is the same function that pops at once when there is something to pop: see
    `serve_or_wait`.
    """

    keys: tuple[bytes, ...]
    kind: type  # while a key holds a value of another type, the command continues to wait
    timeout: int  # milliseconds; 0: none
    otherwise: Value  # the reply where a command must not wait: in MULTI and in scripts
    serve: Callable[[bytes], Value]  # takes the key that now holds a value, and returns the reply
    ready: Callable[[bytes], bool] = lambda key: True  # takes such a key: whether `serve` can use its value
    if_gone: bool = False  # call `serve` also when a key changes that holds no value of type `kind` then
    timed_out: Callable[[], Value] = lambda: NULL_ARRAY  # returns the reply when the timeout is over
    begin: Callable[[], None] = lambda: None  # called when the client waits
    only_end: bool = False  # nothing but its own end may end it: CLIENT UNBLOCK does not


def wait_outside(begin: Callable[[], None], otherwise: Value) -> Wait:
    """Return a `Wait` for something that `begin` begins outside of the data: see `conclude.py`."""
    return Wait((), object, 0, otherwise, lambda key: otherwise, lambda key: False, begin=begin, only_end=True)


def serve_or_wait(
    db: Store, keys: Sequence[bytes], kind: type, serve: Callable[[bytes], Value], timeout: bytes, otherwise: Value
) -> Value:
    """Call `serve` with the first of `keys` that holds a value of type `kind`; if none does, return a `Wait`.

    When the command runs, the order of `keys` decides. While it waits, the key that is filled first decides, as in
    Redis 7.0. That is why `serve` takes the key: to run the command again would use the order of `keys`.
    """
    limit = parse_timeout(timeout)
    for key in keys:
        if db.get(key, kind) is not None:
            return serve(key)
    return Wait(tuple(keys), kind, limit, otherwise, serve)
