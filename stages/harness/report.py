"""What a failed check tells the learner: a report in sections, from what was checked to how to run it again."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from stages.harness.sandbox import NoAnswer, explained
from stages.harness.server import NotStarted, Server
from stages.harness.wire import Mismatch

WIDTH = 88  # characters in a line
AROUND = 160  # bytes shown before the first difference
OUTPUT_LINES = 25
TRACEBACK = "Traceback (most recent call last):\n"
LIBRARY = r"/lib/python3|<frozen"
CALLER = r"/asyncio/|/(selectors|socket|supervisor)\.py$|<the checkpoint>"  # has called the program, or waits for it
WHERE = r" *\+ +(where|and) | *Use -v+ to get more diff| *\.\.\.Full output"  # what pytest adds about an assertion
MOST_FRAMES = 8
STUCK = "stuck in "

Section = tuple[str, Iterable[str]]  # title, lines


class WrongResult(AssertionError):
    """The code that was run gave another result than expected."""

    def __init__(self, ran: str, expected: object, received: object) -> None:
        super().__init__(f"expected {expected!r}, got {received!r}")
        self.ran, self.expected, self.received = ran, expected, received


def paragraphs(docstring: str | None) -> list[str]:
    """Split a test's docstring into its paragraphs: first what is checked, then the hints."""
    text = inspect.cleandoc(docstring or "")
    return [paragraph for paragraph in text.split("\n\n") if paragraph.strip()]


def trouble(error: BaseException) -> str:
    """Return the kind of a failure: `start` (the server did not start), `import`, `assertion` or `error`."""
    if isinstance(error, NotStarted):
        return "start"
    if isinstance(error, NoAnswer) and re.search(r"^(ImportError|ModuleNotFoundError|SyntaxError)", error.trace, re.M):
        return "import"
    return "assertion" if isinstance(error, AssertionError) else "error"


def stuck(error: BaseException, servers: list[Server]) -> list[str]:
    """Return the calls that a program was in when it was aborted, the last one first; none if it awaited events."""
    dumps = [server.program.dump for server in servers if server.program]
    for dump in [error.dump] if isinstance(error, NoAnswer) else dumps:
        stack = dump.partition("Current thread ")[2].partition("\n\n")[0]
        frames = re.findall(r'^  File "(.+)", line (\d+) in (.+)$', stack, re.M)
        inner = itertools.takewhile(lambda frame: not re.search(CALLER, frame[0]), frames)
        if own := [frame for frame in inner if not re.search(LIBRARY, frame[0])][:MOST_FRAMES]:
            calls = (
                f"{Path(file).name}, line {line}, in {qualified(file, int(line), name)}" for file, line, name in own
            )
            return [call.partition(", in line ")[0] for call in calls]
    return []


def sections_of(failure: pytest.ExceptionInfo[BaseException], test: Path, servers: list[Server]) -> list[Section]:
    """Return the sections that say what went wrong in `test`, the file of the failed check."""
    error = failure.value
    if isinstance(error, Mismatch):
        return mismatch(error)
    if isinstance(error, WrongResult):
        expected, received = itemised(error.expected), itemised(error.received)
        return [
            ("This was run with your code", shortened(called(error.ran))),
            ("Expected as result", marked(expected, received, caret=False)),
            ("Result", marked(received, expected)),
        ]
    if isinstance(error, NotStarted):
        return [("Your server did not start", [str(error)]), ("It said", last_lines(error.trace))]
    if isinstance(error, NoAnswer):
        return [
            ("This was run with your code", shortened(called(error.ran))),
            ("It came to no result", [str(error)]),
            ("It said", last_lines(error.trace)),
        ]
    sent = b"".join(client.sent for server in servers for client in server.clients[-1:])
    text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    lines = [str(entry.statement).strip() for entry in failure.traceback if entry.path == test][-1:]
    lines = [line for line in lines if not line.startswith("raise AssertionError(")]  # its text says it
    running = (
        "None, instead of an exit status, means: the server was still running when the test had waited long enough."
    )
    asked = re.search(r"exit status|\.stop\(|\.wait\(", "\n".join((*lines, text))) and re.search(r"\bNone\b", text)
    return [
        ("Sent", show(sent) if sent else []),
        ("The test says", lines),
        ("But", [*(line for line in text.splitlines() if not re.match(WHERE, line)), *([running] if asked else [])]),
    ]


def kind(error: BaseException, servers: list[Server]) -> str:
    """Return a failure in a few words, the same for all that fail in the same way."""
    said = error.trace if isinstance(error, NoAnswer) else ""
    if not said and servers and servers[-1].program:
        said = complaining(servers).errors
    if found := raised(said):
        return found
    if where := stuck(error, servers):
        return STUCK + where[0].rpartition(", in ")[2]
    if isinstance(error, NotStarted):
        return "the server did not start"
    if isinstance(error, NoAnswer):
        return re.split(": | after ", str(error))[0]
    if isinstance(error, Mismatch):
        if error.found:
            return "something else in the log than expected"
        return "another reply than expected" if error.received else "no reply"
    return "another result than expected" if isinstance(error, WrongResult) else type(error).__name__


def raised(text: str) -> str:
    """Return the exception of the first traceback in a text, and the learner's function that raised it; or ''."""
    _, _, trace = text.partition(TRACEBACK)
    found = re.search(r"^([A-Za-z_][\w.]*)(?::.*)?$", trace, re.M)
    if not found:
        return ""
    frames = re.findall(r'^  File "(.+)", line (\d+)(?:, in (.+))?$', trace[: found.start()], re.M)
    own = [frame for frame in frames if not re.search(LIBRARY, frame[0])] or frames
    return f"{found[1]}: {qualified(own[-1][0], int(own[-1][1]), own[-1][2])}" if own else found[1]


def qualified(file: str, line: int, function: str) -> str:
    """Return the name of the function that holds a line, with its class; `function` when the file cannot be read."""
    try:
        tree = ast.parse(Path(file).read_text() if Path(file).is_file() else "(")  # no device: it may have no end
    except (OSError, ValueError, SyntaxError, MemoryError, RecursionError):
        return function or f"line {line} of {Path(file).name}"
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return ".".join(node.name for node in around) or f"line {line} of {Path(file).name}"


def mismatch(error: Mismatch) -> list[Section]:
    """Show the bytes sent, expected and received; before what was found in the log, say that it is not a reply."""
    sent: Section = ("Sent", show(error.sent))
    why: Section = ("And then", [error.why] if error.why else [])
    if isinstance(error.expected, str):
        return [sent, ("Expected", [error.expected]), ("Received", show(error.received)), why]
    at = difference(error.expected, error.received)
    expected, received = show(error.expected, at, caret=False), show(error.received, at)
    if error.found:
        return [sent, ("", [error.found]), ("Expected in the log", expected), ("In the log", received)]
    return [sent, ("Expected", expected), ("Received", received), why]


def itemised(value: object) -> list[str]:
    """Return the lines of a value's repr; each item of a long list is on its own line."""
    whole = repr(value)
    if len(whole) <= WIDTH or not isinstance(value, (list, tuple)):
        return [whole]
    last = len(value) - 1
    return [f"{' ' if place else '['}{item!r}{']' if place == last else ','}" for place, item in enumerate(value)]


def marked(lines: list[str], others: list[str], caret: bool = True) -> list[str]:
    """Return the lines around the first that differs from `others`, cut to WIDTH, with a caret under the difference."""
    same = [one == other for one, other in zip(lines, others, strict=False)]
    first = same.index(False) if False in same else len(same)
    shown = [f"… {first - 3} before …"] if first > 3 else []
    for number, line in list(enumerate(lines))[max(0, first - 3) : first + 4]:
        other = others[number] if number < len(others) else ""
        at = difference(line.encode(), other.encode()) if number == first else 0
        start = max(0, at - WIDTH // 2)
        before, after = "… " if start else "", " …" if len(line) > start + WIDTH else ""
        shown.append(before + line[start : start + WIDTH] + after)
        if number == first and caret:
            shown.append(" " * (len(before) + at - start) + "^")
    more = [f"… {len(lines) - first - 4} more …"] if len(lines) > first + 4 else []
    return [*shown, *more] or ["(nothing more)"]


def complaining(servers: list[Server]) -> Server:
    """Return the last server that has written to standard error; the last one when none has."""
    last = servers[-1]
    if last.program and last.alive:
        with last.program.errors.grown:  # a traceback may not have arrived yet
            last.program.errors.grown.wait_for(lambda: raised(last.errors), 0.1)
    return next((each for each in reversed(servers) if each.program and each.errors), servers[-1])


def output_of(server: Server) -> list[Section]:
    """Show what the server wrote during this test, standard error first, and whether it has ended."""
    if server.program is None:
        return []
    ended = f"It has ended, with exit status {explained(server.program.status)}."
    said = [] if server.alive or server.program.dump else [ended]
    return [("Your server said", last_lines(server.errors or server.output) + said)]


def difference(expected: bytes, received: bytes) -> int:
    """Return the offset of the first difference between two byte strings."""
    pairs = enumerate(zip(expected, received, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(expected), len(received)))


def show(data: bytes, at: int | None = None, caret: bool = True) -> list[str]:
    r"""Return bytes as lines: `\r\n` is shown and ends a line, long data is cut around the offset `at`.

    With `caret`, a line with a caret marks that offset.
    """
    first = max(0, (at or 0) - AROUND)
    last = min(len(data), (at or 0) + AROUND + WIDTH)
    lines = [f"… {first} bytes before …"] if first else []
    line = mark = ""
    for place in range(first, last):
        if place == at:
            mark = " " * len(line) + "^"
        byte = data[place : place + 1]
        line += byte.decode() if byte in b"'\"" else repr(byte)[2:-1]
        if (place and data[place - 1 : place + 1] == b"\r\n") or len(line) >= WIDTH or place == last - 1:
            lines += [line, mark] if mark and caret else [line]
            line = mark = ""
    if last < len(data):
        lines.append(f"… {len(data) - last} more bytes")
    if lines and caret and at == len(data):
        width = 0 if lines[-1].endswith("\\n") else len(lines[-1])
        lines.append(" " * width + "^ and nothing more")
    return lines or ["(nothing)"]


def called(source: str) -> str:
    """Leave out the functions and classes without a decorator that nothing in the source uses.

    >>> called("def one():\\n    two()\\n\\ndef two():\\n    pass\\n\\nresult = 1")
    'result = 1'
    """
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return source
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    kept = [node for node in body if not isinstance(node, defined) or node.decorator_list]
    for node in kept:  # which grows
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        kept += [each for each in body if isinstance(each, defined) and each.name in names and each not in kept]
    lines = source.splitlines()
    for node in reversed(body):
        if node not in kept:
            del lines[node.lineno - 1 : node.end_lineno]
            while lines[node.lineno - 1 :] and not lines[node.lineno - 1].strip():
                del lines[node.lineno - 1]
    return "\n".join(lines)


def shortened(source: str) -> list[str]:
    """Return the lines of the source, each cut to WIDTH when it is much longer."""
    lines = source.splitlines()
    return [line if len(line) <= 2 * WIDTH else f"{line[:WIDTH]} … {len(line)} characters" for line in lines]


def last_lines(text: str) -> list[str]:
    """Return OUTPUT_LINES lines of a program's output: its first tracebacks, as far as they fit, and its last lines.

    Of what is written several times in a row, and of the same tracebacks, only the first is there, and a count.
    """
    lines = once(text).splitlines()
    kept: set[int] = set()
    for first in (number for number, line in enumerate(lines) if line + "\n" == TRACEBACK):
        rest = range(first + 1, len(lines))
        last = next((number for number in rest if lines[number][:1] not in ("", " ")), len(lines) - 1)
        if len(kept) + last - first < OUTPUT_LINES:
            kept |= {*range(first, last + 1)}
    for number in reversed(range(len(lines))):
        kept |= {number} if len(kept) < OUTPUT_LINES else set()
    cut = [number for number in kept if number and number - 1 not in kept]
    return [each for number in sorted(kept) for each in (*(["…"] if number in cut else []), lines[number][:500])]


def once(text: str) -> str:
    """Leave out asyncio's own frames and lines, the marks of callers, and each traceback that has been there before."""
    text = re.sub(r"^ +[~^][ ~^]*\n(?=  File )", "", text, flags=re.M)
    text = re.sub(r'^  File "[^"]*/lib/python3[^"]*", .*\n(?:    .*\n)*', "", text, flags=re.M)
    text = re.sub(
        r"^(?:Exception in callback |handle: |Fatal error: |protocol: |transport: ).*\n", "", text, flags=re.M
    )
    text = re.sub(r"^(.+\n)(?:\1)+", repeated, text, flags=re.M)
    first, *traces = text.split(TRACEBACK)
    count = Counter(traces)
    parts = [first]
    for trace in count:
        parts.append(TRACEBACK + trace)
        if count[trace] > 1:
            parts.append(f"(and the same {more(count[trace] - 1)})\n")
    return "".join(parts)


def repeated(lines: re.Match[str]) -> str:
    """Return the first of lines that are all the same, and a count."""
    return f"{lines[1]}(and the same line {more(len(lines[0]) // len(lines[1]) - 1)})\n"


def more(times: int) -> str:
    """Return `once more`, or how many times more.

    >>> more(1), more(2)
    ('once more', '2 times more')
    """
    return "once more" if times == 1 else f"{times} times more"


def compose(sections: Iterable[Section]) -> str:
    """Join the sections to a text; sections without lines are left out."""
    kept = [(title, list(lines)) for title, lines in sections]
    texts = [(title, "\n".join(lines)) for title, lines in kept if lines]
    return "\n\n".join(f"{title}:\n{textwrap.indent(text, '    ')}" if title else text for title, text in texts)
