"""The rows of a run, stored as JSON so that a report can be written again; medians and ratios of them."""

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
    """A measurement."""

    section: str
    server: str
    what: str
    value: float
    unit: str
    round: int


def machine() -> dict[str, str]:
    """Return what is known of the machine."""
    redis = shutil.which("redis-server")
    version = subprocess.run([redis, "--version"], capture_output=True, text=True).stdout.split() if redis else []
    info = Path("/proc/cpuinfo")
    models = [line.split(": ")[1] for line in info.read_text().splitlines() if line.startswith("model name")] \
        if info.exists() else []  # fmt: skip
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "redis-server": next((arg.removeprefix("v=") for arg in version if arg.startswith("v=")), "none"),
        "logs on": file_system(tempfile.gettempdir()),
        "load": "redis-benchmark" if shutil.which("redis-benchmark") else "our own",
    }


def file_system(folder: str) -> str:
    """Return the type of a folder's file system. On a file system in memory an fsync costs nothing; set TMPDIR."""
    done = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True)
    return done.stdout.strip() or "an unknown file system"


class Results:
    """All rows: those of this run, and of earlier runs for sections that were not measured again."""

    def __init__(self, rows: list[Row], machine: dict[str, str]) -> None:
        self.rows, self.machine = rows, machine

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read the stored results; none if the file does not exist."""
        if not path.exists():
            return cls([], machine())
        kept = json.loads(path.read_text())
        return cls([Row(*row) for row in kept["rows"]], kept["machine"])

    def keep(self, path: Path) -> None:
        """Write the results to a file, each row on a line."""
        rows = ",\n".join(json.dumps([round(part, 6) if isinstance(part, float) else part for part in row])
                          for row in self.rows)  # fmt: skip
        path.write_text(f'{{"machine": {json.dumps(self.machine)},\n"rows": [\n{rows}\n]}}\n')

    def replace(self, section: str, rows: list[Row]) -> None:
        """Replace the rows of a section."""
        self.rows = [row for row in self.rows if row.section != section] + rows
        self.machine = machine()

    def values(self, section: str, server: str, what: str) -> dict[int, float]:
        """Map each round to its value."""
        return {row.round: row.value for row in self.rows if row[:3] == (section, server, what)}

    def median(self, section: str, server: str, what: str) -> float | None:
        """Return the median of the rounds, or None if nothing was measured."""
        values = self.values(section, server, what)
        return median(values.values()) if values else None

    def ratio(self, section: str, one: tuple[str, str], other: tuple[str, str]) -> float | None:
        """Return the median of the ratios within a round of one (server, what) to the other, or None."""
        above, below = self.values(section, *one), self.values(section, *other)
        ratios = [above[number] / below[number] for number in above if below.get(number)]
        return median(ratios) if ratios else None

    def sections(self) -> list[str]:
        """List the sections that were measured."""
        return list(dict.fromkeys(row.section for row in self.rows))

    def of(self, section: str, part: str) -> list[str]:
        """List the servers or the `what`s of a section, in the order of its rows; `part` is a field of Row."""
        return list(dict.fromkeys(str(getattr(row, part)) for row in self.rows if row.section == section))
