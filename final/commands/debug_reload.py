"""DEBUG RELOAD and LOADAOF: all data is loaded again, from a snapshot or from the log."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from ..data.store import Store
from ..engine.context import Engine
from ..engine.functions import Functions
from ..engine.replay import replay
from ..log.read import Batch, CorruptLog, Progress, read_file
from ..protocol.errors import ReplyError
from ..protocol.writer import Value
from ..server_log import log

Before = tuple[list[Store], Functions]  # the data that was replaced


def reload(engine: Engine, arguments: Sequence[bytes]) -> Value:
    """Write a snapshot, and replace all data by what it holds.

    NOSAVE: load the last snapshot. NOFLUSH: keep the present data; the snapshot must have none of its keys, or, with
    MERGE, replaces them. Raises ReplyError; then the data is as it was, where Redis has lost it, or ends.
    """
    options = {each.lower() for each in arguments}
    if options - {b"merge", b"noflush", b"nosave"}:
        raise ReplyError("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
    if b"nosave" not in options and not engine.snapshots.save():
        raise ReplyError("ERR")
    failed = ReplyError("ERR Error trying to load the RDB dump")
    if not engine.snapshots.path.exists():
        raise failed
    before = load_again(engine, engine.snapshots.load(), failed)
    if b"noflush" in options:
        if b"merge" not in options and any(map(shared_keys, before[0], engine.stores)):
            put_back(engine, before)
            raise failed
        add_missing(engine, before)
    before[1].flush()
    return "OK"


def load_log(engine: Engine) -> Value:
    """Replace all data by what the log holds. Raises ReplyError; then the data is as it was."""
    failed = ReplyError("ERR Error trying to load the AOF files, check server logs.")
    if engine.log is None or engine.log.waits_for_rewrite:
        raise failed
    engine.log.flush()
    folder = engine.log.folder
    progress = Progress(sum(map(folder.size, folder.manifest.files)))

    def batches() -> Iterator[Batch]:
        for name in folder.manifest.files:
            yield from read_file(folder.path / name, progress)

    load_again(engine, batches(), failed)[1].flush()
    return "OK"


def load_again(engine: Engine, batches: Iterable[Batch], failed: ReplyError) -> Before:
    """Replace all data by what these requests make; return what was there. Raises `failed`; then nothing has changed.

    What this unit has changed before is still noted. Keys whose deadline has passed are left out.
    """
    notes = engine.unit.notes.copy()
    before = [Store(store.index, engine.unit) for store in engine.stores], engine.functions
    exchange(before[0], engine.stores)
    engine.functions = Functions(engine.scripts)
    try:
        replay(engine, batches)
    except (OSError, CorruptLog) as error:
        log.error("the data cannot be loaded again: %s", error)
        put_back(engine, before)
        raise failed from None
    finally:
        engine.unit.stopped = None
    for store in engine.stores:
        while store.expire_due(1000):
            pass
    engine.unit.notes[:] = notes
    if engine.eviction.keeping:
        engine.eviction.forget_all()
    return before


def exchange(ones: list[Store], others: list[Store]) -> None:
    """Exchange the data of databases."""
    for one, other in zip(ones, others, strict=True):
        one.swap(other)


def put_back(engine: Engine, before: Before) -> None:
    """Replace all data by what was there."""
    exchange(before[0], engine.stores)
    engine.functions.flush()
    engine.functions = before[1]


def shared_keys(one: Store, other: Store) -> bool:
    """Return whether two databases have a key of the same name."""
    return any(key in other.names for key in one.names)


def add_missing(engine: Engine, before: Before) -> None:
    """Add those keys and libraries that were there, and were not loaded."""
    stores, functions = before
    for store, old in zip(engine.stores, stores, strict=True):
        for key, value, deadline in old.items():
            if store.held(key) is None:
                store.put(key, value, deadline)
                store.remember(key, old.remembered(key))
    for library in functions.libraries:
        with suppress(ReplyError):  # a library of this name was loaded
            engine.functions.load(library.code, replace=False, obeying=True)
