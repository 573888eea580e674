"""Folders that releases of final/ have written, to be loaded by each later one: `tests/final/test_releases.py`.

    python3 -m tests.support.releases

records the present one, under the version in pyproject.toml: a log with a base and an increment, a snapshot, and
`keys.txt`, with a line for each key: database, key, type, deadline, digest of the value.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

from stages.harness.course import ROOT
from stages.harness.wire import Client
from tests.support.folders import by_score, everything

FOLDER = Path(__file__).parent
RELEASES = sorted(path.name for path in FOLDER.iterdir() if (path / "keys.txt").exists())


def present() -> str:
    """Return the version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def keys_of(client: Client) -> list[str]:
    """Return a server's data in the lines of `keys.txt`."""
    return sorted(
        f"{key} {kind} {until} {hashlib.sha256(repr(value).encode()).hexdigest()[:16]}"
        for key, (kind, value, until) in by_score(everything(client)).items()
    )
