"""What the desk remembers of a learner, in `.progress.json`: the last check of each stage, and hints shown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from stages.harness.course import ROOT

FILE = ROOT / ".progress.json"


@dataclass
class Progress:
    """How one stage stands."""

    passed: int = 0
    checks: int = 0  # 0: never checked
    failed: list[str] = field(default_factory=list)  # the names of the failed tests, in their order
    hints: dict[str, int] = field(default_factory=dict)  # test -> how many of its hints were shown

    @property
    def done(self) -> bool:
        """Whether every check has passed."""
        return 0 < self.checks == self.passed


def recall(stage: int) -> Progress:
    """Read how a stage stands."""
    return Progress(**stored().get(f"{stage:02}", {}))


def remember(stage: int, progress: Progress) -> None:
    """Write down how a stage stands."""
    FILE.write_text(json.dumps(stored() | {f"{stage:02}": asdict(progress)}, indent=1) + "\n")


def stored() -> dict[str, dict[str, Any]]:
    """Read the file; what cannot be read is forgotten."""
    try:
        found = json.loads(FILE.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
