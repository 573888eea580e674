"""A bug of ours, or memory that runs out, in the middle of a request: whether the client has to go, or the server.

A request that breaks off leaves half of something: a key without a note for the log, a sorted set of which one half
knows the member, a transaction half done. Nothing can tell what is missing. The log is whole, because a unit gets there
in one step after its last command, and nobody has heard of what the log does not have. So the server ends at once, as
Redis does when an assertion fails or memory runs out, and the next start brings back what the log tells. Only a bug in
a command that changes nothing costs no more than its client.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING

from ..data.store import Note
from .command import WRITE, Command

if TYPE_CHECKING:
    from .engine import Engine


def reraise(error: BaseException) -> None:
    """Where there is no server to end, whoever called has to know."""
    raise error


def fatal(method: Callable[["Engine"], None]) -> Callable[["Engine"], None]:
    """Have whatever this method of the engine raises end the server: it leaves half of something."""

    @wraps(method)
    def guarded(engine: "Engine") -> None:
        try:
            method(engine)
        except Exception as error:
            engine.mishaps.end(error)

    return guarded


def out_of_memory(error: BaseException | None) -> bool:
    """Whether Python had no memory. A script that fills Lua's own memory is something else, and only its problem."""
    return type(error) is MemoryError


def harmless(notes: Iterable[Note]) -> bool:
    """Whether nothing has changed but that keys have expired, which is whole whatever follows."""
    return all(note.event == "expired" for note in notes)


class Mishaps:
    """Decides who has to go. `end` ends the server, and does not come back."""

    def __init__(self, engine: "Engine", end: Callable[[BaseException], None]) -> None:
        self.engine = engine
        self.end = end

    def in_command(self, command: Command, error: Exception) -> None:
        """A command has raised what is no answer: end, unless it cannot have changed anything."""
        if out_of_memory(error) or WRITE in command.flags or not harmless(self.engine.unit.notes):
            self.end(error)

    def in_request(self, error: Exception) -> None:
        """A request has failed, in a command or beside it. Where this comes back, its client has to go."""
        if out_of_memory(error) or not harmless(self.engine.unit.notes):
            self.end(error)
        for note in self.engine.unit.notes:
            self.engine.notify(note)
        self.engine.settle()
