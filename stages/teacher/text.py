"""Makes text that comes from a submission safe: for a terminal, XML, a spreadsheet, and as the name of a file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

LONGEST_NAME = 180  # bytes; most file systems allow 255
# All but a tab, the end of a line, and what is printed; not what turns the direction of writing around.
UNSAFE = re.compile(
    r"[^\t\n -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    """Return the text with each character that is not safe to print, or not allowed in XML, as Python escapes it."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def cell(text: str) -> str:
    """Return the text of a spreadsheet's cell, with a quote before what would be a formula."""
    return f"'{text}" if text.startswith(tuple("=+-@\t\r'")) else text


def labels(sources: Iterable[Path]) -> dict[str, Path]:
    """Return the submissions by their labels: names that can be printed and made a file's, also without regard to case.

    Bytes that are not UTF-8 are taken as Latin-1. A label that is shortened or taken gets some digits of a hash.
    """
    found: dict[str, Path] = {}
    taken = set()
    for source in sources:
        raw = os.fsencode(source.name)
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            name = raw.decode("latin-1")
        name = printable(name).replace("\n", r"\n").replace("\t", r"\t")
        label = name.encode()[:LONGEST_NAME].decode(errors="ignore")
        if label != name or label.casefold() in taken:
            label += f"~{hashlib.sha256(raw).hexdigest()[:8]}"
        taken.add(label.casefold())
        found[label] = source
    return found
