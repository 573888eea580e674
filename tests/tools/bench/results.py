"""The rows of a run, kept as JSON so that reports can be written anew without measuring; medians and ratios of them."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple


class Row(NamedTuple):
    """One measurement: of a section, of a server, what it is, in which unit, in which round."""

    section: str
    server: str
    what: str
    value: float
    unit: str
    round: int


def machine() -> dict[str, str]:
    """On what it was measured."""
    redis = shutil.which("redis-server")
    said = subprocess.run([redis, "--version"], capture_output=True, text=True).stdout.split() if redis else []
    info = Path("/proc/cpuinfo")
    models = [line.split(": ")[1] for line in info.read_text().splitlines() if line.startswith("model name")] \
        if info.exists() else []  # fmt: skip
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "redis-server": next((arg.removeprefix("v=") for arg in said if arg.startswith("v=")), "none"),
        "logs on": file_system(tempfile.gettempdir()),
        "load": "redis-benchmark" if shutil.which("redis-benchmark") else "our own",
    }


def file_system(folder: str) -> str:
    """What kind of file system a folder is on; where it is memory only, an fsync costs nothing. TMPDIR chooses."""
    told = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True)
    return told.stdout.strip() or "an unknown file system"


class Results:
    """All rows, of this run and of those before it whose sections have not been measured again."""

    def __init__(self, rows: list[Row], machine: dict[str, str]) -> None:
        self.rows, self.machine = rows, machine

    @classmethod
    def read(cls, path: Path) -> Results:
        """What was kept; nothing where there is no file."""
        if not path.exists():
            return cls([], machine())
        kept = json.loads(path.read_text())
        return cls([Row(*row) for row in kept["rows"]], kept["machine"])

    def keep(self, path: Path) -> None:
        """Write a file, a row in a line."""
        rows = ",\n".join(json.dumps([round(part, 6) if isinstance(part, float) else part for part in row])
                          for row in self.rows)  # fmt: skip
        path.write_text(f'{{"machine": {json.dumps(self.machine)},\n"rows": [\n{rows}\n]}}\n')

    def replace(self, section: str, rows: list[Row]) -> None:
        """A section was measured: its rows before are gone."""
        self.rows = [row for row in self.rows if row.section != section] + rows
        self.machine = machine()

    def values(self, section: str, server: str, what: str) -> dict[int, float]:
        """What was measured in each round."""
        return {row.round: row.value for row in self.rows if row[:3] == (section, server, what)}

    def median(self, section: str, server: str, what: str) -> float | None:
        """The median of the rounds; None where nothing was measured."""
        values = self.values(section, server, what)
        return median(values.values()) if values else None

    def ratio(self, section: str, one: tuple[str, str], other: tuple[str, str]) -> float | None:
        """The median of what a server and a `what` is to another one, each within a round."""
        above, below = self.values(section, *one), self.values(section, *other)
        ratios = [above[number] / below[number] for number in above if below.get(number)]
        return median(ratios) if ratios else None

    def sections(self) -> list[str]:
        """Those that were measured."""
        return list(dict.fromkeys(row.section for row in self.rows))

    def of(self, section: str, part: str) -> list[str]:
        """The servers, or the `what`s, of a section, in their order."""
        return list(dict.fromkeys(str(getattr(row, part)) for row in self.rows if row.section == section))
