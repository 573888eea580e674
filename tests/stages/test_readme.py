"""A newcomer's first minute: the README and stages/EXERCISES.md are right, and `make learn` opens notebook 01."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from stages.__main__ import parser
from stages.harness.course import ROOT, STAGES, stage_folder
from stages.harness.ports import free_port
from tests.tools.first_cell import address

README, EXERCISES = ROOT / "README.md", ROOT / "stages" / "EXERCISES.md"
PAGES = sorted(
    path
    for folder in (ROOT, ROOT / "final", ROOT / "stages")
    for path in folder.glob("*.md" if folder == ROOT else "**/*.md")
)
SCREEN = 45  # lines of the README's first screen
WIDTH = 92  # columns of a block of code that GitHub shows without a scroll bar
BLOCK = re.compile(r"^```.*?\n(.*?)^```", flags=re.M | re.S)
NEEDED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")

page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
newcomers = pytest.mark.parametrize("path", [README, EXERCISES], ids=lambda path: path.name)


@page
def test_blocks_of_code_fit_the_width_of_a_page(path: Path) -> None:
    lines = [line for block in BLOCK.findall(path.read_text()) for line in block.splitlines()]
    assert [line for line in lines if len(line) > WIDTH] == []


@page
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", path.read_text())):
        file, _, anchor = link.partition("#")
        if not re.match(r"https?:", link):
            there = path.parent / file if file else path
            assert there.exists(), link
            assert not anchor or anchor in anchors(there), link


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", path.read_text()), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@newcomers
def test_the_commands_of_the_desk_can_be_typed(path: Path) -> None:
    commands = re.findall(r"python3 -m stages ?([^`\n#]*)", path.read_text())
    assert commands
    for command in filter(None, map(str.strip, commands)):
        parser().parse_args(shlex.split(command))


def test_learning_is_on_the_first_screen() -> None:
    text = README.read_text()
    first = "\n".join(text.splitlines()[:SCREEN])
    assert re.findall(r"^## (.*)$", text, flags=re.M)[0] == "Learn"
    for wanted in ("terminal.svg", "make learn", ".venv/bin/jupyter lab", "start 01", "check 01", "EXERCISES.md"):
        assert wanted in first


def test_the_readme_names_the_python_that_is_required_and_the_targets_of_make() -> None:
    text = README.read_text()
    assert f"Python {NEEDED} or newer" in text
    assert f"version_info < ({NEEDED.replace('.', ', ')})" in (ROOT / "Makefile").read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["python_version"] == NEEDED
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    assert set(re.findall(r"\$ make (\S+)", text)) <= set(targets)


def test_the_time_that_make_test_takes_is_the_same_wherever_it_is_said() -> None:
    texts = [(ROOT / name).read_text() for name in ("README.md", "Makefile", "CONTRIBUTING.md")]
    said = [re.findall(r"about (\d+) minutes on two cores", text) for text in texts]
    assert said[0] and said == [said[0]] * 3


def test_the_pictures_of_the_speed_are_in_speed_md() -> None:
    assert "pictures/speed-" not in README.read_text()
    assert "](pictures/speed-" in (ROOT / "final" / "SPEED.md").read_text()


def test_the_road_on_one_page_has_a_line_and_a_command_for_each_stage() -> None:
    rows = re.findall(
        r"^\| \[(\d\d) .*?\]\((.*?)/README\.md\) \((.*?)\) \| .+ \| `(.*)` \|$", EXERCISES.read_text(), flags=re.M
    )
    for stage, (number, folder, notebook, command) in zip(STAGES, rows, strict=True):
        assert (number, folder) == (f"{stage:02}", stage_folder(stage).name)
        assert notebook == f"[notebook](../notebooks/{folder}.ipynb)"
        assert command == f"python3 -m stages start {number}"


# Where the repository runs


def test_badges_lead_to_the_address_of_the_repository_and_there_are_none_without_one() -> None:
    badges = re.findall(r"https://(?:codespaces\.new|mybinder\.org|colab\.\S+?/github)\S+", README.read_text())
    name = address().removeprefix("https://github.com/")
    assert badges == [] if ".invalid/" in address() else badges and all(name in badge for badge in badges)


def test_containers_have_the_python_and_the_packages_that_are_needed() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    binder = ROOT / ".binder"
    versions = re.findall(r"python[:-](3\.\d+)", container["image"] + " " + (binder / "runtime.txt").read_text())
    assert len(versions) == 2
    assert all(int(version[2:]) >= int(NEEDED[2:]) for version in versions)
    assert ".binder/apt.txt" in container["onCreateCommand"]
    assert "redis-tools" in (binder / "apt.txt").read_text().split()
    assert (binder / (binder / "requirements.txt").read_text().split()[1]).resolve() == ROOT / "requirements.txt"
    opened = container["customizations"]["codespaces"]["openFiles"]
    assert opened and all((ROOT / file).exists() for file in opened)


# make learn


@contextmanager
def learn(home: Path) -> Iterator[str]:
    """Run `make learn` in the environment of this test, without a browser; yield the address that it prints."""
    ready = ["-o", ".venv/ready", f"BIN={Path(sys.executable).parent}"]
    environment = {**os.environ, "HOME": str(home), "BROWSER": "true", "JUPYTER_PORT": str(free_port())}
    process = subprocess.Popen(
        ["make", *ready, "learn"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout
        yield next(line.strip() for line in process.stdout if "http://" in line)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_make_learn_serves_the_first_notebook_on_this_machine_only(tmp_path: Path) -> None:
    with learn(tmp_path) as url:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/lab/tree/notebooks/01-echo-server\.ipynb\?token=\w+", url)
        assert "JupyterLab" in get(url)
        assert json.loads(get(url.replace("/lab/tree/", "/api/contents/")))["type"] == "notebook"


def get(url: str) -> str:
    """Return what a server answers; it listens soon after it has printed its address."""
    while True:
        try:
            with urlopen(url) as answer:
                return str(answer.read(), "utf-8")
        except URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.05)
