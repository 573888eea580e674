"""Draws bytes, commands and logs as tables of HTML; a page without HTML shows the same as text."""

from __future__ import annotations

import html
import inspect
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Any

from .colours import BLUE, GREEN, GREY, ORANGE, RED

SIGNS = {
    "*": "array, length {}",
    "$": "bulk string, length {}",
    "%": "map, pairs: {}",
    "~": "set, length {}",
    ">": "push, length {}",
    "|": "attributes, a map, pairs: {}",
    "=": "verbatim string, length {}",
    "+": "simple string",
    "-": "error",
    ":": "integer",
    ",": "double",
    "#": "boolean",
    "(": "big number",
    "_": "null",
}
TINTS = {"header": BLUE, "length": ORANGE, "payload": GREEN, "CRLF": GREY, "other": RED}
LINES = {"header": "solid", "length": "dashed", "payload": "dotted", "CRLF": "none", "other": "double"}  # under a chip


class Page:
    """HTML for Jupyter to show under a cell, and the same as plain text."""

    def __init__(self, markup: str, text: str) -> None:
        self.markup = markup
        self.text = text

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return self.text


def dissect(data: bytes) -> list[tuple[str, bytes, str]]:
    r"""Cut RESP into pieces, (kind, bytes, meaning); `data` may end anywhere. The kinds are the keys of TINTS.

    >>> dissect(b"$4\r\nPI")
    [('length', b'$4', 'bulk string, length 4'), ('CRLF', b'\r\n', ''), ('payload', b'PI', '2 of the 4 bytes')]
    """
    pieces: list[tuple[str, bytes, str]] = []
    while data:
        line, end, data = data.partition(b"\r\n")
        sign, number = line[:1].decode("latin-1"), line[1:].decode("latin-1")
        if sign not in SIGNS:
            pieces.append(("other", line, ""))
        elif sign in "$=":
            pieces.append(("length", line, SIGNS[sign].format(number) if number != "-1" else "null"))
        elif sign in "*%~>|":
            pieces.append(("header", line, SIGNS[sign].format(number) if number != "-1" else "null array"))
        else:
            pieces.append(("payload", line, SIGNS[sign]))
        if end:
            pieces.append(("CRLF", end, ""))
        if end and sign in "$=" and re.fullmatch("[0-9]+", number):
            length = int(number)
            payload, data = data[:length], data[length:]
            meaning = "" if len(payload) == length else f"{len(payload)} of the {length} bytes"
            if payload:
                pieces.append(("payload", payload, meaning))
            if data[:2] == b"\r\n":
                pieces.append(("CRLF", b"\r\n", ""))
                data = data[2:]
    return pieces


def printable(data: bytes) -> str:
    r"""Return bytes as text; bytes that are not printable become escapes such as \r\n and \x00."""
    text = data.decode(errors="backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def chip(kind: str, data: bytes) -> str:
    """Return bytes as HTML, in the colour of their kind, with the line of their kind below."""
    tint, text = TINTS[kind], printable(data)
    wrap = "white-space:nowrap" if len(text) < 16 else "overflow-wrap:anywhere"
    line = f"border-bottom:{4 if LINES[kind] == 'double' else 2}px {LINES[kind]} {tint}"
    style = f"background-color:{tint}33;{line};padding:1px 2px;{wrap}"
    return f'<code style="{style}">{html.escape(text)}</code><wbr>'


def chips(data: bytes) -> str:
    """Return RESP as HTML, each piece with the colour and line of its kind."""
    return "".join(chip(kind, part) for kind, part, _ in dissect(data))


def lines_of(text: str) -> str:
    """Return text as HTML; text of several lines is set in a fixed-width font, as in a terminal."""
    escaped = html.escape(text)
    return f'<pre style="margin:0;background-color:transparent">{escaped}</pre>' if "\n" in text else escaped


def cell(content: str) -> str:
    """Return a table cell with the HTML `content`, aligned to the left: Jupyter's default is the right."""
    return f'<td style="text-align:left;vertical-align:top">{content}</td>'


def show_bytes(data: bytes, title: str = "") -> Page:
    """Draw RESP: first all bytes in one line, then a table with the meaning of each piece."""
    pieces = dissect(data)
    rows, text = "", ""
    for kind, part, meaning in pieces:
        if kind == "CRLF":
            continue
        count = f"{len(part)} byte{'s' if len(part) > 1 else ''}"
        meaning = meaning or (count if kind == "payload" else "an inline request, or not RESP")
        rows += f"<tr>{cell(chip(kind, part))}{cell(kind)}{cell(html.escape(meaning))}</tr>"
        text += f"{printable(part):<24} {kind:<8} {meaning}\n"
    heading = f"<p><b>{html.escape(title)}</b></p>" if title else ""
    return Page(f"{heading}<p>{chips(data)}</p><table>{rows}</table>", f"{title}\n{printable(data)}\n{text}".strip())


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str | bytes]]) -> Page:
    """Draw a table; items that are bytes are drawn as RESP, in colour."""
    markup = "".join(f'<th style="text-align:left">{html.escape(heading)}</th>' for heading in headings)
    markup, text = f"<tr>{markup}</tr>", " | ".join(headings) + "\n"
    for row in rows:
        drawn = [chips(item) if isinstance(item, bytes) else lines_of(item) for item in row]
        markup += "<tr>" + "".join(cell(item) for item in drawn) + "</tr>"
        text += " | ".join(printable(item) if isinstance(item, bytes) else item for item in row) + "\n"
    return Page(f"<table>{markup}</table>", text.rstrip())


def lanes(trace: Iterable[tuple[object, str]], names: Sequence[str]) -> Page:
    """Draw a trace of events, (who, what), with a row for each event and a column for each who.

    `names` are the headings of the columns, in the order in which the whos first appear. Events whose text begins with
    the same word have the same colour.
    """
    events = list(trace)
    order = list(dict.fromkeys(who for who, _ in events))
    tints = dict(zip(dict.fromkeys(what.split()[0] for _, what in events), TINTS, strict=False))
    markup = "<th></th>" + "".join(f'<th style="text-align:left">{html.escape(name)}</th>' for name in names)
    markup, text = f"<tr>{markup}</tr>", " | ".join(["", *names]) + "\n"
    for number, (who, what) in enumerate(events, 1):
        row = [chip(tints[what.split()[0]], what.encode()) if who == each else "" for each in order]
        markup += f"<tr>{cell(f'{number}.')}{''.join(map(cell, row))}</tr>"
        text += " | ".join([f"{number}.", *(what if who == each else "" for each in order)]) + "\n"
    return Page(f"<table>{markup}</table>", text.rstrip())


def command_table(table: dict[bytes, Any]) -> Page:
    """Draw a table of commands: the syntax of each request, and the number of its arguments."""
    markup, text = "", "request | arguments\n"
    for entry in sorted(table.values(), key=lambda entry: entry.name):
        fewest, most = entry.signature.fewest, entry.signature.most
        count = f"{fewest}" if fewest == most else f"{fewest} or more" if most == inf else f"{fewest} to {most}"
        parameters = list(inspect.signature(entry.function).parameters.values())[len(entry.signature.handed) :]
        syntax = [chip("header", entry.name.upper().encode()), *map(parameter_chip, parameters)]
        markup += f"<tr>{cell(' '.join(syntax))}{cell(count)}</tr>"
        text += " ".join([entry.name.upper(), *map(parameter_name, parameters)]) + f" | {count}\n"
    headings = "".join(f'<th style="text-align:left">{title}</th>' for title in ("request", "arguments"))
    return Page(f"<table><tr>{headings}</tr>{markup}</table>", text.rstrip())


def parameter_name(parameter: inspect.Parameter) -> str:
    """Return a parameter as the syntax of a command shows it: optional ones in brackets, integers marked."""
    name = parameter.name.rstrip("_") + (": int" if parameter.annotation is int else "")
    if parameter.kind is parameter.VAR_POSITIONAL:
        return f"[{name} …]"
    return name if parameter.default is parameter.empty else f"[{name}]"


def parameter_chip(parameter: inspect.Parameter) -> str:
    """Return a parameter as HTML: integers with a dashed line, keys with a dotted one."""
    kind = "length" if parameter.annotation is int else "payload" if parameter.name in ("key", "keys") else "CRLF"
    return chip(kind, parameter_name(parameter).encode())


def records(log: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield each complete request of an append-only file with True, then what is left at its end with False."""
    start = position = 0
    while header := re.compile(rb"\*(\d+)\r\n").match(log, position):
        position = header.end()
        for _ in range(int(header[1])):
            length = re.compile(rb"\$(\d+)\r\n").match(log, position)
            position = length.end() + int(length[1]) + 2 if length else len(log) + 1
        if position > len(log):
            break
        yield log[start:position], True
        start = position
    if log[start:]:
        yield log[start:], False


def show_log(log: bytes) -> Page:
    """Draw an append-only file: each request with its offset in bytes; an incomplete request at the end is red."""
    markup, text, offset = "", "", 0
    for record, whole in records(log):
        drawn = "".join(chip(kind if whole else "other", part) for kind, part, _ in dissect(record))
        note = "" if whole else " half a request"
        markup += f"<tr>{cell(str(offset))}{cell(drawn + note)}</tr>"
        text += f"{offset:>6}  {printable(record)}{note}\n"
        offset += len(record)
    return Page(f"<table><tr><th>byte</th><th style='text-align:left'>request</th></tr>{markup}</table>", text.rstrip())


def show_map(log: bytes, outcomes: Sequence[str], tints: dict[str, str]) -> Page:
    """Draw each byte of an append-only file in the colour of its outcome, and count the outcomes.

    `outcomes` has the outcome of each byte, `tints` the kind (a key of TINTS) in whose colour each outcome is drawn.
    """
    markup, text, offset = "", "", 0
    for record, _ in records(log):
        pairs = zip(outcomes[offset : offset + len(record)], record, strict=True)
        runs = [(each, bytes(b for _, b in run)) for each, run in itertools.groupby(pairs, lambda pair: pair[0])]
        drawn = "".join(chip(tints[each], part) for each, part in runs)
        markup += f"<tr>{cell(str(offset))}{cell(drawn)}</tr>"
        offset += len(record)
    legend = ""
    for each in tints:
        legend += f"<tr>{cell(str(outcomes.count(each)))}{cell(chip(tints[each], each.encode()))}</tr>"
        text += f"{each}: {outcomes.count(each)} bytes\n"
    headings = "<tr><th>{}</th><th style='text-align:left'>{}</th></tr>"
    log_table = f"<table>{headings.format('byte', 'request')}{markup}</table>"
    return Page(f"{log_table}<table>{headings.format('bytes', 'when one is changed')}{legend}</table>", text.rstrip())


def draw_blocks(ordered: Any, member: bytes) -> Page:
    """Draw the blocks of a SortedSet of final/ with the number of entries before each, and how they give the rank."""
    entry = (ordered.scores[member], member)
    markup = "<tr><th>before it</th><th style='text-align:left'>block: (score, member)</th></tr>"
    text, before, sum_of = "before it | block: (score, member)\n", 0, ""
    for block in map(list, ordered._blocks):
        drawn = [chip("other" if each == entry else "payload", b"%g %s" % each) for each in block]
        markup += f"<tr>{cell(str(before))}{cell(' '.join(drawn))}</tr>"
        text += f"{before:>9} | " + "  ".join(f"{score:g} {printable(name)}" for score, name in block) + "\n"
        if entry in block:
            sum_of = f"rank of {printable(member)}: {before} + {block.index(entry)} = {ordered.rank(member)}"
        before += len(block)
    return Page(f"<table>{markup}</table><p>{sum_of}</p>", text + sum_of)
