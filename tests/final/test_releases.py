"""What an earlier release has written, a log and a snapshot, is loaded as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.oracle import final_server
from tests.support.releases import FOLDER, RELEASES, keys_of, present


@pytest.mark.parametrize("appendonly", ["yes", "no"], ids=["log", "snapshot"])
@pytest.mark.parametrize("release", RELEASES)
def test_the_folder_of_a_release_is_loaded(tmp_path: Path, release: str, appendonly: str) -> None:
    folder = shutil.copytree(FOLDER / release, tmp_path / "folder")
    with final_server("--dir", str(folder), "--appendonly", appendonly) as server:
        assert keys_of(server.connect()) == (folder / "keys.txt").read_text().splitlines()


def test_the_present_release_is_recorded() -> None:
    assert present() in RELEASES, "record it: python3 -m tests.support.releases"
