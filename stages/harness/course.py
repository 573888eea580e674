"""The stages by number: the folder of each, and the file by which a program at that stage is recognised."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_NEW = """server.py: reader.py:Reader writer.py:encode store.py:Store aof.py:Log engine.py:Engine blocking.py:Waiting
    sorted_set.py:SortedSet watch.py:Watching pubsub.py:PubSub rewrite.py:Rewriter primary.py:Primary
    replica.py:Replica"""
NEW_FILE, NEW_NAME = (dict(enumerate(each, 1)) for each in zip(*(new.split(":") for new in _NEW.split()), strict=True))
COURSE = 5  # the last stage of the course; from there the road goes on
LAST = 99  # the stage of `final/` and of a real Redis: later than all others


def stage_folder(stage: int) -> Path:
    """Return the folder of a stage. In a handout a stage can be missing: then the path does not exist."""
    return next((ROOT / "stages").glob(f"{stage:02}-*"), ROOT / "stages" / f"{stage:02}")


def has_stage(folder: Path, stage: int) -> bool:
    """Return whether a program at a stage is in the folder: the stage's new file, with the name that it defines.

    A learner may have a file of their own that is called like a later stage's.
    """
    file = folder / NEW_FILE[stage]
    return file.is_file() and NEW_NAME[stage] in file.read_text(errors="replace")


def title(stage: int) -> str:
    """Return the stage's title, made from the name of its folder: `03 writer`."""
    return stage_folder(stage).name.replace("-", " ")


STAGES = [stage for stage in sorted(NEW_FILE) if stage_folder(stage).is_dir()]  # a handout does not have all
TASKS = [stage for stage in STAGES if (stage_folder(stage) / "test_checkpoint.py").exists()]
