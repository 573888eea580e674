"""Errors as replies: what a command raises to say no, and the texts, which are Redis's to the letter."""


class ReplyError(Exception):
    """An error that is the answer to one request. The text begins with its code, mostly `ERR`."""


def shown(arg: bytes) -> str:
    """Quote a client's word in an error text: 128 bytes of it at most, and up to the first zero byte.

    `errors="surrogateescape"` keeps bytes that are not UTF-8, so that the client gets back what it sent.

    >>> shown(b"GETT"), shown(b"a\\x00b"), len(shown(b"x" * 1000))
    ('GETT', 'a', 128)
    """
    return arg.split(b"\0")[0][:128].decode(errors="surrogateescape")


def unknown_command(args: list[bytes]) -> ReplyError:
    """Answer to a command that does not exist: names it, and the arguments as far as 128 bytes go.

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
    """Answer to a subcommand that does not exist.

    >>> unknown_subcommand("CLIENT", b"FOO")
    ReplyError("ERR unknown subcommand 'FOO'. Try CLIENT HELP.")
    """
    return ReplyError(f"ERR unknown subcommand '{shown(subcommand)}'. Try {command} HELP.")


def wrong_subcommand(command: str, subcommand: bytes) -> ReplyError:
    """Answer to a subcommand that counts its words itself, and has too many."""
    return ReplyError(
        f"ERR unknown subcommand or wrong number of arguments for '{shown(subcommand)}'. Try {command} HELP."
    )


def wrong_number_of_arguments(command: str) -> ReplyError:
    """Answer to a request with too few or too many words; `command` in lower case, `client|setname` and so on.

    >>> wrong_number_of_arguments("echo")
    ReplyError("ERR wrong number of arguments for 'echo' command")
    """
    return ReplyError(f"ERR wrong number of arguments for '{command}' command")


def too_many_arguments(command: str, args: list[bytes]) -> ReplyError:
    """Answer to a request that the arity allows, and that has more arguments than the command takes.

    >>> too_many_arguments("ping", [b"PING", b"a", b"b"])
    ReplyError("ERR wrong number of arguments for 'ping' command")
    """
    container, _, subcommand = command.partition("|")
    return wrong_subcommand(container.upper(), args[1]) if subcommand else wrong_number_of_arguments(command)


def wrong_type() -> ReplyError:
    """Answer to a command for one kind of value whose key holds another."""
    return ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")


def syntax_error() -> ReplyError:
    """Answer to options that do not exist, or do not go together."""
    return ReplyError("ERR syntax error")


def not_an_integer() -> ReplyError:
    """Answer where a number was wanted: in the request, or in the value that is to be counted up."""
    return ReplyError("ERR value is not an integer or out of range")


def not_positive() -> ReplyError:
    """Answer where a number of elements was wanted."""
    return ReplyError("ERR value is out of range, must be positive")


def not_a_float() -> ReplyError:
    """Answer where a number with a decimal point was wanted."""
    return ReplyError("ERR value is not a valid float")


def no_such_key() -> ReplyError:
    """Answer to a command that cannot do without its key."""
    return ReplyError("ERR no such key")


def same_object() -> ReplyError:
    """Answer where something is to be copied or moved onto itself."""
    return ReplyError("ERR source and destination objects are the same")


def invalid_expire_time(command: str) -> ReplyError:
    """Answer to a time to live that is not positive, or lies beyond what 64 bits of milliseconds can say."""
    return ReplyError(f"ERR invalid expire time in '{command}' command")


def not_authenticated() -> ReplyError:
    """Answer to a client that has not yet said the password."""
    return ReplyError("NOAUTH Authentication required.")


def only_while_listening(command: str) -> ReplyError:
    """Answer to a client that listens, in RESP2, and wants something else."""
    return ReplyError(
        f"ERR Can't execute '{command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
        "are allowed in this context"
    )


def too_many_clients() -> ReplyError:
    """Answer to who connects while there are `maxclients` already."""
    return ReplyError("ERR max number of clients reached")


def protected() -> ReplyError:
    """Answer to who connects from another machine, to a server that has no password and was not opened to others."""
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
    """Answer to a password, or a user, that is not ours."""
    return ReplyError("WRONGPASS invalid username-password pair or user is disabled.")


def busy() -> ReplyError:
    """Answer while a script runs for too long."""
    return ReplyError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")


def no_script() -> ReplyError:
    """Answer to the name of a script that is not loaded."""
    return ReplyError("NOSCRIPT No matching script. Please use EVAL.")


def debug_not_allowed() -> ReplyError:
    """Answer to DEBUG where the options do not allow it."""
    return ReplyError(
        'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a '
        "local connection, otherwise you need to set this option in the configuration file, and then restart the "
        "server."
    )


def out_of_memory() -> ReplyError:
    """Answer to a command that may take memory, while there is none."""
    return ReplyError("OOM command not allowed when used memory > 'maxmemory'.")


def log_failed(reason: str) -> ReplyError:
    """Answer to a write while the log cannot be written: what is not kept is not accepted."""
    return ReplyError(f"MISCONF Errors writing to the AOF file: {reason}")
