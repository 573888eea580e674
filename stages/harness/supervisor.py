"""Runs programs under limits, and kills all processes that they leave behind.

This process forks a supervisor for each program, which is faster than to start Python for it. Requests come through
the socket that is its standard input, with the program's standard output and errors, and CONTROL, a socket to pytest.
Each byte that arrives there is the number of a signal to send to the program. When pytest shuts it down, or ends, the
supervisor stops the program. At the end it writes the program's exit status there, and closes it when nothing is left.
On Linux every orphan among its descendants becomes its child, so that no process escapes by leaving the process group;
on other systems only the group is killed. With a view (namespaces.py) the supervisor is the first process of namespaces
of their own, and all that is in them ends with it.

A program is a command line; or `-` and Python source, which runs with `folder` first on `sys.path`: the literal of what
it names `result` is written to PIPE. Limits are in bytes, 0 for none. With a limit of `processes` all descendants are
counted, `memory` is the limit for all of them together, and with a view their network is their own. `user` is the
number of a user, 0 for the same user.
"""

import contextlib
import ctypes
import faulthandler
import marshal
import os
import resource
import select
import signal
import socket
import sys

sys.path.insert(0, os.path.dirname(__file__))
from namespaces import become, enter  # type: ignore[import-not-found]

del sys.path[0], sys.modules["namespaces"]  # a program may have a module of this name

PIPE, CONTROL = 3, 4  # file descriptors
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAPBSET_DROP = 24
CAPABILITY_VERSION = 0x20080522
COUNT_EVERY = 0.2
# Since then Linux limits the processes in a user namespace, not all of a user.
COUNTS_APART = [int(part) for part in os.uname().release.split("-")[0].split(".")[:2]] >= [5, 14]


def main() -> None:
    """Fork a supervisor for each request and answer with its process id, until pytest ends."""
    requests = socket.socket(fileno=0)
    os.open(os.devnull, os.O_RDONLY)  # number 3: those that are received have higher ones
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for supervisors
    while (received := socket.recv_fds(requests, 4, 4))[0]:
        environment, *how = marshal.loads(requests.recv(int.from_bytes(received[0], "big"), socket.MSG_WAITALL))
        if child := os.fork():
            requests.send(b"%d" % child)
            os.closerange(CONTROL, CONTROL + 4)
            continue
        requests.detach()
        for number, descriptor in enumerate((3, *received[1][1:])):  # the first that is received is CONTROL
            os.dup2(descriptor, number)
        os.closerange(CONTROL + 1, CONTROL + 4)
        os.environ.clear()
        os.environ.update(environment)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.umask(0o022)
        supervise(*how)
        os._exit(0)


def supervise(
    memory: int, file_size: int, processes: int, user: int, view: list[str], folder: str, program: list[str]
) -> None:
    """Start the program, watch it, kill what it leaves behind, report its exit status."""
    if view:
        enter(view, user, processes > 0, CONTROL)
    elif sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        os.close(CONTROL)
        os.setsid()
        limit(0 if processes else memory, file_size)
        if processes and (user or (view and COUNTS_APART)):
            resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
        if user and os.getuid() != user:
            become(user)
        if processes or view:
            disarm()
        os.chdir(folder)
        run(program)
    status = watch(child, processes, memory)
    if not view:
        end_everything(child)
    if status is not None:
        os.write(CONTROL, str(status).encode())


def limit(memory: int, file_size: int) -> None:
    """Limit the memory of this process and of each child, and the size of their files, in bytes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory and sys.platform == "linux":
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        memory = memory if most == resource.RLIM_INFINITY else min(memory, most)
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))


def disarm() -> None:
    """Give up the special rights of root. If the user stays root, it can then no longer open other processes."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        for capability in range(64):  # dropped from the bounding set: for all programs executed from now on
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        libc.capset((ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)())  # … and for this one


def run(program: list[str]) -> None:
    """Replace this process by the program; never returns."""
    if program[0] == "-":
        run_source(program[1])
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


def run_source(source: str) -> None:
    """Run the source and write its `result`; print the traceback of an exception, without the harness's frames."""
    sys.path.insert(0, os.getcwd())
    faulthandler.enable()
    names: dict[str, object] = {"__name__": "the checkpoint"}
    status = 0
    try:
        exec(compile(source, "<the checkpoint>", "exec"), names)
        text = memoryview(repr(names["result"]).encode())
        while text:
            text = text[os.write(PIPE, text) :]
    except BaseException as error:
        import traceback

        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename in (__file__, "<the checkpoint>"):
            trace = trace.tb_next
        print("" if trace else "Traceback (most recent call last):\n", end="", file=sys.stderr)
        traceback.print_exception(type(error), error, trace)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def watch(child: int, processes: int, memory: int) -> int | None:
    """Pass signals on until the program ends; return its exit status.

    Return None when pytest has closed the socket, or when the program is over a limit.
    """
    wakeup, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake)
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        ready, _, _ = select.select([CONTROL, wakeup], [], [], COUNT_EVERY if processes else None)
        if processes and (what := too_much(processes, memory)):
            print(f"ended: {what}", file=sys.stderr, flush=True)
            return None
        if wakeup in ready:
            os.read(wakeup, 512)
        if CONTROL in ready:
            number = os.read(CONTROL, 1)
            if not number:
                return None
            os.kill(child, number[0])


def end_everything(child: int) -> None:
    """Kill the program's process group, then all descendants of this process, until there is none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        for pid in descendants(os.getpid()) or [child]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.waitpid(-1, 0)


def too_much(processes: int, memory: int) -> str:
    """Count the descendants of this process and add up their memory; return which limit is exceeded, "" for none."""
    found = descendants(os.getpid())
    if len(found) > processes:
        return f"more than {processes} processes"
    if memory and sum(found.values()) * resource.getpagesize() > memory:
        return f"more than {memory >> 20} MB of memory in all"
    return ""


def descendants(ancestor: int) -> dict[int, int]:
    """Return the descendants of a process, zombies included: process id -> pages in memory. Linux only."""
    everyone = []
    for name in filter(str.isdecimal, os.listdir("/proc") if sys.platform == "linux" else ()):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # it may just have ended
            fields = file.read().rpartition(b")")[2].split()
            everyone.append((int(name), int(fields[1]), int(fields[21])))
    family, found = [ancestor], dict[int, int]()
    for parent in family:
        own = {pid: pages for pid, its_parent, pages in everyone if its_parent == parent}
        found |= own
        family += own
    return found


if __name__ == "__main__":
    main()
