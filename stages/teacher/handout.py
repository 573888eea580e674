"""Write the folder that students start from: starter, checkpoint, notebook; no solution, no later stage."""

from __future__ import annotations

import argparse
import ast
import json
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

from stages.desk.manifest import Row, Sources, below_docstring, functions, read, sources
from stages.desk.shared import Complaint, check_new, stage_number
from stages.desk.starter import hidden, starter, write
from stages.harness.course import ROOT, STAGES, stage_folder, title
from stages.teacher import leaks

PACKAGES = ("harness", "desk")  # what students need of the machinery
NOT_HANDED_OUT = shutil.ignore_patterns("__pycache__", "solution.py")
LEFT_OUT = {"solution", "setup"}  # tags of cells; `setup` gets the repository, which has the solutions
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)\s#]+)[^)\s]*\)")  # not of a picture
WRITTEN = {  # in a page whose server is the reference; a space stands for a line break, too
    r"(; | \()a handout has only that one\)?": "",
}
UNWRITTEN = {  # in a page whose server is not written in the handout: the one in work/ is meant
    r"This is the reference\. Your own is (`[^`]+`); a handout has only that one\.": "This is your own server, "
    "when you have written every step. Before that, it may end with a `NotImplementedError`.",
    r"the reference, `[^`]+`(, in another terminal)?, or (?:with )?your own, (`[^`]+`)": r"your own server, \2\1",
    **WRITTEN,
}
IN_NOTEBOOKS = {  # work/ is there
    r"; reading and running the experiments alone takes half an hour": "",  # they run on what is not written yet
    r"The road goes on with \[06 [^\]]+\]\([^)]*\), which you build on the same server\. Where it": "Where the road",
    r"Between an exercise and its check is a solution,[^.]*\. It only runs[^.]*\.": "",
    r"then `work/server\.py`, then the solution\.": "then `work/server.py`.",
    r",? if (there is|you have) \w+[,;] otherwise (on )?the reference[,;] (and )?its last line says (so|which)": "",
}
STARTED = {  # in a notebook, if the starter is in work/
    r"In a terminal, in the folder of the repository, `python3 -m stages start \d\d` (?:makes `work/server.py`, in "
    r"which the same five steps are to be written|\([^)]*\) merges the stage into your `work/`), and "
    r"(`[^`]+`) checks it\.": r"The starter is in `work/` already. In a terminal, in this folder, \1 checks it.",
}
START = re.compile(r"^python3 -m stages start .*\n", re.MULTILINE)  # in a block of commands
FINAL = re.compile(r"\bfinal/|\]\([^)]*final-tour")
ELSEWHERE = "*The complete server, `final/`, and its tour are in the course's repository, not in this handout.*"
NEEDED = ("pytest", "pytest-timeout", "redis", "jupyter", "nbval", "matplotlib")

README = """# {title}

{task}

## What you write

{write}

Each function has a docstring that says what it should do. [The stage's README](stages/{folder}/README.md) explains the
stage, and the notebook [{folder}.ipynb](notebooks/{folder}.ipynb) goes through it step by step.

## Begin

```
python3 -m venv .venv && .venv/bin/python -m pip install -r requirements.txt
. .venv/bin/activate
{begin}
jupyter lab notebooks/{folder}.ipynb
```

The first line takes a minute or two. Write in `work/`: that is what you hand in, and what the experiments run on. A
cell is for trying out: copy to `work/` what works in it. `python3 work/server.py --port 6380` runs your server by
itself.

## Check

```
python3 -m stages check {stage:02}       which steps have passed, what is wrong, and where to read on
python3 -m stages check {stage:02} 2     only the checks of step 2
python3 -m stages check {stage:02} -x    only the first check that fails: takes seconds, while much is not written yet
python3 -m stages check --watch  the whole check, whenever you save a file in work/
python3 -m stages hint {stage:02}        one more hint each time
```

You can get 100 points. The table *An order to write in* in [the stage's README](stages/{folder}/README.md) has the
steps and the points of each; the checks of a step share its points. No point needs a Redis on your machine.

## Hand in

The folder `work/`, as a zip file: `python3 -m zipfile -c work.zip work/`. It may have a `__pycache__`,
which is not looked at. Do not hand in tests: you are graded with the original ones.
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the stage, the folder and the option."""
    parser.add_argument("stage", type=stage_number, help="the stage that is the task")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write, new or empty")
    parser.add_argument(
        "--chain", action="store_true", help="leave out earlier solutions too: students build on their own"
    )


def run(options: argparse.Namespace) -> int:
    """Write the folder; delete it and raise Complaint when a solution is found in it."""
    folder: Path = options.out
    check_new(folder)
    lay_out(options.stage, folder, options.chain)
    found = leaks.leaks(folder, secret(options.stage, options.chain))
    if found:
        shutil.rmtree(folder)
        raise Complaint("nothing was written, because these solutions would be in it:\n" + "\n".join(found))
    print(f"{folder} has the task of stage {title(options.stage)}; begin with its README.md")
    return 0


def secret(stage: int, chain: bool) -> leaks.Bodies:
    """Return the solutions that the handout must not have; with `chain` also those of earlier stages.

    A function that this stage gives is not a secret of an earlier stage.
    """
    found = leaks.bodies(stage)
    for earlier in (each for each in STAGES if each < stage and chain):
        found |= leaks.bodies(earlier, but={name for each in read(stage_folder(stage)) for name in each.given})
    return found


def lay_out(stage: int, folder: Path, chain: bool) -> None:
    """Write the handout of a stage into a folder; with `chain` without the solutions of earlier stages."""
    files = hidden(stage) if chain else starter(stage)
    desk = folder / "stages"
    (folder / "notebooks").mkdir(parents=True)
    desk.mkdir()
    for name in ("conftest.py", "pyproject.toml", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    for name in ("__init__.py", "__main__.py"):
        shutil.copy(ROOT / "stages" / name, desk)
    for name in PACKAGES:
        shutil.copytree(ROOT / "stages" / name, desk / name, ignore=NOT_HANDED_OUT)
    for earlier in (each for each in STAGES if each < stage and (each == stage - 1 or not chain)):
        copy = desk / stage_folder(earlier).name
        # `start` merges with it as base
        write(hidden(earlier, given=False) if chain else sources(stage_folder(earlier)), copy)
        shutil.copy(stage_folder(earlier) / "README.md", copy)
    task = desk / stage_folder(stage).name
    write(files, task)
    for name in ("README.md", "test_checkpoint.py"):
        shutil.copy(stage_folder(stage) / name, task)
    if stage == 1 or not chain:
        write(files, folder / "work")
    if (ROOT / "notebooks").exists():  # Gradescope has none
        phrases = IN_NOTEBOOKS | (STARTED if (folder / "work").exists() else {})
        copy_notebook(f"{task.name}.ipynb", folder / "notebooks", phrases)
    lines = (ROOT / "requirements.txt").read_text().splitlines(keepends=True)
    (folder / "requirements.txt").write_text("".join(line for line in lines if line.partition(">=")[0] in NEEDED))
    (folder / "README.md").write_text(readme(stage, has_work=(folder / "work").exists()))
    for page in folder.rglob("*.md"):
        page.write_text(unlinked(page.read_text(), page.parent))
    for page in desk.rglob("README.md"):
        text = about_servers(page.read_text(), page.parent)
        page.write_text(START.sub("", text) if (folder / "work").exists() else text)


def copy_notebook(name: str, folder: Path, phrases: dict[str, str]) -> None:
    """Copy a stage's notebook, reworded, without outputs and the cells of LEFT_OUT, and what notebooks share."""
    shutil.copy(ROOT / "notebooks" / "conftest.py", folder)
    for part in ("shared", "pictures"):
        shutil.copytree(ROOT / "notebooks" / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    book = json.loads((ROOT / "notebooks" / name).read_text())
    book["cells"] = [cell for cell in book["cells"] if LEFT_OUT.isdisjoint(cell["metadata"].get("tags", ()))]
    for cell in book["cells"]:
        if cell["cell_type"] == "code":  # nearly all outputs come from running the solution
            cell |= {"outputs": [], "execution_count": None}
        else:
            text = reworded("".join(cell["source"]), phrases)
            cell["source"] = unlinked(text, folder).splitlines(keepends=True)
    (folder / name).write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n")


def unlinked(text: str, folder: Path) -> str:
    """Leave only the text of each link to a file that the handout does not have; say where final/ is, if need be."""
    more = f"\n\n{ELSEWHERE}\n" if FINAL.search(text) else ""
    kept = LINK.sub(lambda link: link[0] if (folder / link[2]).exists() else link[1], text)
    return kept.rstrip("\n") + more if more else kept


def about_servers(text: str, folder: Path) -> str:
    """Return a stage's page, with the learner's own server in place of one that the handout has without its bodies."""
    if not any("raise NotImplementedError" in each for each in sources(folder).values()):
        return reworded(text, WRITTEN)
    return reworded(text, UNWRITTEN).replace(f"stages/{folder.name}/server.py", "work/server.py")


def reworded(text: str, phrases: dict[str, str]) -> str:
    """Replace each phrase, a regular expression; a space in it is any white space. Fill the paragraphs that change."""
    paragraphs = text.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        new = paragraph
        for phrase, other in phrases.items():
            new = re.sub(phrase.replace(" ", r"\s+"), other, new)
        if new != paragraph:
            new = re.sub(r"`[^`]+`", lambda code: "\0".join(code[0].split()), new)  # is not cut
            new = textwrap.fill(new, 120, break_long_words=False, break_on_hyphens=False).replace("\0", " ")
            paragraphs[number] = new
    return "\n\n".join(paragraphs)


def named(stage: int, row: Row) -> Iterator[str]:
    """Yield what a row has the learner write; a function whose body stays that of the stage before is done."""
    now, before = sources(stage_folder(stage)), sources(stage_folder(stage - 1)) if stage > 1 else {}
    for name in row.write:
        file, old = row.origin(name)
        new, there = body(now, row.file, name), body(before, file, old)
        yield f"`{name}` (done: its body is that of stage {stage - 1:02})" if new and new == there else f"`{name}`"


def body(files: Sources, file: str, name: str) -> list[str]:
    """Return the statements of a function, without its docstring; none if it is not there."""
    node = dict(functions(files.get(file, ""))).get(name)
    return [ast.unparse(each) for each in below_docstring(node)] if node else []


def readme(stage: int, has_work: bool) -> str:
    """Return the README: what the task is, how to check and to hand in."""
    text = (stage_folder(stage) / "README.md").read_text()
    rows: list[Row] = [each for each in read(stage_folder(stage)) if each.write]
    begin = "# the starter is in work/ already"
    if not has_work:
        begin = f"# copy your own work/ of the stage before here, then type:\npython3 -m stages start {stage:02}"
    return README.format(
        title=text.splitlines()[0].removeprefix("# "),
        task=text.split("\n\n")[1],
        write="\n".join(f"- in `{each.file}`: {', '.join(named(stage, each))}" for each in rows),
        folder=stage_folder(stage).name,
        stage=stage,
        begin=begin,
    )
