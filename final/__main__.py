"""`python -m final`: read the options, bring the data back, serve until told to stop."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from .options import Options, parse
from .records import CorruptLog
from .restore import restore
from .server import Server
from .server_log import log


def parse_options(words: list[str]) -> Options:
    """Read the command line: the options are named as in redis.conf."""
    parser = argparse.ArgumentParser(prog="python -m final", description="A Redis in Python, to learn from.")
    for each in fields(Options):
        name = each.name.replace("_", "-")

        def value(text: str, name: str = name) -> Any:
            try:
                return parse(name, text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None

        flags = ["--bind", "--host"] if name == "bind" else [f"--{name}"]
        said = each.metadata["help"] + f" (default: {each.default})" * (each.default != "")
        choices = f"{{{','.join(each.metadata['choices'])}}}" if each.metadata["choices"] else None
        parser.add_argument(*flags, dest=each.name, type=value, default=each.default, help=said, metavar=choices)
    return Options(**vars(parser.parse_args(words)))


def choose_loop(options: Options) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop; `options.loop` says afterwards which one it is. Raises ImportError."""
    if options.loop != "asyncio":
        try:
            import uvloop

            options.loop = "uvloop"
            new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
            return new_loop
        except ImportError:
            if options.loop == "uvloop":
                raise
    options.loop = "asyncio"
    return asyncio.new_event_loop


def main() -> None:
    """Run the server until it is told to stop; complain in one line where it cannot start or go on."""
    options = parse_options(sys.argv[1:])
    try:
        new_loop = choose_loop(options)
    except ImportError as error:
        sys.exit(f"cannot use uvloop: {error}")
    server = Server(options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # until there is a loop, which knows what to do
    try:
        restore(server.engine)
    except (CorruptLog, OSError) as error:
        sys.exit(f"cannot use the log: {error}")
    except KeyboardInterrupt:
        log.info("told to stop while the log was loading")
        return
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(server.run())
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {options.bind}:{options.port}: {error}")
    if server.failure:
        sys.exit(server.failure)
    if server.engine.log is not None:
        try:
            server.engine.log.close()
        except OSError as error:
            sys.exit(f"cannot write the log, its last changes are lost: {error}")


if __name__ == "__main__":
    main()
