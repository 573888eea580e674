"""The animated terminal in README.md is one that runs today, and a reader who wants no animation sees all of it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.tools.terminal import COMMANDS, PICTURE, record, render

SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_is_that_of_a_run_of_today(tmp_path: Path) -> None:
    if not shutil.which("redis-cli"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no redis-cli on this machine")
    assert render(record(tmp_path)) == PICTURE.read_text(), "write it again: python3 -m tests.tools.terminal"


def test_it_shows_each_command_and_needs_no_animation_for_that() -> None:
    text = PICTURE.read_text()
    shown = [line.text for line in ElementTree.fromstring(text).iter(f"{SVG}text")]
    assert [line for line in shown if line and line.startswith("$ ")] == [f"$ {command}" for command, _ in COMMANDS]
    assert shown[-1] == '"RedisClone"'
    still, _, moving = text.partition("@media (prefers-reduced-motion: no-preference) {")
    assert "animation" not in still
    assert not re.search("opacity|clip-path", still)
    assert "@keyframes" in moving
