"""Types the commands of a page into a shell, and compares what they print with what the page says.

The commands are the lines after `$ ` in blocks of ```console; what follows is what they print. `…` in a line is any
text, and a line `…` any lines. Each port of the page stands for a free one.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from stages.harness.server import free_port
from tests.support.machine import within
from tests.tools.terminal import PROMPT, Shell

BLOCK = re.compile(r"^```console\n(.*?)^```", flags=re.M | re.S)
DEFAULT = "6379"
PORTS = re.compile(r"(?<![\w.])(?:6379|638\d|700\d)\b")
NOTICE = re.compile(r"\[\d+\](?:[-+ ] .*| \d+)\n", flags=re.M)  # of the shell, about a job
# As python3 and redis-cli, with the default port, once the server accepts connections and has loaded its data.
PYTHON = """#!/bin/bash
case "$* " in "-m final "*--port*) ;; "-m final "*) set -- "$@" --port {port} ;; esac
exec {program} "$@"
"""
REDIS_CLI = """#!/bin/bash
case " $* " in *" -p "*|*" --cluster "*) ;; *) set -- -p {port} "$@" ;; esac
[[ "$*" =~ (-p |127.0.0.1:)([0-9]+) ]]
for try in {{1..200}}; do
    said=$({program} -p "${{BASH_REMATCH[2]}}" PING 2>&1 </dev/null)
    [[ $said == *"Could not connect"* || $said == LOADING* ]] || break
    sleep 0.05
done
exec {program} "$@"
"""


def steps(page: Path, *headings: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands under the headings of a page, each with the lines that it prints."""
    parts = dict(part.split("\n", 1) for part in re.split(r"^## ", page.read_text(), flags=re.M)[1:])
    for block in BLOCK.findall("".join(parts[heading] for heading in headings or parts)):
        for step in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, printed = re.fullmatch(r"((?:.*\\\n)*.*)\n((?s:.*))", step).groups()  # type: ignore[union-attr]
            yield command, printed.splitlines()


class Typist(Shell):
    """A shell on free ports. `tools` is a folder for programs that stand for those of the same name."""

    def __init__(self, folder: Path, tools: Path) -> None:
        self.ports = {DEFAULT: str(free_port())}
        python, client = sys.executable, shutil.which("redis-cli")
        for name, text, program in (("python3", PYTHON, python), ("redis-cli", REDIS_CLI, client)):
            (tools / name).write_text(text.format(port=self.ports[DEFAULT], program=program))
            (tools / name).chmod(0o700)
        super().__init__(folder, tools)

    def type(self, command: str, printed: list[str]) -> None:
        """Type a command, and wait until it has printed these lines; AssertionError if it prints others."""
        for port in PORTS.findall(command):
            self.ports.setdefault(port, str(free_port()))
        os.write(self.master, PORTS.sub(lambda found: self.ports[found[0]], command).encode() + b"\n")
        pattern = "".join(
            "(?:.*\n)*?" if line == "…" else f"{re.escape(line).replace('…', '.*')}\n" for line in printed
        )
        seen, deadline = "", time.monotonic() + within(10)
        while PROMPT not in seen or not re.fullmatch(pattern, self.shown(seen)):
            ready = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))[0]
            assert ready, f"$ {command}\nprinted:\n{self.shown(seen)}\nshould print:\n" + "\n".join(printed)
            seen += os.read(self.master, 65536).decode()

    def shown(self, seen: str) -> str:
        """Return what was printed as the page would show it."""
        for port, real in self.ports.items():
            seen = re.sub(rf"\b{real}\b", port, seen)
        return NOTICE.sub("", seen.replace("\r", "").replace(PROMPT, ""))

    def close(self) -> None:
        """Kill the servers, and end the bash."""
        os.write(self.master, b"kill -9 $(jobs -p); exit\n")
        self.process.wait()
        os.close(self.master)


def follow(page: Path, folder: Path, *headings: str) -> None:
    """Type the commands of a page, or of these parts of it, in a new folder inside `folder`."""
    here, tools = folder / "here", folder / "tools"
    for each in (here, tools):
        each.mkdir()
    shell = Typist(here, tools)
    try:
        for command, printed in steps(page, *headings):
            shell.type(command, printed)
    finally:
        shell.close()
