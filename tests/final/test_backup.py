"""A backup of a server that goes on writing and rewriting its log, made as final/README.md says."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

from tests.support.folders import await_rewrite, info, names, opened
from tests.support.observing import await_true
from tests.support.oracle import final_server


def counted(folder: Path) -> int:
    """Return the value of `n` in the log in a folder."""
    return int(opened(folder).ask("GET n").split()[1])


def test_hard_links_to_the_files_of_a_log_are_a_backup_while_rewrites_are_off(tmp_path: Path) -> None:
    folder, backup = tmp_path / "folder", tmp_path / "backup"
    with final_server("--auto-aof-rewrite-min-size", "1kb", data=folder, appendfsync="everysec") as server:
        client: Any = server.connect()
        writer = server.connect()
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                writer.ask("INCR", "n")

        thread = threading.Thread(target=write)
        thread.start()
        try:
            await_true(lambda: int(info(client)["aof_rewrites"]) > 2, "rewrites")
            client.ask("CONFIG", "SET", "auto-aof-rewrite-percentage", 0)
            await_rewrite(client)
            least = int(client.ask("GET", "n"))
            (backup / "appendonlydir").mkdir(parents=True)
            for path in (folder / "appendonlydir").iterdir():
                os.link(path, backup / "appendonlydir" / path.name)
            shutil.copytree(backup, tmp_path / "copy")
            most = int(client.ask("GET", "n"))
            rewrites = int(info(client)["aof_rewrites"])
            client.ask("CONFIG", "SET", "auto-aof-rewrite-percentage", 100)
            await_true(lambda: int(info(client)["aof_rewrites"]) > rewrites, "another rewrite")
        finally:
            stop.set()
            thread.join()
        server.stop()
        assert server.errors == "", "the links are taken for a change by somebody else"
    assert least <= counted(tmp_path / "copy") <= most
    assert least <= counted(backup)
    assert names(folder) != names(backup)
