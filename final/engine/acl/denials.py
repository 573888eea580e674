"""What is said of a refused request: to its client, in the reply of EXEC, and to a script."""

from ...protocol.errors import ReplyError
from .selector import Reason


def no_permission(reason: Reason, command: str) -> ReplyError:
    """For a request that the user may not send."""
    if reason is Reason.COMMAND:
        return ReplyError(f"NOPERM this user has no permissions to run the '{command}' command")
    what = "keys" if reason is Reason.KEY else "channels"
    return ReplyError(f"NOPERM this user has no permissions to access one of the {what} used as arguments")


def no_longer_permitted(reason: Reason) -> ReplyError:
    """For a queued request that the user might send, and may not when EXEC runs it."""
    why = {
        Reason.COMMAND: "no permission to execute the command or subcommand",
        Reason.KEY: "no permission to touch the specified keys",
        Reason.CHANNEL: "no permission to access one of the channels used as arguments",
    }[reason]
    return ReplyError(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. "
        f"This command is no longer allowed for the following reason: {why}"
    )


def not_for_script(reason: Reason) -> ReplyError:
    """For a command that a script calls."""
    why = {
        Reason.COMMAND: "can't run this command or subcommand",
        Reason.KEY: "can't access at least one of the keys mentioned in the command arguments",
        Reason.CHANNEL: "can't publish to the channel mentioned in the command",
    }[reason]
    return ReplyError(f"ERR The user executing the script {why}")
