"""The event `new`, for keys that are created: it costs nothing while nobody asks for it (notify-keyspace-events, n)."""

from typing import Any, TypeVar

from .store import UNLOGGED, Note, Store

T = TypeVar("T")


class AnnouncingStore(Store):
    """A database that also notes the event `new` for each key that is created: `announce` turns a Store into one."""

    def make(self, key: bytes, kind: type[T]) -> T:
        """Do what `Store.make` does."""
        before = self.get(key, kind)
        if before is not None:
            return before
        made = super().make(key, kind)
        self._note_new(key)
        return made

    def put(self, key: bytes, value: Any, deadline: int | None = None) -> None:
        """Do what `Store.put` does."""
        existed = key in self
        super().put(key, value, deadline)
        if not existed:
            self._note_new(key)

    def replace(self, key: bytes, value: Any) -> None:
        """Do what `Store.replace` does."""
        existed = key in self
        super().replace(key, value)
        if not existed:
            self._note_new(key)

    def _note_new(self, key: bytes) -> None:
        self.unit.notes.append(Note(self, (key,), UNLOGGED, "new"))


def announce(stores: list[Store], wanted: bool) -> None:
    """Let databases note the event `new`, or no longer."""
    for store in stores:
        store.__class__ = AnnouncingStore if wanted else Store
