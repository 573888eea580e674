"""Types the commands of a page into a shell, and compares what they print with what the page says.

The commands are the lines after `$ ` in blocks of ```console; what follows is what they print. `…` in a line is any
text, and a line `…` any lines. Each port of the page stands for a free one.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.harness.course import ROOT
from stages.harness.ports import free_port
from stages.harness.target import Target
from tests.support.machine import within
from tests.support.observing import await_true
from tests.support.oracle import redis_target
from tests.tools.terminal import PROMPT, Shell

BLOCK = re.compile(r"^```console\n(.*?)^```", flags=re.M | re.S)
DEFAULT = "6379"
PORTS = re.compile(r"(?<![\w.])(?:6379|638\d|700\d)\b")
NOTICE = re.compile(r"(?:\[\d+\](?:[-+ ] .*| \d+)|\(wd now: .*\))\n", flags=re.M)  # of the shell, about a job
# As python3, redis-cli and redis-server, with the default port. redis-cli waits until its servers have loaded data;
# a primary does not wait five seconds for more replicas; a cluster's second port is a free one.
HURRY = "--repl-diskless-sync-delay 0"
PYTHON = """#!/bin/bash
case "$1 $2" in "-m final") set -- "$@" {hurry} ;; stages/*) set -- {root}/"$@" ;; esac
case "$*" in *--port*) ;; "-m final "*|*/server.py*) set -- "$@" --port {port} ;; esac
exec {program} "$@"
"""
REDIS_CLI = """#!/bin/bash
case " $* " in *" -p "*|*" --cluster "*) ;; *) set -- -p {port} "$@" ;; esac
for port in $(grep -oE '(-p |127.0.0.1:)[0-9]+' <<< "$*" | grep -oE '[0-9]+$'); do
    for try in {{1..200}}; do
        said=$({program} -p "$port" PING 2>&1 </dev/null)
        [[ $said == *"Could not connect"* || $said == LOADING* ]] || break
        sleep 0.05
    done
done
exec {program} "$@"
"""
REDIS_SERVER = """#!/bin/bash
free_port='from stages.harness.ports import free_port; print(free_port())'
case "$*" in *--cluster-enabled*) set -- "$@" --cluster-port "$(python3 -c "$free_port")" ;; esac
exec {program} "$@" {hurry}
"""


def steps(page: Path, *headings: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands under the headings of a page, each with the lines that it prints."""
    parts = dict(part.split("\n", 1) for part in re.split(r"^## ", page.read_text(), flags=re.M)[1:])
    for block in BLOCK.findall("".join(parts[heading] for heading in headings or parts)):
        for step in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, printed = re.fullmatch(r"((?:.*\\\n)*.*)\n((?s:.*))", step).groups()  # type: ignore[union-attr]
            yield command, printed.splitlines()


class Typist(Shell):
    """A shell on free ports."""

    def __init__(self, folder: Path, tools: Path, ports: dict[str, int]) -> None:
        super().__init__(folder, tools)
        self.ports = ports

    def port(self, shown: str) -> int:
        """Return the port that stands for one of the page."""
        return self.ports.setdefault(shown, free_port())

    def type(self, command: str, printed: list[str]) -> None:
        """Type a command, and wait until it has printed these lines; AssertionError if it prints others."""
        os.write(self.master, PORTS.sub(lambda found: str(self.port(found[0])), command).encode() + b"\n")
        pattern = "".join(
            "(?:.*\n)*?" if line == "…" else f"{re.escape(line).replace('…', '.*')}\n" for line in printed
        )
        seen, deadline = "", time.monotonic() + within(20)
        while PROMPT not in seen or not re.fullmatch(pattern, self.shown(seen)):
            left = deadline - time.monotonic()
            wait = min(left, within(5)) if PROMPT in seen else left  # after the prompt, only for a server's message
            ready = select.select([self.master], [], [], max(wait, 0))[0]
            assert ready, f"$ {command}\nprinted:\n{self.shown(seen)}\nshould print:\n" + "\n".join(printed)
            seen += os.read(self.master, 65536).decode()

    def shown(self, seen: str) -> str:
        """Return what was printed as the page would show it."""
        for port, real in self.ports.items():
            seen = re.sub(rf"\b{real}\b", port, seen)
        return NOTICE.sub("", seen.replace("\r", "").replace(PROMPT, ""))

    def close(self) -> None:
        """Interrupt a command that has not ended, kill the servers, and end the bash."""
        os.write(self.master, b"\x03")
        self.read_until(PROMPT)  # what is typed before it is lost
        os.write(self.master, b"kill -9 $(jobs -p); exit\n")
        self.process.wait()
        os.close(self.master)


@contextmanager
def typist(folder: Path, engine: Target) -> Iterator[Typist]:
    """Open a shell in a new folder, in which `redis-server` is this Redis or Valkey; redis-cli is always Redis's."""
    redis_target()
    here, tools, default = folder / "here", folder / "tools", free_port()
    here.mkdir()
    tools.mkdir()
    programs = {"python3": sys.executable, "redis-cli": shutil.which("redis-cli"), "redis-server": engine.command[0]}
    for name, text in (("python3", PYTHON), ("redis-cli", REDIS_CLI), ("redis-server", REDIS_SERVER)):
        (tools / name).write_text(text.format(port=default, program=programs[name], hurry=HURRY, root=ROOT))
        (tools / name).chmod(0o700)
    shell = Typist(here, tools, {DEFAULT: default})
    try:
        yield shell
    finally:
        shell.close()
        await_true(lambda: not any(map(is_open, shell.ports.values())), "the end of all servers")


def is_open(port: int) -> bool:
    """Return whether a server accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
