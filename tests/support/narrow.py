"""Formats the code of a stage, which has lines of 120 columns, to the 100 columns of a notebook's cell."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator

COLUMNS = 100
DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
QUOTES = '"""'


@functools.cache
def narrow(source: str) -> str:
    """Format Python to COLUMNS columns, its docstrings and comments too. What is narrow enough stays as it is."""
    lines = source.splitlines()
    if max(map(len, lines), default=0) <= COLUMNS:
        return source.rstrip("\n")
    docstrings = [
        node.body[0] for node in ast.walk(ast.parse(source)) if isinstance(node, DEFINITION) and ast.get_docstring(node)
    ]
    for text in sorted(docstrings, key=lambda node: node.lineno, reverse=True):  # keeps line numbers
        lines[text.lineno - 1 : text.end_lineno] = narrow_docstring(lines[text.lineno - 1 : text.end_lineno])
    source = "\n".join(narrow_comments(lines))
    command = [sys.executable, "-m", "ruff", "format", f"--line-length={COLUMNS}", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout.rstrip("\n")


def narrow_docstring(lines: list[str]) -> list[str]:
    """Wrap the paragraphs of a docstring that are too wide; a list by its items, a table by its lines, no example."""
    wrapped: list[str] = []
    for apart, group in itertools.groupby(lines, lambda line: line.strip() in ("", QUOTES)):
        paragraph = list(group)
        wide = max(map(len, paragraph)) > COLUMNS
        if apart or not wide or any(re.match(r" *>>> ", line) for line in paragraph):
            wrapped += paragraph
        elif any(re.match(r" *[-*|] ", line) for line in paragraph):
            wrapped += [part for item in items(paragraph) for part in wrap_item(item)]
        else:
            wrapped += wrap(indent_of(paragraph[0]) + " ".join(map(str.strip, paragraph)))
    return wrapped


def items(paragraph: list[str]) -> list[str]:
    """Return each item of a list in one line: a line that is indented deeper than the `-` continues the item."""
    found: list[str] = []
    for line in paragraph:
        if found and re.match(r" *[-*] ", found[-1]) and len(indent_of(line)) > len(indent_of(found[-1])):
            found[-1] += " " + line.strip()
        else:
            found.append(line)
    return found


def wrap_item(line: str) -> list[str]:
    """Break an item of a list into lines that begin below its text; any other line as `wrap` does."""
    mark = re.match(r" *[-*] ", line)
    return wrap(line, " " * len(mark[0])) if mark else wrap(line)


def narrow_comments(lines: list[str]) -> Iterator[str]:
    """Wrap the comments that are too wide, as paragraphs; yield the lines of the whole file."""
    for start, group in itertools.groupby(lines, lambda line: re.findall(r"^ *# ", line)):
        comment = list(group)
        if start and max(map(len, comment)) > COLUMNS:
            yield from wrap(start[0] + " ".join(line.removeprefix(start[0]) for line in comment), start[0])
        else:
            yield from (part for line in comment for part in narrow_comment(line))


def narrow_comment(line: str) -> list[str]:
    """Put a comment that makes a line too wide above the line, in lines of its own."""
    code, sign, comment = line.partition("  # ")
    if len(line) <= COLUMNS or not sign:
        return [line]
    start = indent_of(line) + "# "
    return [*wrap(start + comment, start), code]


def wrap(text: str, start: str | None = None) -> list[str]:
    """Break a text into lines that begin with `start`, by default the indent of the text."""
    start = indent_of(text) if start is None else start
    return textwrap.wrap(text, COLUMNS, subsequent_indent=start, break_on_hyphens=False, break_long_words=False)


def indent_of(line: str) -> str:
    """Return the spaces at the start of a line."""
    return line[: len(line) - len(line.lstrip())]
