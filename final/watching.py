"""WATCH: which clients want to know that a key has changed before their EXEC. It knows no command and no socket."""

from collections.abc import Iterator

from .client import Client
from .waiting import Place


class Watching:
    """The clients that watch each place."""

    def __init__(self) -> None:
        self.clients: dict[Place, set[Client]] = {}  # no place without one

    def watch(self, client: Client, key: bytes) -> None:
        """Have `client.touched` set when this key of its database changes."""
        if client.touched:
            return  # its EXEC will do nothing in any case
        place = (client.db.index, key)
        client.watched.add(place)
        self.clients.setdefault(place, set()).add(client)

    def unwatch(self, client: Client) -> None:
        """Forget what the client watches."""
        self._leave(client)
        client.touched = False

    def touch(self, place: Place) -> None:
        """The key has changed: whoever watches it need not hear of it, or of another key, a second time."""
        for client in list(self.clients.get(place, ())):
            client.touched = True
            self._leave(client)

    def _leave(self, client: Client) -> None:
        for place in client.watched:
            self.clients[place].discard(client)
            if not self.clients[place]:
                del self.clients[place]
        client.watched.clear()

    def __iter__(self) -> Iterator[Place]:
        return iter(self.clients)

    def __len__(self) -> int:
        """The number of places that someone watches."""
        return len(self.clients)
