"""Draws the Reader of stage 02 at work, byte by byte. `typed` reads bytes that a person types."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from .tables import Page, cell, chip, dissect, printable

Drawn = tuple[str, str]  # the same as HTML and as text


def draw_reader(reader: Any, data: bytes) -> Page:
    """Feed a Reader of stage 02 one byte at a time; draw its attributes after each byte, and what `next` returns."""
    rows = []
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
        answer = repr(reader.next())
        rows.append([part(data, at, at + 1), *remembered(reader, data, at + 1), plain(answer)])
    return drawn_table(["byte", "buffer", "_args", "_missing", "_length", "next() returns"], rows)


def draw_parse(reader: Any, data: bytes, at: int) -> Page:
    """Feed a new Reader of stage 02 the first `at` bytes, one at a time; draw where all bytes are, and its attributes.

    After each byte `next` is called until it returns None; the bytes after a ProtocolError are not fed.
    """
    at = min(at, len(data))
    requests: list[object] = []
    error = ""
    for count in range(1, at + 1):
        reader.feed(data[count - 1 : count])
        try:
            while (args := reader.next()) is not None:
                requests.append(args)
        except Exception as problem:
            if type(problem).__name__ != "ProtocolError":
                raise
            at, error = count, f"raises {type(problem).__name__}: {problem}"
            break
    buffer, args, missing, length = remembered(reader, data, at)
    rows = [
        [plain("taken from the buffer"), part(data, 0, at - len(reader._buffer))],
        [plain("in the buffer"), buffer],
        [plain("not here yet"), part(data, at, len(data))],
        [plain("_args: complete arguments"), args],
        [plain("_missing: arguments to come"), missing],
        [plain("_length: bytes of the next one"), length],
        [plain("next() has returned"), plain(", ".join(map(repr, requests)) or "nothing yet")],
        [plain("next() now"), plain(error or "returns None")],
    ]
    return drawn_table([f"after {at} of {len(data)} bytes", ""], rows)


def plain(text: str) -> Drawn:
    """Return text as HTML and as text."""
    return html.escape(text), text


def part(data: bytes, start: int, end: int) -> Drawn:
    """Draw the bytes from `start` to `end` of RESP, each in the colour of its kind."""
    kinds = [kind for kind, piece, _ in dissect(data) for _ in piece][start:end]
    runs = itertools.groupby(zip(kinds, data[start:end], strict=True), lambda pair: pair[0])
    return "".join(chip(kind, bytes(b for _, b in run)) for kind, run in runs), printable(data[start:end])


def remembered(reader: Any, data: bytes, at: int) -> list[Drawn]:
    """Draw the attributes of a Reader of stage 02 that has got `at` bytes of `data`: buffer, args, missing, length."""
    args = "".join(chip("payload", arg) for arg in reader._args), str(reader._args)
    length = "" if reader._length is None else str(reader._length)
    return [part(data, at - len(reader._buffer), at), args, plain(str(reader._missing)), plain(length)]


def drawn_table(headings: Sequence[str], rows: Iterable[Sequence[Drawn]]) -> Page:
    """Draw a table of what is drawn already."""
    rows = list(rows)
    markup = "".join(f'<th style="text-align:left">{html.escape(heading)}</th>' for heading in headings)
    lines = [f"<tr>{markup}</tr>", *("<tr>" + "".join(cell(each) for each, _ in row) + "</tr>" for row in rows)]
    text = [" | ".join(headings), *(" | ".join(each for _, each in row) for row in rows)]
    return Page(f"<table>{''.join(lines)}</table>", "\n".join(text))


def typed(text: str) -> bytes:
    r"""Return the bytes that a text with escapes stands for.

    >>> typed(r"*1\r\n\x00")
    b'*1\r\n\x00'
    """
    return text.encode().decode("unicode_escape").encode("latin-1")
