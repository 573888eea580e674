"""Errors as replies: what a command raises instead of returning a value, with Redis's texts, byte for byte."""


class ReplyError(Exception):
    """An error that is the answer to one request. The text begins with its code, mostly `ERR`."""


def shown(arg: bytes) -> str:
    """Return a client's argument as an error text shows it: up to its first zero byte, and at most 128 bytes.

    `errors="surrogateescape"` decodes bytes that are not UTF-8 too; the writer turns them back into the same bytes.

    >>> shown(b"GETT"), shown(b"a\\x00b"), len(shown(b"x" * 1000))
    ('GETT', 'a', 128)
    """
    return arg.split(b"\0")[0][:128].decode(errors="surrogateescape")


def unknown_command(args: list[bytes]) -> ReplyError:
    """Return the error for a command that does not exist.

    The name is shown by `shown`. Each argument is shown up to its first zero byte, in single quotes and followed by a
    space. Once 128 bytes or more of arguments are shown, quotes and spaces included, no further argument is. If n
    bytes are shown, at most 128 - n bytes of the next argument are, not counting its quotes.

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
    """Return the error for a subcommand that does not exist. `command` is in upper case.

    >>> unknown_subcommand("CLIENT", b"FOO")
    ReplyError("ERR unknown subcommand 'FOO'. Try CLIENT HELP.")
    """
    return ReplyError(f"ERR unknown subcommand '{shown(subcommand)}'. Try {command} HELP.")


def wrong_number_of_arguments(command: str) -> ReplyError:
    """Return the error for a request with too few or too many arguments.

    `command` is in lower case; a subcommand stands behind its command, as in `client|setname`.

    >>> wrong_number_of_arguments("echo")
    ReplyError("ERR wrong number of arguments for 'echo' command")
    """
    return ReplyError(f"ERR wrong number of arguments for '{command}' command")


def wrong_type() -> ReplyError:
    """Return the error for a command on one kind of value, if the key holds another kind."""
    return ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")


def syntax_error() -> ReplyError:
    """Return the error for options that do not exist, or that exclude each other."""
    return ReplyError("ERR syntax error")


def not_an_integer() -> ReplyError:
    """Return the error for an argument, or the value of a key, that should be an integer and is not."""
    return ReplyError("ERR value is not an integer or out of range")


def invalid_expire_time(command: str) -> ReplyError:
    """Return the error for a time to live that cannot be; `command` is in lower case."""
    return ReplyError(f"ERR invalid expire time in '{command}' command")
