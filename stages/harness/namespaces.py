"""Gives a process and its children namespaces of their own: files, processes, network, shared memory. Linux only.

They see the files of a view and no others, no process but their own, and no network but a loopback. A view is a list
of lines: first the path of an empty folder, on which the new file tree is put together; then for each path one of

    read PATH     what is there can be read
    write PATH    what is there can be read and written
    new PATH      a new folder in memory, in which symbolic links are not followed

A symbolic link stays one. No rights of root are needed where users may make user namespaces.
"""

import ctypes
import os
import resource
import signal
import socket
import struct

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 1 << 17, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, NOSYMFOLLOW, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 256, 4096, 16384, 1 << 18
DETACH, PR_SET_PDEATHSIG, PR_SET_DUMPABLE, SIOCSIFFLAGS, UP = 2, 1, 4, 0x8914, 1
SMALL, LARGE = "mode=0755,size=64m,nr_inodes=20000", "mode=1777,size=256m,nr_inodes=20000"
NOBODY = 65534
DEVICES = ("null", "zero", "full", "random", "urandom")
libc = ctypes.CDLL(None, use_errno=True)


def enter(view: list[str], user: int, network: bool, control: int) -> None:
    """Return in a new process, the first in new namespaces, with all rights in them; its parent ends when it ends.

    It keeps only `control` open, which so is closed when all in there has ended. With `network` the network is new,
    too. Who is not root, or may not make namespaces, makes a user namespace; root first becomes `user`, or is no root
    in there when that is 0.
    """
    flags = NEWNS | NEWUTS | NEWIPC | NEWPID | (NEWNET if network else 0)
    if not user or libc.unshare(flags):
        if user:
            become(user)
            call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)  # it may write its maps
        own, group = os.getuid(), os.getgid()
        call("unshare", flags | NEWUSER)
        maps = {"uid_map": f"{own or NOBODY} {own} 1", "gid_map": f"{group or NOBODY} {group} 1"}
        for name, text in {"setgroups": "deny", **maps}.items():
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    if child := os.fork():
        os.closerange(0, control)
        os.closerange(control + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        os.waitpid(child, 0)
        os._exit(0)
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    put_together(view[0], view[1:], RDONLY * (not network))  # only who starts other programs writes in /proc
    if network:
        with socket.socket() as any_socket:
            libc.ioctl(any_socket.fileno(), SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP))


def become(user: int) -> None:
    """Become another user for good."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def put_together(place: str, view: list[str], proc: int) -> None:
    """Put the file tree of a view together at a place, and make it the only one."""
    mount("", "/", "", REC | PRIVATE)
    mount("tmpfs", place, "tmpfs", NOSUID | NODEV, SMALL)
    for name in ("/dev", "/proc", "/tmp", "/dev/shm", place):
        os.makedirs(place + name, exist_ok=True)
    for name in ("/tmp", "/dev/shm"):
        os.chmod(place + name, 0o1777)
    os.symlink("/proc/self/fd", f"{place}/dev/fd")
    mount("proc", f"{place}/proc", "proc", NOSUID | NODEV | NOEXEC | proc)
    for line in (*view, *(f"write /dev/{name}" for name in DEVICES)):
        kind, path = line.split(" ", 1)
        show(kind, path, place + path)
    os.chdir(place)
    call("pivot_root", b".", b".")
    call("umount2", b".", DETACH)


def show(kind: str, path: str, there: str) -> None:
    """Show a path of the present file tree in the new one, when there is one, and it is in no folder that is shown."""
    if kind == "read" and (os.path.lexists(there) or not os.path.lexists(path)):
        return
    link, file = os.path.islink(path), kind != "new" and not os.path.isdir(path)
    os.makedirs(os.path.dirname(there) if link or file else there, exist_ok=True)
    if kind == "new":
        mount("tmpfs", there, "tmpfs", NOSUID | NODEV | NOSYMFOLLOW, LARGE)
    elif link:
        os.symlink(os.readlink(path), there)
    else:
        if file:
            open(there, "a").close()
        mount(path, there, "", BIND | REC)
        if kind == "read":
            kept = os.statvfs(there).f_flag & (NOSUID | NODEV | NOEXEC)
            mount("", there, "", BIND | REMOUNT | RDONLY | kept)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Call mount(2)."""
    call("mount", *(os.fsencode(text) for text in (source, target, kind)), flags, data.encode())


def call(name: str, *args: object) -> None:
    """Call a function of the C library; raise OSError when it fails."""
    if getattr(libc, name)(*args):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
