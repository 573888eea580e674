"""`python3 -m final.check_aof FILE` reports where a log is damaged, and truncates one that is incomplete at its end.

FILE is the manifest of a log, or one of its files. Output and exit status (0 if the log is valid, also after it was
truncated, else 1) are those of redis-check-aof 7.0, except that:

- a log is not valid if this server would not load it: a number that no server writes (`*03`), a damaged EXEC, a length
  that is damaged and so makes complete requests part of an argument, an unknown type in a snapshot, a manifest that may
  have lost a line;
- for a snapshot (RDB), it reports only whether it is valid, and if not, the offset and the reason, in its own words;
- a syntax error in a manifest is reported in one line, and `--fix` may also follow FILE;
- to truncate a file, it locks the folder, and so refuses while this server uses the folder; `--truncate-to-timestamp`
  truncates before a transaction, not inside it;
- if the file ends inside a header, it prints `00` for the bytes that are missing; redis-check-aof prints memory.
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
    """What may be truncated; by default nothing."""

    fix: bool = False  # truncate the incomplete unit at the end
    until: int = 0  # Unix time in seconds: truncate what was logged after it; 0: do not


@dataclass(frozen=True)
class LogFile:
    """A file of the log: its name in messages, its path, and whether it is the last one; only that may be truncated."""

    name: str
    path: Path
    last: bool = True


@dataclass
class Findings:
    """What was found in one file."""

    whole: int = 0  # bytes up to the end of the last complete unit
    lines: int = 1  # the line where the check ended; like redis-check-aof, counted over all files
    complaint: str = ""
    late: int | None = None  # the offset of the first annotation that is later than `Repair.until`


class Stop(Exception):
    """Raised to end the check with exit status 1. `main` prints the message."""


def main(args: list[str]) -> int:
    """Check the log, and truncate it if an option in `args` says so; return the exit status."""
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
    """Lock the folder of `path` during a `with` block, if `repair` allows truncation. Raises Stop if it is locked."""
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
    """Check the file at `path`; if it is a manifest, check all files that it lists. Raises Stop.

    A file is a manifest if one of its lines begins with `file`.
    """
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
    """Check the files that a manifest lists, then whether it may have lost a line: see `Folder.verify`.

    Raises Stop for the first problem.
    """
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
    """Return whether a file begins with a snapshot. Raises Stop if it cannot be opened."""
    try:
        with open(path, "rb") as file:
            return file.read(8).startswith(MAGIC)
    except OSError as error:
        raise Stop(f"Cannot open file {path}: {error.strerror}, aborting...") from None


def check_file(part: LogFile, repair: Repair, title: str, lines: int = 1) -> int:
    """Check one file, print what was found, and truncate the file if `repair` allows it.

    `lines` is the number of the file's first line. Returns the number of the line after the last one that was checked.
    Raises Stop if the file is not valid, and is not made valid by truncation.
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
    """Check the snapshot that a file begins with; return the offset where it ends. Raises Stop if it is damaged."""
    print(f"[offset 0] Checking RDB file {part.name}")
    try:
        ((_, end, _),) = deque(read_front(part.path), maxlen=1)
    except CorruptLog as error:
        print(f"--- RDB ERROR DETECTED ---\n[offset {error.offset}] {error.reason}")
        raise Stop("RDB preamble of AOF file is not sane, aborting.") from None
    print(f"[offset {end}] \\o/ RDB looks OK! \\o/\nRDB preamble is OK, proceeding with AOF tail...")
    return end


def examine(path: Path, found: Findings, until: int) -> None:
    """Check the requests of a file from offset `found.whole` on, up to the first error; store the result in `found`.

    `until` is that of `Repair`: the check also ends at the first annotation that is later.
    """
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
        found.lines += 3  # the lines up to the wrong argument
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
    """Return whether a transaction is open after the request `args`; `inside`: whether one was open before it.

    Raises FormatError for MULTI in a transaction, EXEC outside one, and a request before which EXEC is missing.
    """
    name = args[0].upper()
    place = start + len(b"*%d\r\n$%d\r\n" % (len(args), len(name)))
    if name == (b"MULTI" if inside else b"EXEC"):
        raise FormatError(place, f"Unexpected {name.decode()} in AOF {path}")
    if inside and name != b"EXEC" and after_lost_exec(args):
        raise FormatError(place, f"{args[0]!r} found where EXEC is missing")
    return name == b"MULTI" or (inside and name != b"EXEC")


def is_late(path: Path, start: int, until: int) -> bool:
    """Return whether the annotation at `start` has a timestamp later than `until`. Raises Stop if it is invalid."""
    with open(path, "rb") as file:
        file.seek(start)
        line = file.readline()
    if line.startswith(b"#TS:") and not re.fullmatch(rb"#TS:-?[0-9]+\r\n", line):
        raise Stop("Invalid timestamp annotation")
    return line.startswith(b"#TS:") and int(line[len(b"#TS:") :]) > until


def cut_to_timestamp(part: LogFile, place: int, until: int) -> None:
    """Truncate the file to `place` bytes: the rest was logged later than `until`.

    Raises Stop if nothing would be left, or if the file is not the last one.
    """
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
    """Truncate the file to its first `whole` bytes, the complete units, if the user agrees when asked.

    Raises Stop if `repair` does not allow it, if the file is not the last one, or if the user does not agree.
    """
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
