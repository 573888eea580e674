"""What a command answers with when it has to wait for a key. It knows no client and no socket."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..data.store import Store
from ..protocol.writer import Value
from .args import parse_timeout


@dataclass(frozen=True)
class Wait:
    """What a command answers with when it cannot yet: "call me when there is such a value at one of these keys".

    A blocking pop is the pop, called a second time: see `serve_or_wait`.
    """

    keys: tuple[bytes, ...]
    kind: type  # of value that it waits for: while something else is at the key, it goes on waiting
    timeout: int  # milliseconds; 0: for ever
    otherwise: Value  # the answer where nothing may wait: in MULTI, in a script
    serve: Callable[[bytes], Value]  # what to do with the key that has it now
    ready: Callable[[bytes], bool] = lambda key: True  # whether `serve` has something to do with the value at this key


def serve_or_wait(
    db: Store, keys: Sequence[bytes], kind: type, serve: Callable[[bytes], Value], timeout: bytes, otherwise: Value
) -> Value:
    """Serve the client from the first of the keys that holds a value of this kind; where none does, let it wait.

    The first is the one that it named first. Once it waits, the key that is filled first comes first: so Redis 7.0
    has it, and that is why `serve` is told which, and the command is not just run again.
    """
    limit = parse_timeout(timeout)
    for key in keys:
        if db.get(key, kind) is not None:
            return serve(key)
    return Wait(tuple(keys), kind, limit, otherwise, serve)
