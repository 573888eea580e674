"""Where the changes of a unit go: to the log, and to the stream for replicas."""

from ..data.unit import Note
from ..log.aof import Log
from ..replication.primary import Primary


def propagate(notes: list[Note], log: Log | None, primary: Primary) -> None:
    """Add what the notes of a unit say to the log, and to the stream. Only the latter gets messages (PUBLISH)."""
    if log is not None and (records := [(note.store.index, note.log) for note in notes if note.log and note.logged]):
        log.append(*records[0], records[1:])
    if primary.feeding and (records := [(note.store.index, note.log) for note in notes if note.log]):
        primary.append(*records[0], records[1:])
