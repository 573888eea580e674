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


def wrong_number_of_arguments(command: str) -> ReplyError:
    """Answer to a request with too few or too many words; `command` in lower case, `client|setname` and so on.

    >>> wrong_number_of_arguments("echo")
    ReplyError("ERR wrong number of arguments for 'echo' command")
    """
    return ReplyError(f"ERR wrong number of arguments for '{command}' command")


def wrong_type() -> ReplyError:
    """Return the answer to a command for one kind of value, if the key holds another kind."""
    return ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")


def syntax_error() -> ReplyError:
    """Return the answer to options that do not exist, or that exclude each other."""
    return ReplyError("ERR syntax error")


def not_an_integer() -> ReplyError:
    """Return the answer to an argument, or to the value of a key, that should be an integer and is not."""
    return ReplyError("ERR value is not an integer or out of range")
