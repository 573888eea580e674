"""A bug, or no memory, in the middle of a request: whether its client is closed, or the server ends.

A request that breaks off leaves half of something: a key that the log does not know of, a sorted set of which one half
knows the member, a transaction half executed. Nothing can say what is missing. But the log is whole, because a unit is
added to it in one step after its last command, and no client has heard of what the log does not have. So the server
ends at once, as Redis does when an assertion fails or memory runs out, and the next start restores what the log says.
Only a bug in a command that changes nothing costs no more than its client.
"""

from collections.abc import Callable

from ..data.unit import Unit
from .command import WRITE, Command


def reraise(error: BaseException) -> None:
    """Raise the error again: what an engine without a server does instead of ending it."""
    raise error


def out_of_memory(error: BaseException | None) -> bool:
    """Return whether Python had no memory. Lua that runs out of its own memory raises another type of error."""
    return type(error) is MemoryError


class Faults:
    """Decides what an unexpected exception costs. `end` ends the server, and does not return."""

    def __init__(self, unit: Unit, end: Callable[[BaseException], None], settle: Callable[[], None]) -> None:
        self.unit = unit
        self.end = end
        self.settle = settle

    @property
    def only_expired(self) -> bool:
        """Whether nothing was changed in this unit except that keys have expired, which is whole by itself."""
        return all(note.event == "expired" for note in self.unit.notes)

    def in_command(self, command: Command, error: Exception) -> None:
        """A command has raised an exception that is not a reply: end the server, unless nothing can have changed."""
        if out_of_memory(error) or WRITE in command.flags or not self.only_expired:
            self.end(error)

    def in_request(self, error: Exception) -> None:
        """A request has raised an exception, in a command or outside one. If this returns, close its client."""
        if out_of_memory(error) or not self.only_expired:
            self.end(error)
        self.settle()
