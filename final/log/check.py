"""`python3 -m final.check_aof FILE` says where a log is damaged, and cuts it where it is torn. It knows no server.

FILE is the manifest of a log, or one file. What is printed, and the exit status (0 where all is well, or is so after
a cut, else 1), is what redis-check-aof 7.0 says. What is otherwise:

- what this server would not read is not valid here: a number that is not written as a server writes it (`*03`), EXEC
  that has become another word, a length whose damage hides complete requests, an unknown type in a snapshot, a
  manifest that may have lost a line;
- of a snapshot (RDB) it says only whether it is right, and where it is not, in its own words;
- a manifest that is none is told in one line, and `--fix` may stand behind FILE too;
- to cut, it takes the folder's lock, so it refuses while this server is at work there; `--truncate-to-timestamp`
  cuts before a transaction, not inside it;
- where the end of the file cuts off a header, `00` stands for what is not there, not what happened to be in memory.
"""

import os
import re
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .check_words import Look, Wrong
from .folder import Folder
from .manifest import parse
from .rdb.read import MAGIC
from .read import CorruptLog, after_lost_exec, read_front, read_requests

USAGE = "Usage: {} [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>"


@dataclass(frozen=True)
class Wishes:
    """What is to be done beside looking."""

    fix: bool = False
    until: int = 0  # cut what was logged after this second since 1970; 0: do not


@dataclass(frozen=True)
class Part:
    """One file: what to call it, where it is, and whether none follows it, so that it may be cut."""

    name: str
    path: Path
    last: bool = True


@dataclass
class Findings:
    """What was found in one file."""

    whole: int = 0  # bytes up to the end of the last complete unit
    lines: int = 1  # the line where we stopped; redis-check-aof counts on from one file to the next
    complaint: str = ""
    late: int | None = None  # the place of the first remark that is later than what is wished for


class Stop(Exception):
    """There is nothing more to do: the message says why. The exit status is 1."""


def main(args: list[str]) -> int:
    """Check, and cut if that is wished; give the exit status."""
    try:
        path, wishes = understand(args)
        with locked(path, wishes):
            check(path, wishes)
    except Stop as error:
        print(error)
        return 1
    return 0


def understand(args: list[str]) -> tuple[Path, Wishes]:
    """Read the command line."""
    match args:
        case ["--fix", name] | [name, "--fix"]:
            return Path(name), Wishes(fix=True)
        case ["--truncate-to-timestamp", until, name]:
            if not re.fullmatch("[+-]?[0-9]+", until):
                raise Stop("Invalid timestamp, aborting...")
            return Path(name), Wishes(until=int(until))
        case [name]:
            return Path(name), Wishes()
    raise Stop(USAGE.format("python3 -m final.check_aof"))


@contextmanager
def locked(path: Path, wishes: Wishes) -> Iterator[None]:
    """Have the folder of a file to ourselves, where something may be changed."""
    folder = Folder(path.parent, path.name)
    if path.exists() and (wishes.fix or wishes.until):
        try:
            folder.lock()
        except OSError as error:
            raise Stop(f"Cannot change {path}: {error}") from None
    try:
        yield
    finally:
        folder.leave()


def check(path: Path, wishes: Wishes) -> None:
    """Check what stands at a path: all files of a manifest, or the one file."""
    try:
        with open(path, "rb") as file:
            is_manifest = any(line.startswith(b"file") for line in file)
    except IsADirectoryError:
        raise Stop(f"Cannot read file: {path}") from None
    except OSError as error:
        raise Stop(f"Cannot open file {path}: {error.strerror}") from None
    if is_manifest:
        check_all(path, wishes)
    else:
        print("Start checking Old-Style AOF")
        check_part(Part(str(path), path), wishes, "AOF")


def check_all(path: Path, wishes: Wishes) -> None:
    """Check the files of a manifest, up to the first that is not right."""
    print("Start checking Multi Part AOF")
    try:
        manifest = parse(path.read_bytes())
    except ValueError as error:
        raise Stop(f"Invalid AOF manifest file format: {error}") from None
    parts = [Part(name, path.parent / name, name == manifest.files[-1]) for name in manifest.files]
    lines = 1
    if manifest.base:
        base = parts.pop(0)
        print(f"Start to check BASE AOF ({'RDB' if is_snapshot(base.path) else 'RESP'} format).")
        lines = check_part(base, wishes, "BASE AOF")
    if parts:
        print("Start to check INCR files.")
    for part in parts:
        lines = check_part(part, wishes, "INCR AOF", lines)
    try:
        Folder(path.parent, path.name.removesuffix(".manifest")).prove(manifest)
    except ValueError as error:
        raise Stop(f"The AOF manifest is not whole: {error}") from None
    print("All AOF files and manifest are valid")


def is_snapshot(path: Path) -> bool:
    """Whether a file begins as a snapshot does."""
    try:
        with open(path, "rb") as file:
            return file.read(8).startswith(MAGIC)
    except OSError as error:
        raise Stop(f"Cannot open file {path}: {error.strerror}, aborting...") from None


def check_part(part: Part, wishes: Wishes, title: str, lines: int = 1) -> int:
    """Check one file, say how it is, and cut it if that is wished; give the line where it ends, counted from `lines`.

    Raises Stop where it is not right then.
    """
    is_rdb = is_snapshot(part.path)
    size = part.path.stat().st_size
    if size == 0:
        print(f"{title} {part.name} is empty")
        return lines
    begin = check_front(part) if is_rdb else 0
    found = Findings(begin, lines)
    examine(part.path, found, wishes.until)
    if found.late is not None:
        cut_to_timestamp(part, found.late, wishes.until)
        return found.lines
    if found.complaint:
        print(found.complaint)
    torn = size - found.whole
    if wishes.until and not torn:
        print(f"Truncate nothing in AOF {part.name} to timestamp {wishes.until}")
    else:
        analyzed = f"size={size}, ok_up_to={found.whole}, ok_up_to_line={found.lines}, diff={torn}"
        print(f"AOF analyzed: filename={part.name}, {analyzed}")
    if torn:
        cut(part, size, found.whole, wishes)
    else:
        print(f"{title} {part.name} is valid")
    return found.lines


def check_front(part: Part) -> int:
    """Check the snapshot that a file begins with; give the place where it ends."""
    print(f"[offset 0] Checking RDB file {part.name}")
    try:
        ((_, end, _),) = deque(read_front(part.path), maxlen=1)
    except CorruptLog as error:
        print(f"--- RDB ERROR DETECTED ---\n[offset {error.offset}] {error.reason}")
        raise Stop("RDB preamble of AOF file is not sane, aborting.") from None
    print(f"[offset {end}] \\o/ RDB looks OK! \\o/\nRDB preamble is OK, proceeding with AOF tail...")
    return end


def examine(path: Path, found: Findings, until: int) -> None:
    """Look at the requests of a file, from what is whole on, up to what is wrong, if anything is."""
    inside, damage = False, ""
    place = last = found.whole
    try:
        for start, place, args in read_requests(path, found.whole):
            last = place - len(args[-1]) - 2 if args else start
            if args:
                inside = follow(args, inside, path, start)
                found.lines += 1 + 2 * len(args)
            elif until and is_late(path, start, until):
                found.late = found.whole if inside else start
                return
            if not inside:
                found.whole = place
    except Wrong as error:
        found.complaint = str(error)
        found.lines += 3  # up to the word that is wrong
        return
    except CorruptLog as error:
        damage = error.reason
    with open(path, "rb") as file:
        look = Look(file, place, last)
        found.complaint = look.complaint(path, inside)
    found.lines += look.lines
    if damage and (not found.complaint or re.search(r"Expected to read \d+ bytes", found.complaint)):
        found.complaint = f"{found.complaint}\n{Wrong(place, damage)}".lstrip()


def follow(args: list[bytes], inside: bool, path: Path, start: int) -> bool:
    """Whether the next request is inside a transaction, after this one. Raises Wrong where this one cannot be here."""
    name = args[0].upper()
    place = start + len(b"*%d\r\n$%d\r\n" % (len(args), len(name)))
    if name == (b"MULTI" if inside else b"EXEC"):
        raise Wrong(place, f"Unexpected {name.decode()} in AOF {path}")
    if inside and name != b"EXEC" and after_lost_exec(args):
        raise Wrong(place, f"{args[0]!r} stands where EXEC is missing")
    return name == b"MULTI" or (inside and name != b"EXEC")


def is_late(path: Path, start: int, until: int) -> bool:
    """Whether the remark at a place says a time after this one."""
    with open(path, "rb") as file:
        file.seek(start)
        line = file.readline()
    if line.startswith(b"#TS:") and not re.fullmatch(rb"#TS:-?[0-9]+\r\n", line):
        raise Stop("Invalid timestamp annotation")
    return line.startswith(b"#TS:") and int(line[len(b"#TS:") :]) > until


def cut_to_timestamp(part: Part, place: int, until: int) -> None:
    """Cut what is later than the timestamp, from a place on. Raises Stop where that must not be."""
    if place == 0:
        raise Stop(f"AOF {part.path} has nothing before timestamp {until}, aborting...")
    if not part.last:
        raise Stop(
            f"Failed to truncate AOF {part.path} to timestamp {until} to offset {place} because it is not the "
            "last file.\nIf you insist, please delete all files after this file according to the manifest file and "
            "delete the corresponding records in manifest file manually. Then re-run redis-check-aof."
        )
    os.truncate(part.path, place)
    print(f"Successfully truncated AOF {part.name} to timestamp {until}")


def cut(part: Part, size: int, whole: int, wishes: Wishes) -> None:
    """Cut what follows the last complete unit, if that is wished, possible, and answered with yes; else Stop."""
    if not wishes.fix:
        raise Stop(f"AOF {part.name} is not valid. Use the --fix option to try fixing it.")
    if not part.last:
        raise Stop(f"Failed to truncate AOF {part.name} because it is not the last file")
    print(f"This will shrink the AOF {part.name} from {size} bytes, with {size - whole} bytes, to {whole} bytes")
    print("Continue? [y/N]: ", end="", flush=True)
    if not sys.stdin.readline().lower().startswith("y"):
        raise Stop("Aborting...")
    os.truncate(part.path, whole)
    print(f"Successfully truncated AOF {part.name}")
