"""A database whose data is being loaded: nobody is told of its changes, so it notes none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .kinds import Args
from .store import Store
from .unit import AS_COMMANDED, AS_REQUESTED


class LoadingStore(Store):
    """A Store that notes no changes: `loading` turns a Store into one."""

    def changed(
        self,
        *keys: bytes,
        log: Args | None = AS_REQUESTED,
        event: str | None = AS_COMMANDED,
        touch: bool = True,
        wake: bool = True,
        count: int | None = None,
    ) -> None:
        """Remove the containers at `keys` that are empty now."""
        for key in keys:
            value = self._values.get(key)
            if not value and value is not None and type(value) is not bytes:
                del self._values[key]
                self._forget(key)


@contextmanager
def loading(stores: Sequence[Store]) -> Iterator[None]:
    """Let databases note no changes, as long as the block runs."""
    before = [store.__class__ for store in stores]
    for store in stores:
        store.__class__ = LoadingStore
    try:
        yield
    finally:
        for store, kind in zip(stores, before, strict=True):
            store.__class__ = kind
