"""`python3 -m final.check_aof FILE` reports where a log is damaged, and truncates one that is incomplete at its end.

FILE is the manifest of a log, or one of its files. Output and exit status (0 if the log is valid, also after it was
truncated, else 1) are those of redis-check-aof 7.0, except that:

- what this server would not load is not valid: a number that no server writes (`*03`), a damaged EXEC, a length whose
  damage hides complete requests, an unknown type in a snapshot, a manifest that may have lost a line;
- of a snapshot (RDB) it says only whether it is valid, and if not, where, with messages of its own;
- a manifest with a syntax error is reported in one line, and `--fix` may also follow FILE;
- to truncate, it takes the folder's lock, so it refuses while this server uses the folder; `--truncate-to-timestamp`
  truncates before a transaction, not inside it;
- where the end of the file cuts off a header, it prints `00` for the missing bytes, not what is in memory there.
"""

import os
import re
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .check_messages import FormatError, RequestChecker
from .folder import Folder
from .manifest import parse
from .rdb.read import MAGIC
from .read import CorruptLog, after_lost_exec, read_front, read_requests

USAGE = "Usage: {} [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>"


@dataclass(frozen=True)
class Repair:
    """How to change the file; by default, not at all."""

    fix: bool = False  # truncate an incomplete end
    until: int = 0  # truncate what was logged after this second since 1970; 0: do not


@dataclass(frozen=True)
class LogFile:
    """One file: its name in messages, its path, and whether it is the last one, and so may be truncated."""

    name: str
    path: Path
    last: bool = True


@dataclass
class Findings:
    """What was found in one file."""

    whole: int = 0  # bytes up to the end of the last complete unit
    lines: int = 1  # the line where we stopped; redis-check-aof does not restart the count for the next file
    complaint: str = ""
    late: int | None = None  # the offset of the first annotation that is later than `Repair.until`


class Stop(Exception):
    """Ends the check with exit status 1; the message says why."""


def main(args: list[str]) -> int:
    """Check, and truncate if `args` ask for it; return the exit status."""
    try:
        path, repair = parse_arguments(args)
        with locked(path, repair):
            check(path, repair)
    except Stop as error:
        print(error)
        return 1
    return 0


def parse_arguments(args: list[str]) -> tuple[Path, Repair]:
    """Parse the command line. Raises Stop."""
    match args:
        case ["--fix", name] | [name, "--fix"]:
            return Path(name), Repair(fix=True)
        case ["--truncate-to-timestamp", until, name]:
            if not re.fullmatch("[+-]?[0-9]+", until):
                raise Stop("Invalid timestamp, aborting...")
            return Path(name), Repair(until=int(until))
        case [name]:
            return Path(name), Repair()
    raise Stop(USAGE.format("python3 -m final.check_aof"))


@contextmanager
def locked(path: Path, repair: Repair) -> Iterator[None]:
    """Lock the folder of a file, if the file may be changed. Raises Stop."""
    folder = Folder(path.parent, path.name)
    if path.exists() and (repair.fix or repair.until):
        try:
            folder.lock()
        except OSError as error:
            raise Stop(f"Cannot change {path}: {error}") from None
    try:
        yield
    finally:
        folder.leave()


def check(path: Path, repair: Repair) -> None:
    """Check all files of the manifest at `path`, or the one file."""
    try:
        with open(path, "rb") as file:
            is_manifest = any(line.startswith(b"file") for line in file)
    except IsADirectoryError:
        raise Stop(f"Cannot read file: {path}") from None
    except OSError as error:
        raise Stop(f"Cannot open file {path}: {error.strerror}") from None
    if is_manifest:
        check_all(path, repair)
    else:
        print("Start checking Old-Style AOF")
        check_file(LogFile(str(path), path), repair, "AOF")


def check_all(path: Path, repair: Repair) -> None:
    """Check the files of a manifest, up to the first that is not valid."""
    print("Start checking Multi Part AOF")
    try:
        manifest = parse(path.read_bytes())
    except ValueError as error:
        raise Stop(f"Invalid AOF manifest file format: {error}") from None
    parts = [LogFile(name, path.parent / name, name == manifest.files[-1]) for name in manifest.files]
    lines = 1
    if manifest.base:
        base = parts.pop(0)
        print(f"Start to check BASE AOF ({'RDB' if is_snapshot(base.path) else 'RESP'} format).")
        lines = check_file(base, repair, "BASE AOF")
    if parts:
        print("Start to check INCR files.")
    for part in parts:
        lines = check_file(part, repair, "INCR AOF", lines)
    try:
        Folder(path.parent, path.name.removesuffix(".manifest")).verify(manifest)
    except ValueError as error:
        raise Stop(f"The AOF manifest is not complete: {error}") from None
    print("All AOF files and manifest are valid")


def is_snapshot(path: Path) -> bool:
    """Whether a file begins with a snapshot."""
    try:
        with open(path, "rb") as file:
            return file.read(8).startswith(MAGIC)
    except OSError as error:
        raise Stop(f"Cannot open file {path}: {error.strerror}, aborting...") from None


def check_file(part: LogFile, repair: Repair, title: str, lines: int = 1) -> int:
    """Check one file, report, and truncate it if `repair` says so; return `lines` plus the lines in it.

    Raises Stop if it is not valid then.
    """
    is_rdb = is_snapshot(part.path)
    size = part.path.stat().st_size
    if size == 0:
        print(f"{title} {part.name} is empty")
        return lines
    begin = check_front(part) if is_rdb else 0
    found = Findings(begin, lines)
    examine(part.path, found, repair.until)
    if found.late is not None:
        cut_to_timestamp(part, found.late, repair.until)
        return found.lines
    if found.complaint:
        print(found.complaint)
    torn = size - found.whole
    if repair.until and not torn:
        print(f"Truncate nothing in AOF {part.name} to timestamp {repair.until}")
    else:
        analyzed = f"size={size}, ok_up_to={found.whole}, ok_up_to_line={found.lines}, diff={torn}"
        print(f"AOF analyzed: filename={part.name}, {analyzed}")
    if torn:
        cut(part, size, found.whole, repair)
    else:
        print(f"{title} {part.name} is valid")
    return found.lines


def check_front(part: LogFile) -> int:
    """Check the snapshot that a file begins with; return the offset where it ends."""
    print(f"[offset 0] Checking RDB file {part.name}")
    try:
        ((_, end, _),) = deque(read_front(part.path), maxlen=1)
    except CorruptLog as error:
        print(f"--- RDB ERROR DETECTED ---\n[offset {error.offset}] {error.reason}")
        raise Stop("RDB preamble of AOF file is not sane, aborting.") from None
    print(f"[offset {end}] \\o/ RDB looks OK! \\o/\nRDB preamble is OK, proceeding with AOF tail...")
    return end


def examine(path: Path, found: Findings, until: int) -> None:
    """Check the requests of a file from `found.whole` on, up to the first that is wrong; complete `found`."""
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
    except FormatError as error:
        found.complaint = str(error)
        found.lines += 3  # up to the argument that is wrong
        return
    except CorruptLog as error:
        damage = error.reason
    with open(path, "rb") as file:
        checker = RequestChecker(file, place, last)
        found.complaint = checker.complaint(path, inside)
    found.lines += checker.lines
    if damage and (not found.complaint or re.search(r"Expected to read \d+ bytes", found.complaint)):
        found.complaint = f"{found.complaint}\n{FormatError(place, damage)}".lstrip()


def follow(args: list[bytes], inside: bool, path: Path, start: int) -> bool:
    """Whether a transaction is open after this request. Raises FormatError if the request cannot be here."""
    name = args[0].upper()
    place = start + len(b"*%d\r\n$%d\r\n" % (len(args), len(name)))
    if name == (b"MULTI" if inside else b"EXEC"):
        raise FormatError(place, f"Unexpected {name.decode()} in AOF {path}")
    if inside and name != b"EXEC" and after_lost_exec(args):
        raise FormatError(place, f"{args[0]!r} found where EXEC is missing")
    return name == b"MULTI" or (inside and name != b"EXEC")


def is_late(path: Path, start: int, until: int) -> bool:
    """Whether the annotation at `start` has a timestamp after `until`. Raises Stop for an invalid timestamp."""
    with open(path, "rb") as file:
        file.seek(start)
        line = file.readline()
    if line.startswith(b"#TS:") and not re.fullmatch(rb"#TS:-?[0-9]+\r\n", line):
        raise Stop("Invalid timestamp annotation")
    return line.startswith(b"#TS:") and int(line[len(b"#TS:") :]) > until


def cut_to_timestamp(part: LogFile, place: int, until: int) -> None:
    """Truncate the file at `place`, where what is later than `until` begins. Raises Stop if that is not allowed."""
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


def cut(part: LogFile, size: int, whole: int, repair: Repair) -> None:
    """Truncate the file after its last complete unit, if `repair` and the user say so; else raise Stop."""
    if not repair.fix:
        raise Stop(f"AOF {part.name} is not valid. Use the --fix option to try fixing it.")
    if not part.last:
        raise Stop(f"Failed to truncate AOF {part.name} because it is not the last file")
    print(f"This will shrink the AOF {part.name} from {size} bytes, with {size - whole} bytes, to {whole} bytes")
    print("Continue? [y/N]: ", end="", flush=True)
    if not sys.stdin.readline().lower().startswith("y"):
        raise Stop("Aborting...")
    os.truncate(part.path, whole)
    print(f"Successfully truncated AOF {part.name}")
