"""Whether a client may run a command now: checks of Redis's `processCommand`, in its order."""

from ..protocol.errors import ReplyError, not_authenticated, only_while_listening
from .client import Client, about_to_run
from .command import MAY_REPLICATE, NO_AUTH, NO_MULTI, READONLY, REFUSED_LIKE_WRITES, WHILE_SUBSCRIBED, WRITE, Command


def admit(client: Client, command: Command, password: str, disk_failure: ReplyError | None) -> None:
    """Raise a ReplyError if this client must not run this command now.

    `password` is `requirepass`, "" if there is none; `disk_failure` is the error for writes if none can be kept now.
    """
    if client.auth_required(password) and NO_AUTH not in command.flags:
        raise not_authenticated()
    if client.subscribed and client.protocol == 2 and WHILE_SUBSCRIBED not in command.flags:
        raise only_while_listening(command.name)
    if client.queue is not None and NO_MULTI in command.flags:
        raise ReplyError("ERR Command not allowed inside a transaction")
    if disk_failure and any({WRITE, REFUSED_LIKE_WRITES} & {*each.flags} for each in about_to_run(client, command)):
        raise disk_failure
    if client.monitoring and {READONLY, WRITE, MAY_REPLICATE} & {*command.flags}:
        raise ReplyError("ERR Replica can't interact with the keyspace")  # to Redis, MONITOR makes it a replica
