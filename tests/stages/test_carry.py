"""`python3 -m stages carry FILE` applies a fix to the later copies; a copy that it does not fit stays unchanged."""

import subprocess
from pathlib import Path

import pytest

from stages.harness.course import STAGES, stage_folder
from tests.support.stages_copy import StagesCopy

FIXED = "stages/02-resp-reader/reader.py"
LATER = [f"stages/{stage_folder(stage).name}/reader.py" for stage in STAGES[2:]] + ["final/protocol/reader.py"]
OLD, NEW = "MAX_LINE = 64 * 1024", "MAX_LINE = 32 * 1024"


@pytest.fixture
def committed(stages_copy: StagesCopy) -> StagesCopy:
    """Return a copy of the stages with a small final/, all of it committed to git."""
    (stages_copy.folder / "final/protocol").mkdir(parents=True)
    reader = (stages_copy.folder / FIXED).read_text()
    (stages_copy.folder / "final/protocol/reader.py").write_text(
        reader.replace("import re\n", "import re\nimport sys\n")
    )
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for args in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", *args], cwd=stages_copy.folder, check=True)
    return stages_copy


def change(file: Path, old: str = OLD, new: str = NEW) -> str:
    """Change a file; return its new text."""
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    return file.read_text()


def test_a_fix_goes_into_every_later_copy_and_leaves_later_additions_as_they_are(committed: StagesCopy) -> None:
    fixed = change(committed.folder / FIXED)
    status, said = committed.desk("carry", FIXED)
    assert status == 0
    assert said.splitlines() == [f"{file}: carried" for file in LATER]
    assert all((committed.folder / file).read_text() == fixed for file in LATER[:-1])
    grown = (committed.folder / LATER[-1]).read_text()
    assert NEW in grown and "import sys" in grown
    assert committed.desk("carry", FIXED)[1].splitlines() == [f"{file}: has the fix already" for file in LATER]


def test_a_copy_that_differs_where_the_fix_is_stays_as_it_is(committed: StagesCopy) -> None:
    theirs = change(committed.folder / LATER[1], new="MAX_LINE = 99")
    change(committed.folder / FIXED)
    status, said = committed.desk("carry", FIXED)
    assert status == 1
    assert f"{LATER[1]}: not changed" in said and f"{LATER[2]}: carried" in said
    assert (committed.folder / LATER[1]).read_text() == theirs


@pytest.mark.parametrize("file", ["stages/02-resp-reader/test_checkpoint.py", "stages/desk/shared.py", "nothing.py"])
def test_only_a_module_of_a_stage_is_carried(committed: StagesCopy, file: str) -> None:
    status, said = committed.desk("carry", file)
    assert status == 2
    assert "only a module of a stage can be carried" in said


def test_without_a_change_there_is_nothing_to_carry(committed: StagesCopy) -> None:
    status, said = committed.desk("carry", FIXED)
    assert status == 2
    assert "has not changed since the last commit" in said
