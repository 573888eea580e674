"""`python -m final`: parse the options, restore the data, and serve until a signal or SHUTDOWN."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NoReturn

from .log.read import CorruptLog
from .net.server import Server
from .net.stopping import on_signal
from .net.systemd import tell
from .options import NAMES, Options, parse
from .protocol.reader import Reader
from .restore import restore
from .server_log import log, open_standard_files


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        """Log what is wrong with the command line, and exit with status 2."""
        give_up(f"{self.prog}: error: {message}", status=2)


def give_up(reason: str, status: int = 1) -> NoReturn:
    """Log the reason and exit. `sys.exit(reason)` would fail if standard error cannot be written."""
    log.critical("%s", reason)
    sys.exit(status)


def parse_options(args: list[str]) -> Options:
    """Parse the command line: the options are named as in redis.conf."""
    parser = Parser(prog="python -m final", description="A Redis in Python, to learn from.")
    for each in fields(Options):
        name = each.name.replace("_", "-")

        def value(text: str, name: str = name) -> Any:
            try:
                return parse(name, text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None

        flags = [f"--{known}" for known, attribute in NAMES.items() if attribute == each.name]
        flags += ["--host"] * (name == "bind")
        said = each.metadata["help"] + f" (default: {each.default})" * (str(each.default) != "")
        choices = f"{{{','.join(each.metadata['choices'])}}}" if each.metadata["choices"] else None
        parser.add_argument(*flags, dest=each.name, type=value, default=each.default, help=said, metavar=choices)
    return Options(**vars(parser.parse_args(joined(args))))


def joined(args: list[str]) -> list[str]:
    """Return a command line in which the port that may follow `--replicaof HOST` belongs to the same argument."""
    at = next((at + 2 for at, each in enumerate(args) if each in ("--replicaof", "--slaveof")), len(args))
    if not (args[at:] and args[at].isdigit()):
        return args
    return [*args[: at - 1], " ".join(args[at - 1 : at + 1]), *args[at + 1 :]]


def choose_loop(options: Options) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return a factory for the event loop, and set `options.loop` to its name."""
    if options.loop != "asyncio":
        try:
            import uvloop

            options.loop = "uvloop"
            new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
            return new_loop
        except ImportError as error:
            if options.loop == "uvloop":
                give_up(f"cannot use uvloop: {error}")
    options.loop = "asyncio"
    return asyncio.new_event_loop


def choose_parser(options: Options) -> type[Reader]:
    """Return the class that reads requests, and set `options.parser` to its name."""
    if options.parser != "python":
        try:
            from .protocol.hiredis_reader import HiredisReader

            options.parser = "hiredis"
            return HiredisReader
        except ImportError as error:
            if options.parser == "hiredis":
                give_up(f"cannot use hiredis: {error}")
    options.parser = "python"
    return Reader


def main() -> None:
    """Run the server until it is stopped; if it cannot start or continue, log one line and exit."""
    open_standard_files()
    options = parse_options(sys.argv[1:])
    new_loop = choose_loop(options)
    server = Server(options, choose_parser(options))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as in Redis: closing the terminal does not end the server
    on_signal(server.interrupt, server.leave)
    tell(options.supervised, "STATUS=Loading the data")
    source = "log" if options.appendonly == "yes" else "snapshot"
    try:
        restore(server.engine)
    except (CorruptLog, OSError) as error:
        give_up(f"cannot use the {source}: {error}")
    except MemoryError:
        give_up(f"cannot load the {source}: out of memory")
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(server.run())
    except (OSError, OverflowError) as error:
        give_up(f"cannot listen on {options.bind}:{options.port}: {error}")
    if server.failure:
        give_up(server.failure)
    if server.engine.log is not None:
        try:
            server.engine.log.close()
        except OSError as error:
            give_up(f"cannot write the log, its last changes are lost: {error}")
    os._exit(0)  # to free millions of values would take Python seconds


if __name__ == "__main__":
    main()
