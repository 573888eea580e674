"""The keyspace: keys and their typed values. It knows no command and no client."""

from collections.abc import Iterator
from typing import Any, TypeVar

from errors import wrong_type

Hash = dict[bytes, bytes]
T = TypeVar("T")

STRING: type[bytes] = bytes  # the kinds of value, each a Python type
HASH: type[Hash] = dict
NAMES: dict[type, str] = {STRING: "string", HASH: "hash"}  # as TYPE calls them


class Store:
    """Keys and values. Commands `get`, `make`, `put` and `delete` values, and report changes with `changed`.

    >>> db = Store()
    >>> db.put(b"greeting", b"hi")
    >>> db.get(b"greeting", STRING), db.get(b"nothing", STRING)
    (b'hi', None)
    """

    def __init__(self) -> None:
        self._values: dict[bytes, Any] = {}

    def get(self, key: bytes, kind: type[T]) -> T | None:
        """Return the value at `key`, or None if there is no such key. Raises `wrong_type()` if it is not a `kind`."""
        value = self._values.get(key)
        if value is None or isinstance(value, kind):
            return value
        raise wrong_type()

    def make(self, key: bytes, kind: type[T]) -> T:
        """Return the container at `key`; if there is no such key, set it to a new empty container first.

        The caller changes it in place and then calls `changed(key)`. Raises `wrong_type()` if it is not a `kind`.

        >>> db = Store()
        >>> db.make(b"user", HASH)[b"name"] = b"Alice"
        >>> db.get(b"user", HASH)
        {b'name': b'Alice'}
        """
        value = self.get(key, kind)
        if value is None:
            value = self._values[key] = kind()
        return value

    def put(self, key: bytes, value: Any) -> None:
        """Set `key` to `value`. An old value is replaced, whatever its kind."""
        self._values[key] = value

    def delete(self, key: bytes) -> bool:
        """Remove `key`; return whether it was there."""
        return self._values.pop(key, None) is not None

    def changed(self, *keys: bytes) -> None:
        """Take note that a command has changed the values at `keys`: remove those that are empty containers now.

        In Redis there are no empty containers: after the last HDEL, EXISTS answers 0. An empty string stays. A key
        that does not exist, because DEL has removed it, is right, too.

        >>> db = Store()
        >>> fields = db.make(b"user", HASH)
        >>> db.changed(b"user")
        >>> b"user" in db
        False
        """
        for key in keys:
            if self._values.get(key) == {}:
                del self._values[key]

    def kind(self, key: bytes) -> type | None:
        """Return the kind of the value at `key`, or None if there is no such key."""
        return type(self._values[key]) if key in self._values else None

    def clear(self) -> None:
        """Remove every key."""
        self._values.clear()

    def items(self) -> Iterator[tuple[bytes, Any]]:
        """Yield each key with its value."""
        yield from self._values.items()

    def __contains__(self, key: bytes) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)
