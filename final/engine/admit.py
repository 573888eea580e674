"""Whether a client may run a command now: checks of Redis's `processCommand`, in its order."""

from typing import Protocol

from ..options import Options
from ..protocol.errors import ReplyError, not_authenticated, only_while_listening, primary_down
from .client import Client, about_to_run
from .command import NO_AUTH, NO_MULTI, REFUSED_LIKE_WRITES, STALE, WHILE_SUBSCRIBED, WRITE, Command


class Engine(Protocol):
    """What of the engine decides that."""

    options: Options

    @property
    def disk_failure(self) -> ReplyError | None:
        """The error for writes while changes cannot be kept on the disk; None: they can."""

    @property
    def write_failure(self) -> ReplyError | None:
        """The error for every write, for this or another reason."""

    @property
    def stale(self) -> bool:
        """Whether the data must not be read, because the primary may have changed it."""


def admit(engine: Engine, client: Client, command: Command) -> None:
    """Raise a ReplyError if this client must not run this command now."""
    if client.auth_required(engine.options.requirepass) and NO_AUTH not in command.flags:
        raise not_authenticated()
    if client.subscribed and client.protocol == 2 and WHILE_SUBSCRIBED not in command.flags:
        raise only_while_listening(command.name)
    if client.queue is not None and NO_MULTI in command.flags:
        raise ReplyError("ERR Command not allowed inside a transaction")
    flags = [each.flags for each in about_to_run(client, command)]
    if (failure := engine.disk_failure) and any({WRITE, REFUSED_LIKE_WRITES} & {*each} for each in flags):
        raise failure
    if (failure := engine.write_failure) and any(WRITE in each for each in flags):
        raise failure
    if engine.stale and any(STALE not in each for each in flags):
        raise primary_down()
