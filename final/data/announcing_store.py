"""The events `new` and `keymiss`, for keys that are created, or read and not found (notify-keyspace-events, n and m).

They cost nothing while nobody asks for them.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from .events import Events
from .store import Store
from .unit import NO_EVENT, UNLOGGED, Note

T = TypeVar("T")


class AnnouncingStore(Store):
    """A database that also notes the events `new` and `keymiss`: `announce` turns a Store into one."""

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

    def put_pairs(self, pairs: Sequence[bytes], event: str) -> None:
        """Do what `Store.put_pairs` does, but note one key after the other, so that `new` and `event` take turns."""
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self.put(key, value)
            self.changed(key, event=event)

    def look_up(self, key: bytes, use: bool = True, quietly: bool = False) -> bool:
        """Do what `Store.look_up` does, and note the event `keymiss`, if not `quietly`."""
        found = super().look_up(key, use)
        if not (found or quietly):
            self._note_missing(key)
        return found

    def _note_missing(self, key: bytes) -> None:
        """Note the event `keymiss`: behind that of the key's expiry, and those of missing keys; before all others."""
        notes = self.unit.notes
        at = len(notes)
        while at and notes[at - 1].event is not NO_EVENT:  # those of earlier commands of a transaction are published
            note = notes[at - 1]
            if note.event == "keymiss" or (note.event == "expired" and key in note.keys):
                break
            at -= 1
        notes.insert(at, Note(self, (key,), UNLOGGED, "keymiss", touch=False, wake=False))

    def _note_new(self, key: bytes) -> None:
        self.unit.notes.append(Note(self, (key,), UNLOGGED, "new"))


def announce(stores: list[Store], wanted: Events) -> None:
    """Let databases note the events `new` and `keymiss`, or no longer."""
    for store in stores:
        store.__class__ = AnnouncingStore if wanted & {"n", "m"} else Store
