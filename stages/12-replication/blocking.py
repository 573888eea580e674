"""Clients that wait for a key. Who has waited longest is served first. It knows no command and no socket."""

from collections.abc import Callable
from dataclasses import dataclass

from client import Client
from writer import NULL_ARRAY, Value


@dataclass(eq=False)
class Wait:
    """What a command returns instead of an answer if it has to wait: for what, how long, and what it does then."""

    keys: tuple[bytes, ...]  # one of these is enough
    kind: type  # of the value that the key must hold
    timeout: float  # seconds; 0: forever
    serve: Callable[[bytes], Value]  # answers for a key that holds such a value now; it may raise ReplyError
    late: Callable[[], Value] = lambda: NULL_ARRAY  # answers when the timeout is over


class Waiting:
    """The clients that wait, each for one command; and for each key a queue of those that wait for it.

    >>> waiting, first, second = Waiting(), Client(id=1), Client(id=2)
    >>> waiting.park(first, Wait((b"a", b"b"), list, 0, bytes.upper))
    >>> waiting.park(second, Wait((b"b",), list, 0, bytes.upper))
    >>> waiting.first(b"b", list).id, waiting.first(b"b", dict), waiting.first(b"c", list)
    (1, None, None)
    >>> _ = waiting.unpark(first)
    >>> waiting.first(b"a", list), waiting.first(b"b", list).id, list(waiting.queues)
    (None, 2, [b'b'])
    """

    def __init__(self) -> None:
        self.waits: dict[Client, Wait] = {}
        self.queues: dict[bytes, dict[Client, None]] = {}  # a dictionary keeps its order; none of these is empty

    def park(self, client: Client, wait: Wait) -> None:
        """Have a client wait: keep its `wait`, and put it at the end of the queue of each key in `wait.keys`.

        A key may be named twice: the client is in its queue once.
        """
        self.waits[client] = wait
        for key in wait.keys:
            self.queues.setdefault(key, {})[client] = None

    def unpark(self, client: Client) -> Wait | None:
        """Let a client wait no more: take it out of all queues, and a queue that is empty then out of `queues`.

        Its Wait may name a key twice.
        Return what it has waited for; None, and nothing happens, if it does not wait.
        """
        wait = self.waits.pop(client, None)
        for key in dict.fromkeys(wait.keys) if wait else ():
            del self.queues[key][client]
            if not self.queues[key]:
                del self.queues[key]
        return wait

    def first(self, key: bytes, kind: type | None) -> Client | None:
        """Return the client that has waited longest for `key`, of those that wait for a value of this kind; else None.

        `kind` is what the key holds now; None: nothing.
        """
        return next((each for each in self.queues.get(key, ()) if self.waits[each].kind is kind), None)

    def __contains__(self, client: Client) -> bool:
        return client in self.waits
