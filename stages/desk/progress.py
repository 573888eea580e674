"""What is stored about the learner in `.progress.json`: the last check of each stage, and the hints shown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from stages.harness.course import ROOT

FILE = ROOT / ".progress.json"


@dataclass
class Progress:
    """The learner's progress in one stage."""

    passed: int = 0
    checks: int = 0  # 0: not checked yet
    failed: list[str] = field(default_factory=list)  # the names of the failed tests, in the order of the checkpoint
    steps: list[int] = field(default_factory=list)  # the numbers of the steps that passed
    hints: dict[str, int] = field(default_factory=dict)  # test -> number of its hints that were shown

    @property
    def done(self) -> bool:
        """Whether every check has passed."""
        return 0 < self.checks == self.passed


def recall(stage: int) -> Progress:
    """Return the stored progress in a stage."""
    return Progress(**stored().get(f"{stage:02}", {}))


def remember(stage: int, progress: Progress) -> None:
    """Store the progress in a stage."""
    FILE.write_text(json.dumps(stored() | {f"{stage:02}": asdict(progress)}, indent=1) + "\n")


def stored() -> dict[str, dict[str, Any]]:
    """Return the content of the file; an empty dictionary when the file is missing or damaged."""
    try:
        found = json.loads(FILE.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
