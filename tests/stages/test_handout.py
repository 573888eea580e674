"""A handout has all that a student needs, and no solution."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stages.desk.manifest import sources
from stages.desk.starter import starter
from stages.harness.course import ROOT, stage_folder
from stages.teacher import handout, leaks
from tests.support.road import each_stage
from tests.support.stages_copy import StagesCopy, environment

each_kind = pytest.mark.parametrize("chain", [False, True], ids=["", "chain"])


def outcomes(folder: Path, *args: str) -> tuple[int, list[bool]]:
    """Run the handout's checkpoint without this repository; return the status, and whether each test passed."""
    apart = {name: value for name, value in environment().items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=results.xml", *args]
    done = subprocess.run(command, cwd=folder, env=apart, capture_output=True, text=True)
    cases = ElementTree.parse(folder / "results.xml").iter("testcase")
    return done.returncode, [not [each for each in case if each.tag in ("failure", "error")] for case in cases]


@each_kind
@each_stage
def test_no_body_that_a_student_writes_is_in_it(stage: int, chain: bool, tmp_path: Path) -> None:
    secret = leaks.bodies(stage)
    assert secret
    handout.lay_out(stage, tmp_path / "task", chain)
    assert leaks.leaks(tmp_path / "task", secret) == []
    if chain:
        assert leaks.leaks(tmp_path / "task", handout.secret(stage, chain)) == []


@each_stage
def test_a_body_in_the_reference_is_found(stage: int) -> None:
    secret = leaks.bodies(stage)
    assert {line.split(": ", 1)[1] for line in leaks.leaks(stage_folder(stage), secret)} == set(secret)


@each_kind
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_it_asks_for_start_only_if_there_is_no_work(stage: int, chain: bool, tmp_path: Path) -> None:
    handout.lay_out(stage, tmp_path, chain)
    name = stage_folder(stage).name
    cells = json.loads((tmp_path / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    for text in ((tmp_path / "stages" / name / "README.md").read_text(), *("".join(each["source"]) for each in cells)):
        assert not re.search("folded solution|a solution, in a folded cell|then the solution", text)
        if (tmp_path / "work").exists():
            assert "stages start" not in text
    assert (tmp_path / "work").exists() == (stage == 1 or not chain)
    everything = "\n".join(path.read_text() for path in (tmp_path / "stages" / name).glob("*.md"))
    assert f"stages check {stage:02}" in everything


@pytest.mark.parametrize("file", ["notes.py", "notes.md", "notes.ipynb"])
def test_a_body_is_found_in_any_layout(file: str, tmp_path: Path) -> None:
    text = "class Other:\n        def resembles(self):\n            # my own comment\n            {}\n"
    body = "if (not self.waiting):\n\n                return   None  # really\n            return self.waiting.pop('x')"
    written = text.format(body)
    cell = {"cell_type": "code", "metadata": {}, "source": written.splitlines(True), "outputs": []}
    (tmp_path / file).write_text(json.dumps({"cells": [cell]}) if file.endswith("ipynb") else written)
    ours = leaks.squeezed("if not self.waiting:\n    return None\nreturn self.waiting.pop('x')")
    theirs = leaks.squeezed(body)
    assert leaks.leaks(tmp_path, {"f": {theirs}}) == [f"{file}: f"]
    if file != "notes.md":  # only Python is normalised
        indented = written.replace("class Other:", "if 1:")
        (tmp_path / file).write_text(indented if file.endswith("py") else json.dumps({"cells": [cell]}))
        assert leaks.leaks(tmp_path, {"f": {ours}}) == [f"{file}: f"]


def test_handout_deletes_a_folder_with_a_solution_in_it(stages_copy: StagesCopy, tmp_path: Path) -> None:
    checkpoint = stages_copy.folder / "stages/03-writer/test_checkpoint.py"
    reference = sources(stage_folder(3))["writer.py"]
    checkpoint.write_text(checkpoint.read_text() + "\nSOLUTION = '''\n" + reference.replace("'''", "") + "'''\n")
    shutil.copy(ROOT / "LICENSE", stages_copy.folder)
    (stages_copy.folder / "notebooks").symlink_to(ROOT / "notebooks")
    status, said = stages_copy.desk("handout", "03", "--out", str(tmp_path / "task"))
    assert status == 2
    assert "stages/03-writer/test_checkpoint.py: 03-writer/writer.py: encode" in said
    assert not (tmp_path / "task").exists()


def test_no_file_is_overwritten(stages_copy: StagesCopy, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    assert stages_copy.desk("handout", "03", "--out", str(tmp_path))[0] == 2
    assert "is not empty" in stages_copy.desk("handout", "03", "--out", str(tmp_path))[1]


def test_it_has_the_task_and_nothing_of_later_stages(tmp_path: Path) -> None:
    handout.lay_out(3, tmp_path, chain=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "LICENSE", "README.md", "conftest.py", "notebooks", "pyproject.toml", "requirements.txt", "stages", "work"
    ]  # fmt: skip
    stages = sorted(path.name for path in (tmp_path / "stages").iterdir() if re.match(r"\d\d-", path.name))
    assert stages == ["01-echo-server", "02-resp-reader", "03-writer"]
    for earlier in (1, 2):
        assert sources(tmp_path / "stages" / stage_folder(earlier).name) == sources(stage_folder(earlier))
    assert sources(tmp_path / "work") == starter(3)
    assert sorted(path.name for path in (tmp_path / "notebooks").glob("*.ipynb")) == ["03-writer.ipynb"]
    readme = (tmp_path / "README.md").read_text()
    assert "You can get 100 points" in readme and "`encode`" in readme and "## Hand in" in readme
    assert "python3 -m stages check 03 -x" in readme


def test_its_page_says_which_functions_are_done() -> None:
    page = handout.readme(4, has_work=True)
    assert "`client` (done: its body is that of stage 03)" in page
    assert "- in `server.py`: `Connection.data_received`\n" in page
    assert "done:" not in handout.readme(1, has_work=True)


def test_its_notebook_has_no_solutions_and_no_outputs(tmp_path: Path) -> None:
    handout.lay_out(2, tmp_path, chain=False)
    cells = json.loads((tmp_path / "notebooks/02-resp-reader.ipynb").read_text())["cells"]
    assert len(cells) > 50
    assert not any("solution" in cell["metadata"].get("tags", ()) for cell in cells)
    assert not any("git clone" in "".join(cell["source"]) for cell in cells), "the repository has the solutions"
    assert not any(cell.get("outputs") for cell in cells)


@each_stage
def test_it_has_the_pictures_that_its_pages_show(stage: int, tmp_path: Path) -> None:
    handout.lay_out(stage, tmp_path, chain=False)
    folder = stage_folder(stage).name
    for page in (tmp_path / f"stages/{folder}/README.md", tmp_path / f"notebooks/{folder}.ipynb"):
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            assert (page.parent / picture).is_file(), f"{page.name}: {picture}"


@each_kind
@each_stage
def test_every_link_in_it_leads_to_a_file_that_it_has(stage: int, chain: bool, tmp_path: Path) -> None:
    handout.lay_out(stage, tmp_path, chain)
    text = {page: page.read_text() for page in tmp_path.rglob("*.md")}
    for page in tmp_path.rglob("*.ipynb"):
        found = json.loads(page.read_text())["cells"]
        text[page] = "\n".join("".join(cell["source"]) for cell in found if cell["cell_type"] == "markdown")
    links = [(page, link) for page in text for link in re.findall(r"\]\((?!http)([^)\s#]+)[^)\s]*\)", text[page])]
    assert len(links) > 3
    dead = [(page.name, link) for page, link in links if not (page.parent / link).exists()]
    assert dead == []


@each_kind
@each_stage
def test_its_pages_name_servers_that_are_written_and_say_what_is_elsewhere(
    stage: int, chain: bool, tmp_path: Path
) -> None:
    handout.lay_out(stage, tmp_path, chain)
    for page in (tmp_path / "stages").glob("*/README.md"):
        text, unwritten = page.read_text(), chain or page.parent.name == stage_folder(stage).name
        assert not re.search(r"a\s+handout\s+has\s+only", text)
        assert (f"stages/{page.parent.name}/server.py" in text) == (not unwritten)
        assert "python3 work/server.py" in text, text
        assert not unwritten or not re.search(r"[Tt]his is the reference|(Start|With)\s+the\s+reference", text)
    cells = json.loads((tmp_path / f"notebooks/{stage_folder(stage).name}.ipynb").read_text())["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    assert not any(re.search(r"otherwise\s+(on\s+)?the\s+reference", text) for text in texts)
    assert not any(re.search(r"experiments\s+alone\s+takes?|goes\s+on\s+with\s+06", text) for text in texts)
    for text in (*texts, (tmp_path / f"stages/{stage_folder(stage).name}/README.md").read_text()):
        assert "`final/`, and its tour are in the course's repository" in text or "final/" not in text


@each_stage
def test_the_code_in_its_notebook_is_unchanged(stage: int, tmp_path: Path) -> None:
    handout.lay_out(stage, tmp_path, chain=False)
    cells = json.loads((tmp_path / f"notebooks/{stage_folder(stage).name}.ipynb").read_text())["cells"]
    before = json.loads((ROOT / f"notebooks/{stage_folder(stage).name}.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code == [
        "".join(cell["source"])
        for cell in before
        if cell["cell_type"] == "code" and handout.LEFT_OUT.isdisjoint(cell["metadata"].get("tags", ()))
    ]


@pytest.mark.parametrize(
    ("stage", "chain"), [(1, False), pytest.param(3, True, marks=pytest.mark.slow)], ids=["01", "03-chain"]
)
def test_its_checkpoint_fails_as_it_comes_and_passes_with_the_reference(
    stage: int, chain: bool, tmp_path: Path
) -> None:
    handout.lay_out(stage, tmp_path, chain)
    work = tmp_path / "work"
    args = (f"stages/{stage:02}", f"--target={work}", "--patience=0.3", "--maxfail=3")
    if chain and stage > 1:
        assert not work.exists()  # students continue with their own
        shutil.copytree(tmp_path / "stages" / stage_folder(stage).name, work)
    status, passed = outcomes(tmp_path, *args)
    assert status == 1 and passed.count(False) == 3
    for file, text in sources(stage_folder(stage)).items():
        (work / file).write_text(text)
    status, passed = outcomes(tmp_path, *args[:2])
    assert status == 0 and all(passed)


def test_its_desk_leads_from_the_starter_to_handing_in(tmp_path: Path) -> None:
    handout.lay_out(2, tmp_path, chain=False)
    (tmp_path / "stages/02-resp-reader/test_checkpoint.py").write_text(
        "def test_it(modules):\n    '''It is there.'''\n    modules.check('import reader; result = 1', 1)\n"
    )

    def desk(*args: str) -> str:
        command = [sys.executable, "-B", "-m", "stages", *args]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout

    assert desk().endswith("Next, type: python3 -m stages check 02\n")
    assert "1 passed" in desk("check", "02")
    assert "this is what you hand in" in desk()
    assert "+from reader import" in desk("diff", "01", "02")
    assert "grade" not in desk("--help") and "handout" not in desk("--help")


def test_its_diff_shows_no_body_of_the_stage_before_as_new(tmp_path: Path) -> None:
    """In the handout what grows in the last stage has its old body, and the learner may have passed its checks."""
    handout.lay_out(9, tmp_path, chain=False)
    (tmp_path / ".progress.json").write_text(json.dumps({"09": {"passed": 9, "checks": 9}}))
    command = [sys.executable, "-B", "-m", "stages", "diff", "08", "09"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert "+    def touch" in said and "+        raise NotImplementedError" in said
    assert not re.search("^- +raise NotImplementedError", said, re.M)


def test_in_a_chain_students_continue_with_their_own_work(tmp_path: Path) -> None:
    handout.lay_out(3, tmp_path, chain=True)
    command = [sys.executable, "-B", "-m", "stages", "start", "03"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "copy your own work/ of that stage here" in done.stderr
    (tmp_path / "work").mkdir()
    for file, text in sources(stage_folder(2)).items():
        (tmp_path / "work" / file).write_text(text.replace("self._buffer", "self._mine"))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    own = (tmp_path / "work/server.py").read_text()
    assert "self.client = Client(" in own and "print(request, flush=True)" in own  # given in 03; written in 02
    assert (tmp_path / "work/reader.py").read_text().count("self._mine") > 5
    assert (tmp_path / "work/writer.py").read_text() == starter(3)["writer.py"]
    assert not list((tmp_path / "work").glob("*.new"))
