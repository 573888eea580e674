"""`python -m final`: parse the options, restore the data, and serve until a signal or SHUTDOWN."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from itertools import chain
from typing import NoReturn

from .config import file as config_file
from .config.options import NAMES, RELEASE, Options
from .config.values import OF_REDIS, SavePoints
from .data.garbage import keep_freed_memory, look_at_the_young_only
from .engine.acl.file import begin
from .engine.acl.users import BadUsers
from .engine.command import rename
from .log.read import CorruptLog
from .net.certificates import BadTls
from .net.daemon import detach
from .net.endpoints import CannotListen
from .net.server import Server
from .net.stopping import on_signal
from .net.systemd import tell
from .protocol.reader import Reader
from .restore import restore
from .server_log import direct, log, open_standard_files, say


def give_up(reason: str) -> NoReturn:
    """Log the reason and exit."""
    log.critical("%s", reason)
    sys.exit(1)


def refuse(reason: str) -> NoReturn:
    """Say what is wrong with the options, and exit."""
    say(f"python -m final: error: {reason}")
    sys.exit(2)


def parse_options(args: list[str]) -> Options:
    """Parse the command line: a configuration file, if there is one, and options that are named as in it."""
    if {"-h", "--help"} & set(args):
        print(usage())
        sys.exit()
    if args[:1] in (["-v"], ["--version"]):
        print(version())
        sys.exit()
    options = Options()
    file, args = (args[0], args[1:]) if args and not args[0].startswith("--") else ("", args)
    try:
        lines = config_file.read(file) if file else iter(())
        given = config_file.apply(options, chain(lines, config_file.read_command_line(args)))
    except config_file.BadConfig as error:
        refuse(str(error))
    if file and options.appendonly == "no" and "save" not in given:  # Redis keeps the data then, and so must we
        options.save = SavePoints.parse(OF_REDIS)
    options.config_file = os.path.abspath(file) if file not in ("", "-") else ""
    return options


def version() -> str:
    """What `--version` prints, in the form of redis-server: the release whose replies this server matches."""
    bits = 64 if sys.maxsize > 2**32 else 32
    return f"Redis server v={RELEASE.decode()} sha=00000000:0 malloc=python bits={bits} build=0"


def usage() -> str:
    """What `--help` prints."""
    lines = ["usage: python -m final [FILE] [--option argument ...]", "", "A Redis in Python, to learn from.", ""]
    for each in fields(Options):
        names = ", ".join(f"--{name}" for name, attribute in NAMES.items() if attribute == each.name)
        values = f" {{{','.join(each.metadata['choices'])}}}" if each.metadata["choices"] else ""
        default = f" (default: {each.default})" if str(each.default) else ""
        lines += [f"  {names}{values}", f"        {each.metadata['help']}{default}"]
    return "\n".join([*lines, "", "FILE is a redis.conf. Redis's other options are taken too, and have no effect."])


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


def end(server: Server) -> NoReturn:
    """Close the log, and exit at once: to free millions of values would take Python seconds."""
    failure = server.failure
    if server.engine.log is not None and not failure:
        try:
            server.engine.log.close()
        except OSError as error:
            failure = f"cannot write the log, its last changes are lost: {error}"
    if failure:
        log.critical("%s", failure)
    os._exit(1 if failure else 0)


def main() -> None:
    """Run the server until it is stopped; if it cannot start or continue, log one line and exit."""
    open_standard_files()
    options = parse_options(sys.argv[1:])
    try:
        os.chdir(options.dir)
        for old, new in options.renamed:
            rename(old, new)
    except OSError as error:
        refuse(f"dir {options.dir}: {error.strerror}")
    except ValueError as error:
        refuse(f"rename-command {os.fsdecode(old)}: {error}")
    new_loop, new_reader = choose_loop(options), choose_parser(options)
    try:
        syslog = (options.syslog_ident, options.syslog_facility) if options.syslog_enabled == "yes" else None
        if options.daemonize == "yes":
            detach()
        direct(options.loglevel, options.logfile, syslog)
    except OSError as error:
        give_up(f"cannot write the server log: {error}")
    server = Server(options, new_reader)
    try:
        begin(server.engine.users, options.users)
    except BadUsers as error:
        give_up(f"cannot use the users: {error}")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as in Redis: closing the terminal does not end the server
    on_signal(server.interrupt, server.leave)
    tell(options.supervised, "STATUS=Loading the data")
    look_at_the_young_only()
    keep_freed_memory()
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
            end(server)  # here, as the end of this block waits for threads that look up the names of other servers
    except CannotListen as error:
        give_up(str(error))
    except BadTls as error:
        give_up(f"cannot configure TLS: {error}")


if __name__ == "__main__":
    main()
