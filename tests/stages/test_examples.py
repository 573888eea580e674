"""Each stage by itself: the examples in its docstrings are true. (Its types: `make check`.)"""

import subprocess
import sys

import pytest

from stages.desk import STAGES
from stages.manifest import sources
from stages.target import stage_folder


@pytest.mark.parametrize("stage", STAGES)
def test_the_examples_in_docstrings_are_true(stage: int) -> None:
    folder = stage_folder(stage)
    words = [sys.executable, "-B", "-m", "doctest", *sources(folder)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
