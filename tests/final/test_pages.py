"""The commands in final/README.md and final/OUTGROWN.md print what the pages say: they are typed into a shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.harness.course import ROOT
from tests.support.oracle import redis_target
from tests.support.pages import follow


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "OUTGROWN.md"])
def test_the_commands_of_a_page_print_what_it_says(tmp_path: Path, name: str) -> None:
    redis_target()
    follow(ROOT / "final" / name, tmp_path)
