"""WATCH: which clients watch which keys. It knows no command and no socket."""

from client import Client


class Watching:
    """For each key that is watched, the clients that watch it.

    >>> watching, first, second = Watching(), Client(id=1), Client(id=2)
    >>> watching.watch(first, b"a"), watching.watch(first, b"b"), watching.watch(second, b"b")
    (None, None, None)
    >>> watching.touch(b"a")
    >>> first.dirty, second.dirty
    (True, False)
    >>> watching.unwatch(first)
    >>> first.dirty, first.watched, watching.watchers == {b"b": {second}}
    (False, set(), True)
    """

    def __init__(self) -> None:
        self.watchers: dict[bytes, set[Client]] = {}  # without empty sets

    def watch(self, client: Client, key: bytes) -> None:
        """Have a client watch a key: note it here, and in `client.watched`."""
        client.watched.add(key)
        self.watchers.setdefault(key, set()).add(client)

    def unwatch(self, client: Client) -> None:
        """Have a client watch nothing any more, here and in `client.watched`; it is not `dirty` then."""
        for key in client.watched:
            self.watchers[key].discard(client)
            if not self.watchers[key]:
                del self.watchers[key]
        client.watched.clear()
        client.dirty = False

    def touch(self, key: bytes) -> None:
        """A key was changed, by whomever: the clients that watch it are `dirty` now."""
        for client in self.watchers.get(key, ()):
            client.dirty = True
