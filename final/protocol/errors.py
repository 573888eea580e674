"""Errors as replies: the exception that commands raise, and its texts, which are exactly those of Redis."""


class ReplyError(Exception):
    """An error that is the reply to one request. The text begins with its code, mostly `ERR`.

    It is one line: newlines, which are in arguments that it quotes, become spaces, and are left out at its end.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text.rstrip("\r\n").replace("\r", " ").replace("\n", " "))


class NamingError(ReplyError):
    """One with the name of the command as the client typed it, in place of `{0}`; `{1}` is that of the subcommand.

    The engine knows the request.
    """

    def naming(self, args: list[bytes]) -> ReplyError:
        """Return the complete error."""
        return ReplyError(str(self).format(*map(shown, args[:2])))


def shown(arg: bytes, most: int | None = 128) -> str:
    """An argument as it is quoted in an error text: up to 128 bytes mostly, and up to the first zero byte.

    `errors="surrogateescape"` keeps bytes that are not UTF-8, so that the client gets back what it sent.

    >>> shown(b"GETT"), shown(b"a\\x00b"), len(shown(b"x" * 1000))
    ('GETT', 'a', 128)
    """
    return arg.split(b"\0")[0][:most].decode(errors="surrogateescape")


def unknown_command(args: list[bytes]) -> ReplyError:
    """For a command that does not exist: names it, and its arguments up to 128 bytes.

    >>> unknown_command([b"GETT", b"my", b"key"])
    ReplyError("ERR unknown command 'GETT', with args beginning with: 'my' 'key' ")
    """
    arguments = b""
    for arg in args[1:]:
        if len(arguments) >= 128:
            break
        arguments += b"'%b' " % arg.split(b"\0")[0][: 128 - len(arguments)]
    quoted = arguments.decode(errors="surrogateescape")
    return ReplyError(f"ERR unknown command '{shown(args[0])}', with args beginning with: {quoted}")


def unknown_subcommand(command: str, subcommand: bytes) -> ReplyError:
    """For a subcommand that does not exist.

    >>> unknown_subcommand("CLIENT", b"FOO")
    ReplyError("ERR unknown subcommand 'FOO'. Try CLIENT HELP.")
    """
    return ReplyError(f"ERR unknown subcommand '{shown(subcommand)}'. Try {command} HELP.")


def wrong_subcommand(command: str, subcommand: bytes) -> ReplyError:
    """For too many arguments to a subcommand that counts its arguments itself."""
    return ReplyError(
        f"ERR unknown subcommand or wrong number of arguments for '{shown(subcommand)}'. Try {command} HELP."
    )


def wrong_options(command: str) -> NamingError:
    """The same for options that a subcommand does not have."""
    return NamingError(f"ERR unknown subcommand or wrong number of arguments for '{{1}}'. Try {command} HELP.")


def wrong_number_of_arguments(command: str) -> ReplyError:
    """For too few or too many arguments; `command` is in lower case, such as `client|setname`.

    >>> wrong_number_of_arguments("echo")
    ReplyError("ERR wrong number of arguments for 'echo' command")
    """
    return ReplyError(f"ERR wrong number of arguments for '{command}' command")


def too_many_arguments(command: str, args: list[bytes]) -> ReplyError:
    """For more arguments than the command takes, although its arity allows them.

    >>> too_many_arguments("ping", [b"PING", b"a", b"b"])
    ReplyError("ERR wrong number of arguments for 'ping' command")
    """
    container, _, subcommand = command.partition("|")
    return wrong_subcommand(container.upper(), args[1]) if subcommand else wrong_number_of_arguments(command)


def wrong_type() -> ReplyError:
    """For a command whose key holds another type of value."""
    return ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")


def syntax_error() -> ReplyError:
    """For options that do not exist, or exclude each other."""
    return ReplyError("ERR syntax error")


def not_an_integer() -> ReplyError:
    """For an argument that must be an integer, or a value that is to be incremented."""
    return ReplyError("ERR value is not an integer or out of range")


def not_positive() -> ReplyError:
    """For an argument that must be a number of elements."""
    return ReplyError("ERR value is out of range, must be positive")


def hash_value_not_an_integer() -> ReplyError:
    """For the value of a field that is to be incremented."""
    return ReplyError("ERR hash value is not an integer")


def hash_value_not_a_float() -> ReplyError:
    """For the value of a field to which a floating point number is to be added."""
    return ReplyError("ERR hash value is not a float")


def not_a_float() -> ReplyError:
    """For an argument or a value that must be a floating point number."""
    return ReplyError("ERR value is not a valid float")


def no_such_key() -> ReplyError:
    """For a command whose key must exist."""
    return ReplyError("ERR no such key")


def same_object() -> ReplyError:
    """For a key that is to be copied or moved to itself."""
    return ReplyError("ERR source and destination objects are the same")


def invalid_expire_time(command: str) -> ReplyError:
    """For a time to live that is not positive, or that does not fit in 64 bits of milliseconds."""
    return ReplyError(f"ERR invalid expire time in '{command}' command")


def not_authenticated() -> ReplyError:
    """For a client that has not authenticated."""
    return ReplyError("NOAUTH Authentication required.")


def only_while_listening(command: str) -> ReplyError:
    """For another command from a RESP2 client that has subscribed to channels."""
    return ReplyError(
        f"ERR Can't execute '{command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
        "are allowed in this context"
    )


def too_many_clients() -> ReplyError:
    """For a connection above `maxclients`."""
    return ReplyError("ERR max number of clients reached")


def protected() -> ReplyError:
    """For a connection from another machine in protected mode, without a password."""
    return ReplyError(
        "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
        "default user. In this mode connections are only accepted from the loopback interface. If you want to connect "
        "from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode "
        "sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from "
        "the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you "
        "do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected "
        "mode by editing the Redis configuration file, and setting the protected mode option to 'no', and then "
        "restarting the server. 3) If you started the server manually just for testing, restart it with the "
        "'--protected-mode no' option. 4) Setup a an authentication password for the default user. NOTE: You only need "
        "to do one of the above things in order for the server to start accepting connections from the outside."
    )


def wrong_password() -> ReplyError:
    """For a wrong password or user name."""
    return ReplyError("WRONGPASS invalid username-password pair or user is disabled.")


def busy(kind: str) -> ReplyError:
    """For a request while a script or a function runs too long; `kind` is SCRIPT or FUNCTION."""
    return ReplyError(f"BUSY Redis is busy running a script. You can only call {kind} KILL or SHUTDOWN NOSAVE.")


def paused() -> ReplyError:
    """For a command that began before CLIENT PAUSE, and must not write when it ends."""
    return ReplyError("ERR clients are paused")


def no_script() -> ReplyError:
    """For the SHA1 of a script that is not loaded."""
    return ReplyError("NOSCRIPT No matching script. Please use EVAL.")


def debug_not_allowed() -> ReplyError:
    """For DEBUG, if the options do not allow it."""
    return ReplyError(
        'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a '
        "local connection, otherwise you need to set this option in the configuration file, and then restart the "
        "server."
    )


def module_not_allowed() -> ReplyError:
    """For what would change the modules."""
    return ReplyError(
        'ERR MODULE command not allowed. If the enable-module-command option is set to "local", you can run it from a '
        "local connection, otherwise you need to set this option in the configuration file, and then restart the "
        "server."
    )


def read_only_replica() -> ReplyError:
    """For a write to a replica."""
    return ReplyError("READONLY You can't write against a read only replica.")


def primary_down() -> ReplyError:
    """For a command to a replica without its primary, if it must not show data that may be stale."""
    return ReplyError("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")


def out_of_memory() -> ReplyError:
    """For a command that may need memory, when `maxmemory` is reached."""
    return ReplyError("OOM command not allowed when used memory > 'maxmemory'.")


def log_failed(reason: str) -> ReplyError:
    """For a write while the log cannot be written."""
    return ReplyError(f"MISCONF Errors writing to the AOF file: {reason}")


def snapshot_failed() -> ReplyError:
    """For a write after a snapshot could not be written."""
    return ReplyError(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands "
        "that may modify the data set are disabled, because this instance is configured to report errors during "
        "writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for "
        "details about the RDB error."
    )


def not_enough_replicas() -> ReplyError:
    """For a write while too few replicas are near (`min-replicas-to-write`)."""
    return ReplyError("NOREPLICAS Not enough good replicas to write.")
