"""What the notebooks share: live servers and raw sockets for the experiments, and pictures of bytes and of times.

Everything here is scenery; nothing of it is part of a stage. Drawings have colours that can be read on a white and
on a dark page; pictures of bytes are tables, which still say everything where a page drops their colours.
"""

from __future__ import annotations

import ast
import asyncio
import atexit
import functools
import html
import importlib
import inspect
import io
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parent.parent
TARGET = os.environ.get("NOTEBOOK_TARGET", "")  # a folder, or `reference`; empty while a person reads
STAGE = int(os.environ.get("NOTEBOOK_STAGE", "0"))  # the notebook's, when there is a target
PATIENCE = 5.0  # seconds that an experiment waits for a server before it says what is missing

# Live servers


class Stoppable(Protocol):
    """Something that is open until the last cell."""

    def close(self) -> None:
        """Stop it; more than once does no harm."""


_open: list[Stoppable] = []


def close_all() -> None:
    """Stop every server and close every connection that this module opened."""
    while _open:
        _open.pop().close()


atexit.register(close_all)


def stage_folder(stage: int) -> Path:
    """Find the folder of a stage's reference code."""
    return next((ROOT / "stages").glob(f"{stage:02}-*"))


def code_folder(stage: int) -> Path:
    """Find the code that an experiment runs on: the target's for the notebook's own stage, else the reference."""
    return stage_folder(stage) if TARGET in ("", "reference") or stage != STAGE else Path(TARGET)


class Program:
    """A server in a process of its own. `port` is where it listens; what it prints is collected."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.output: list[str] = []
        self._said = threading.Condition()
        self._listener = threading.Thread(target=self._collect, daemon=True)
        self._listener.start()
        _open.append(self)
        with self._said:
            self._said.wait_for(lambda: self._listens() or self.process.poll() is not None, PATIENCE)
        if not self._listens():
            self.kill()
            raise RuntimeError("the server did not start:\n" + "\n".join(self.output))
        self.port = int(self.output.pop().rpartition(":")[2])
        self.remarks = self.output.copy()  # what it said before it was ready
        self.output.clear()

    def _listens(self) -> bool:
        """Whether its last line says where it listens."""
        return re.fullmatch(r"listening on .*:\d+", self.output[-1]) is not None if self.output else False

    def _collect(self) -> None:
        """Keep each line that the program prints."""
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                with self._said:
                    self.output.append(line.rstrip("\n"))
                    self._said.notify_all()

    def lines(self, count: int) -> list[str]:
        """Wait until the program has printed `count` lines since it was ready, and give them all."""
        with self._said:
            if not self._said.wait_for(lambda: len(self.output) >= count or self.process.poll() is not None, PATIENCE):
                raise TimeoutError(f"{count} lines were awaited, these came: {self.output}")
        return self.output or [""]

    def stop(self) -> None:
        """Ask it to stop, as Ctrl-C does, and wait until it has."""
        if self.process.poll() is None:
            self.process.terminate()
        self._end()

    def kill(self) -> None:
        """Stop it as a power cut would: `kill -9`."""
        self.process.kill()
        self._end()

    def _end(self) -> None:
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._listener.join(PATIENCE)

    close = stop


def start(what: int | str | Callable[..., None], *options: str) -> Program:
    """Start a server on a free port and wait until it listens.

    `what` is the number of a stage, whose server.py is run with `options`, or the name of a package, which is run
    as `python -m` does; or a function written in a cell, which is given a listening socket in a process of its own.
    """
    if isinstance(what, str):
        return Program([sys.executable, "-m", what, "--port", "0", *options], ROOT)
    if isinstance(what, int):
        folder = code_folder(what)
        return Program([sys.executable, "server.py", "--port", "0", *options], folder)
    program = f"""
import socket, sys, threading
{textwrap.dedent(inspect.getsource(what))}
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
{what.__name__}(listener)
"""
    return Program([sys.executable, "-c", program], ROOT)


def connect(port: int) -> socket.socket:
    """Connect to a server on this machine. A read that takes longer than PATIENCE raises TimeoutError."""
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _open.append(client)
    return client


def receive(client: socket.socket, count: int) -> bytes:
    """Wait for exactly `count` bytes; fewer, when the server hangs up before."""
    data = b""
    while len(data) < count and (chunk := client.recv(count - len(data))):
        data += chunk
    return data


def receive_all(client: socket.socket) -> bytes:
    """Collect what the server says until it hangs up."""
    data = b""
    while chunk := client.recv(65536):
        data += chunk
    return data


def ask(port: int, data: bytes) -> bytes:
    """Connect, send some bytes, wait for as many, and hang up."""
    with connect(port) as client:
        client.sendall(data)
        return receive(client, len(data))


async def serve(connection: Callable[[], asyncio.BaseProtocol]) -> int:
    """Listen in the notebook's own event loop, with a new `connection()` for each client; answer with the port."""
    listener = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    _open.append(listener)
    port: int = listener.sockets[0].getsockname()[1]
    return port


async def until(condition: Callable[[], object]) -> None:
    """Let the notebook's event loop go on until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


class Tap:
    """Something to connect to that keeps what clients send, chunk by chunk, and answers each chunk with `answer`."""

    def __init__(self, answer: bytes = b"+OK\r\n") -> None:
        self.chunks: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        _open.append(self)

    def _accept(self) -> None:
        """Serve one client after the other."""
        while True:
            try:
                client, _ = self._listener.accept()
                with client:
                    client.settimeout(PATIENCE)
                    while chunk := client.recv(65536):
                        self.chunks.append(chunk)
                        client.sendall(self._answer)
            except TimeoutError:
                continue
            except OSError:
                if self._listener.fileno() < 0:
                    return

    @property
    def heard(self) -> bytes:
        """All that has been sent so far."""
        return b"".join(self.chunks)

    def close(self) -> None:
        """Stop listening."""
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()


# The learner's own code


_modules: dict[Path, dict[str, ModuleType]] = {}  # folder -> what was imported from it


def load(folder: Path, name: str) -> ModuleType:
    """Import a module from a folder, in which its own imports are looked up first.

    The stages' modules have the same names, so those of one folder are out of the way when the import is done.
    """
    names = {path.stem for path in folder.glob("*.py")}
    others = {module: sys.modules.pop(module) for module in names if module in sys.modules}
    sys.modules.update(_modules.get(folder, {}))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        _modules[folder] = {module: sys.modules.pop(module) for module in names if module in sys.modules}
        sys.modules.update(others)


if TARGET not in ("", "reference"):
    sys.path.insert(0, TARGET)  # the cells of the stage are imports from there (see conftest.py)


def from_stage(stage: int, module: str, name: str) -> Any:
    """Give a class or function of a stage's reference code."""
    return getattr(load(stage_folder(stage), module), name)


def yours(code: Any, *methods: str) -> Any:
    """Give the learner's version of a function or class (of which only `methods` count) from work/.

    Where work/ does not have it yet, give back `code`, what the notebook has. A line says which of the two it is.
    """
    name = code.__name__
    found = None if TARGET else _find_in_work(code, methods)
    if found is None:
        unwritten = "" if TARGET or not (ROOT / "work").is_dir() else " (work/ does not have it yet)"
        print(f"checking {name} of this notebook{unwritten}")
        return code
    print(f"checking your {name} in work/{found}.py")
    _modules.pop(ROOT / "work", None)  # it may have been edited since
    return getattr(load(ROOT / "work", found), name)


def _find_in_work(code: Any, methods: Sequence[str]) -> str | None:
    """Find the module in work/ that has the code; None where it is missing or still to be written."""
    for path in sorted((ROOT / "work").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == code.__name__:
                parts = [part for part in node.body if getattr(part, "name", "") in methods] or [node]
                return None if any(_is_unwritten(part, code) for part in parts) else path.stem
    return None


def _is_unwritten(part: ast.stmt, code: Any) -> bool:
    """Whether the body is missing, or is still that of the stage before, whose class the notebook's continues."""
    if "raise NotImplementedError" in ast.unparse(part):
        return True
    name = getattr(part, "name", "")
    earlier = [vars(base).get(name) for base in getattr(code, "__mro__", ()) if base.__module__ != "__main__"]
    sources = [textwrap.dedent(inspect.getsource(each)) for each in earlier if inspect.isfunction(each)]
    return _body(part) in [_body(ast.parse(source).body[0]) for source in sources]


def _body(function: ast.stmt) -> str:
    """Write a function's body in one way, its docstring left out."""
    body = getattr(function, "body", [])
    return "\n".join(ast.unparse(each) for each in body[1 if ast.get_docstring(function) else 0 :])  # type: ignore[arg-type]


# Pictures: colours that can be read on white and on black

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#3b82f6", "#e8871e", "#2aa568", "#e5484d", "#9b6ddf", "#8a8f98"


class Page:
    """A piece of HTML to be shown under a cell, and the same as plain text for where there is no HTML."""

    def __init__(self, markup: str, text: str) -> None:
        self.markup = markup
        self.text = text

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return self.text


def figure(width: float = 7.5, height: float = 3.6, panels: int = 1) -> tuple[Any, Any]:
    """Make a matplotlib figure without a background and its axes, all lines and letters in a middle grey."""
    import matplotlib
    from matplotlib.figure import Figure

    grey = ("text.color", "xtick.color", "ytick.color", "grid.color", "axes.edgecolor", "axes.labelcolor")
    style: dict[Any, Any] = dict.fromkeys(grey, GREY)
    style |= {"axes.grid": True, "grid.alpha": 0.25, "font.size": 10, "legend.frameon": False}
    style |= {"axes.spines.top": False, "axes.spines.right": False}
    matplotlib.rcParams.update(style)
    drawing = Figure(figsize=(width, height), layout="constrained")
    drawing.patch.set_alpha(0)
    axes = drawing.subplots(1, panels)
    for panel in [axes] if panels == 1 else axes:
        panel.patch.set_alpha(0)
    return drawing, axes


def picture(drawing: Any, description: str) -> Any:
    """Turn a figure into a PNG for a cell to show; `description` is for those who cannot see it."""
    from IPython.display import Image

    data = io.BytesIO()
    drawing.savefig(data, format="png", dpi=160, transparent=True)
    return Image(data.getvalue(), width=int(drawing.get_figwidth() * 100), alt=description)  # type: ignore[no-untyped-call]


# Pictures of bytes

SIGNS = {
    "*": "array, length {}",
    "$": "bulk string, length {}",
    "%": "map, pairs: {}",
    "~": "set, length {}",
    ">": "push, length {}",
    "|": "remarks, a map, pairs: {}",
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


def dissect(data: bytes) -> list[tuple[str, bytes, str]]:
    r"""Cut RESP into (kind, bytes, meaning); kinds: header, length, payload, CRLF, other. It may end anywhere.

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
    r"""Write bytes as text, what is not text as escapes: \r\n, \x00."""
    text = data.decode(errors="backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def chip(kind: str, data: bytes) -> str:
    """Write some bytes as HTML, tinted by their kind."""
    tint, text = TINTS[kind], printable(data)
    wrap = "white-space:nowrap" if len(text) < 16 else "overflow-wrap:anywhere"
    style = f"background-color:{tint}33;border-bottom:2px solid {tint};padding:1px 2px;{wrap}"
    return f'<code style="{style}">{html.escape(text)}</code><wbr>'


def chips(data: bytes) -> str:
    """Write RESP as HTML, each piece tinted by its kind."""
    return "".join(chip(kind, part) for kind, part, _ in dissect(data))


def lines_of(text: str) -> str:
    """Write text as HTML; when it has several lines, as it would stand in a terminal."""
    escaped = html.escape(text)
    return f'<pre style="margin:0;background-color:transparent">{escaped}</pre>' if "\n" in text else escaped


def show_bytes(data: bytes, title: str = "") -> Page:
    """Draw RESP: first all its bytes in a line, then piece by piece with what each piece says."""
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


def cell(content: str) -> str:
    """Wrap HTML in a table cell; text begins at the left, which notebooks do not do by themselves."""
    return f'<td style="text-align:left;vertical-align:top">{content}</td>'


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str | bytes]]) -> Page:
    """Draw a table; bytes in it are drawn as RESP in colour."""
    markup = "".join(f'<th style="text-align:left">{html.escape(heading)}</th>' for heading in headings)
    markup, text = f"<tr>{markup}</tr>", " | ".join(headings) + "\n"
    for row in rows:
        drawn = [chips(item) if isinstance(item, bytes) else lines_of(item) for item in row]
        markup += "<tr>" + "".join(cell(item) for item in drawn) + "</tr>"
        text += " | ".join(printable(item) if isinstance(item, bytes) else item for item in row) + "\n"
    return Page(f"<table>{markup}</table>", text.rstrip())


def draw_lines(
    lines: dict[str, dict[float, float]], across: str, upward: str, description: str, logarithmic: bool = True
) -> Any:
    """Draw a line for each name, from x to y, with its name at its end; `description` says what one sees."""
    drawing, axes = figure()
    colours = (RED, BLUE, ORANGE, GREEN, PURPLE) if len(lines) > 1 else (BLUE,)
    for colour, (name, points) in zip(colours, lines.items(), strict=False):
        axes.plot(list(points), list(points.values()), marker="o", markersize=4, color=colour, linewidth=2)
        end = max(points)
        axes.annotate(
            name,
            (end, points[end]),
            xytext=(8, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            weight="bold",
        )
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
        measured = sorted(set().union(*lines.values()))
        axes.set_xticks(measured, [f"{x:g}" for x in measured])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(across)
    axes.set_ylabel(upward)
    axes.margins(x=0.05)
    return picture(drawing, description)


# Checking what a learner wrote


def refused(call: Callable[[], object]) -> str:
    """Run something that has to be refused, and give the words of the refusal."""
    try:
        answer = call()
    except Exception as error:
        if type(error).__name__ not in ("ReplyError", "CorruptLog"):
            raise
        return str(error)
    raise AssertionError(f"this has to be refused, and was answered with {answer!r}")


def put_yours_into(table: dict[bytes, Any], *commands: Callable[..., Any]) -> None:
    """Let a table of commands run the learner's functions from work/, where they are written (see `yours`)."""
    _modules.pop(ROOT / "work", None)  # it may have been edited since
    unwritten = "" if TARGET or not (ROOT / "work").is_dir() else " (work/ does not have it yet)"
    sources: dict[str, list[str]] = {}
    for function in commands:
        name = function.__name__
        found = None if TARGET else _find_in_work(function, ())
        if found:
            table[name.rstrip("_").encode()].function = in_our_words(getattr(load(ROOT / "work", found), name))
        source = f"checking your {{}} in work/{found}.py" if found else f"checking {{}} of this notebook{unwritten}"
        sources.setdefault(source, []).append(name)
    for source, names in sources.items():
        print(source.format(", ".join(names)))


def in_our_words(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function from work/ refuse with the notebook's ReplyError: to Python, its own is another class."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            if type(error).__name__ != "ReplyError":
                raise
            raise importlib.import_module("errors").ReplyError(str(error)) from None

    return call


# Pictures of commands and clients


def lanes(trace: Iterable[tuple[object, str]], names: Sequence[str]) -> Page:
    """Draw what several did, (who, what), one moment in a row; `names` in the order in which they first appear.

    What begins with the same word has the same colour.
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


def draw_pipeline(rates: dict[int, float], description: str) -> Any:
    """Draw requests a second against the depth of the pipeline."""
    drawing, axes = figure()
    depths, thousands = list(rates), [rate / 1000 for rate in rates.values()]
    axes.plot(depths, thousands, marker="o", color=BLUE, linewidth=2)
    axes.fill_between(depths, thousands, color=BLUE, alpha=0.12)
    for depth, rate, place in ((depths[0], thousands[0], (24, -12)), (depths[-1], thousands[-1], (0, 10))):
        label: dict[str, Any] = {"xytext": place, "textcoords": "offset points", "ha": "center", "weight": "bold"}
        axes.annotate(f"{rate:.0f} 000", (depth, rate), color=BLUE, **label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(depths, [str(depth) for depth in depths])
    axes.set_ylim(0, 1.15 * max(thousands))
    axes.set_xlabel("requests sent before the first answer is read")
    axes.set_ylabel("thousand SETs a second")
    return picture(drawing, description)


def command_table(table: dict[bytes, Any]) -> Page:
    """Draw the table of commands: how a request looks, and what else the function's signature says of it."""
    entries = [each for entry in table.values() for each in (entry, *entry.subcommands.values())]
    markup = "".join(f'<th style="text-align:left">{title}</th>' for title in ("request", "arity", "keys", "flags"))
    markup, text = f"<tr>{markup}</tr>", "request | arity | keys | flags\n"
    for entry in sorted(entries, key=lambda entry: entry.name):
        words = list(inspect.signature(entry.function).parameters.values())[len(entry.handed) :]
        chips = [chip("header", entry.name.replace("|", " ").upper().encode()), *map(word_of_syntax, words)]
        keys = ", ".join(map(str, entry.keys)) if any(entry.keys) else ""
        row = [str(entry.arity), keys, ", ".join(entry.flags)]
        markup += f"<tr>{cell(' '.join(chips))}{''.join(map(cell, row))}</tr>"
        text += " | ".join([" ".join([entry.name, *(word.name for word in words)]), *row]) + "\n"
    return Page(f"<table>{markup}</table>", text.rstrip())


def word_of_syntax(parameter: inspect.Parameter) -> str:
    """Write a parameter as a word of a request: numbers orange, keys green, what may be missing in brackets."""
    name = parameter.name.rstrip("_")
    kind = "length" if "int" in str(parameter.annotation) else "payload" if name in ("key", "keys") else "CRLF"
    if parameter.kind is parameter.VAR_POSITIONAL:
        name = f"[{name} …]"
    elif parameter.default is not parameter.empty:
        name = f"[{name}]"
    return chip(kind, name.encode())


def draw_reader(reader: Any, data: bytes) -> Page:
    """Feed a reader of stage 02 byte by byte; draw what it remembers after each, and what `next` gives."""
    kinds = [kind for kind, part, _ in dissect(data) for _ in part]
    headings = ["byte", "buffer", "length", "words", "missing", "next() gives"]
    markup = "".join(f'<th style="text-align:left">{heading}</th>' for heading in headings)
    markup, text = f"<tr>{markup}</tr>", " | ".join(headings) + "\n"
    for kind, byte in zip(kinds, data, strict=True):
        reader.feed(bytes([byte]))
        answer = repr(reader.next())
        buffer, length = bytes(reader._buffer), "" if reader._length is None else str(reader._length)
        words, missing = reader._words, str(reader._missing or "")
        drawn = [
            chip(kind, bytes([byte])),
            chips(buffer) if reader._length is None else chip("payload", buffer) if buffer else "",
            length,
            "".join(chip("payload", word) for word in words),
            missing,
            f"<b>{html.escape(answer)}</b>" if answer != "None" else "",
        ]
        markup += "<tr>" + "".join(cell(item) for item in drawn) + "</tr>"
        plain = [printable(bytes([byte])), printable(buffer), length, str(words), missing, answer]
        text += " | ".join(plain) + "\n"
    return Page(f"<table>{markup}</table>", text.rstrip())


# Pictures of the log


class RealRedis:
    """A real redis-server or valkey-server on a folder, with its log on; it listens at `socket`, a path, and `port`."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "redis.socket")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        address = ("--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.socket)
        options = (*address, "--appendonly", "yes", "--save", "")
        command = [real_redis() or "redis-server", *options]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        _open.append(self)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self._answers():
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Whether it has read its log: before, it answers a PING with an error."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            try:
                client.connect(self.socket)
                client.sendall(b"PING\r\n")
                return client.recv(7) == b"+PONG\r\n"
            except OSError:
                return False

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait()


def real_redis() -> str | None:
    """Find a real Redis on this machine."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


def records(log: bytes) -> Iterator[tuple[bytes, bool]]:
    """Cut a log into its requests, each whole (True), and what follows the last whole one (False)."""
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
    """Draw a log: each request, and the byte at which it begins; half a request is red."""
    markup, text, offset = "", "", 0
    for record, whole in records(log):
        drawn = "".join(chip(kind if whole else "other", part) for kind, part, _ in dissect(record))
        remark = "" if whole else " half a request"
        markup += f"<tr>{cell(str(offset))}{cell(drawn + remark)}</tr>"
        text += f"{offset:>6}  {printable(record)}{remark}\n"
        offset += len(record)
    return Page(f"<table><tr><th>byte</th><th style='text-align:left'>request</th></tr>{markup}</table>", text.rstrip())


def show_map(log: bytes, outcomes: Sequence[str], tints: dict[str, str]) -> Page:
    """Draw each byte of a log in the colour of its outcome (of TINTS), and say how many of each there are."""
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


def draw_steps(values: Sequence[int], across: str, upward: str, mark: int, description: str) -> Any:
    """Draw a staircase of the values at 0, 1, 2, …, with a line at `mark`."""
    drawing, axes = figure(height=2.6)
    axes.step(range(len(values)), values, where="post", color=BLUE, linewidth=2)
    axes.fill_between(range(len(values)), values, step="post", color=BLUE, alpha=0.15)
    if mark < len(values):
        axes.axvline(mark, color=RED, linewidth=1.5, linestyle="--")
        axes.annotate(f"torn at {mark}", (mark, max(values)), xytext=(6, -4), textcoords="offset points", color=RED)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(across)
    axes.set_ylabel(upward)
    axes.margins(x=0)
    return picture(drawing, description)


def draw_latencies(waits: dict[str, list[float]], description: str) -> Any:
    """Draw for each name the median and the 99th percentile of its times (in seconds), as milliseconds."""
    from matplotlib.ticker import LogLocator, NullLocator

    drawing, axes = figure(height=3)
    for row, times in enumerate(waits.values()):
        ordered = sorted(times)
        median, slow = (1000 * ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
        axes.plot([median, slow], [row, row], color=GREY, linewidth=2, zorder=1)
        for value, colour, title in ((median, BLUE, "p50"), (slow, ORANGE, "p99")):
            axes.scatter(value, row, s=60, color=colour, zorder=2, label=title if row == 0 else None)
            label = {"xytext": (0, 8), "textcoords": "offset points", "ha": "center", "fontsize": 9}
            axes.annotate(f"{value:.2f}", (value, row), color=colour, **label)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(waits)), list(waits))
    axes.invert_yaxis()
    axes.margins(x=0.08, y=0.25)
    axes.set_xlabel("milliseconds until the answer")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return picture(drawing, description)


# Pictures of the whole server


def draw_journey(calls: Sequence[tuple[int, str, str]], rooms: Sequence[str], description: str) -> Any:
    """Draw calls, (depth, room, function), as a row each; a bar is as long as the call, an arrow leads to it.

    A call that is made several times in a row is drawn once.
    """
    steps = [(call, len(list(same))) for call, same in itertools.groupby(calls)]
    drawing, axes = figure(width=max(9, 1.1 * len(rooms)), height=0.8 + 0.235 * len(steps))
    tints = dict(zip(rooms, itertools.cycle((BLUE, ORANGE, PURPLE, GREEN, RED)), strict=False))
    above: list[tuple[str, float]] = []  # the calls that are open: the room, and where the bar stands
    for row, ((depth, room, function), times) in enumerate(steps):
        del above[depth:]
        end = next((later for later in range(row + 1, len(steps)) if steps[later][0][0] <= depth), len(steps))
        place = rooms.index(room) + 0.12 * [each for each, _ in above].count(room)
        axes.bar(place, end - row - 0.3, 0.1, row - 0.35, color=tints[room], zorder=3)
        if above and above[-1][0] != room:
            arrow = {"arrowstyle": "-|>", "color": tints[room], "shrinkA": 5, "shrinkB": 5}
            axes.annotate("", (place, row), (above[-1][1], row), arrowprops=arrow, zorder=2)
        label: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 9}
        axes.annotate(f"{function}, {times} times" if times > 1 else function, (place, row), (8, 0), **label)
        above.append((room, place))
    axes.set_xticks(range(len(rooms)), rooms, weight="bold")
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    for title, room in zip(axes.get_xticklabels(), rooms, strict=True):
        title.set_color(tints[room])
    axes.set(xlim=(-0.3, len(rooms) - 0.1), ylim=(len(steps) - 0.4, -0.8), yticks=[])
    axes.grid(axis="x", linestyle=":", alpha=0.6)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return picture(drawing, description)


def draw_blocks(ordered: Any, member: bytes) -> Page:
    """Draw the blocks of a SortedSet of final/, how many entries stand before each, and what makes a rank."""
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


def draw_files(history: Sequence[dict[str, int]], writes: int, marks: dict[int, str], description: str) -> Any:
    """Draw the sizes of a log's files on top of each other, `writes` after `writes`, with a line at each mark."""
    drawing, axes = figure()
    names = sorted({name for sizes in history for name in sizes})  # of each number the base comes first
    across = [writes * number for number in range(len(history))]
    layers = [[sizes.get(name, 0) / 1000 for sizes in history] for name in names]
    increments = itertools.cycle((BLUE, ORANGE))
    tints = [GREEN if "base" in name else next(increments) for name in names]
    axes.stackplot(across, layers, colors=tints, alpha=0.75, step="post")
    for number, (name, layer) in enumerate(zip(names, layers, strict=True)):
        if "base" not in name:
            highest = layer.index(max(layer))
            middle = sum(other[highest] for other in layers[:number]) + 0.4 * layer[highest]
            title = name.removeprefix("appendonly.aof.").removesuffix(".aof")
            place = (across[highest], middle)
            axes.annotate(title, place, (-8, 0), textcoords="offset points", ha="right", color="white", weight="bold")
    for mark, remark in marks.items():
        axes.axvline(mark * writes, color=RED, linewidth=1.5, linestyle="--")
        axes.annotate(remark, (mark * writes, 1), (6, -10), ("data", "axes fraction"), "offset points", color=RED)
    axes.set_xlabel("writes")
    axes.set_ylabel("kilobytes on the disk")
    axes.margins(x=0, y=0.15)
    return picture(drawing, description)


def draw_ratios(rates: dict[str, dict[tuple[str, int], float]], baseline: str, description: str) -> Any:
    """Draw for each server its requests a second, by command and depth, as a multiple of those of `baseline`."""
    drawing, panels = figure(height=3.4, panels=2)
    others = [name for name in rates if name != baseline]
    for axes, command in zip(panels, dict.fromkeys(command for command, _ in rates[baseline]), strict=True):
        depths = [depth for each, depth in rates[baseline] if each == command]
        for number, (name, colour) in enumerate(zip(others, (BLUE, ORANGE), strict=False)):
            for place, depth in enumerate(depths):
                rate = rates[name][command, depth]
                ratio = rate / rates[baseline][command, depth]
                across = place + 0.42 * (number - (len(others) - 1) / 2)
                axes.bar(across, ratio, 0.38, color=colour, label=name if place == 0 else None)
                label = {"xytext": (0, 3), "textcoords": "offset points", "ha": "center", "fontsize": 9}
                axes.annotate(f"{ratio:.2f}\n{rate / 1000:.0f}k", (across, ratio), color=colour, **label)
        axes.axhline(1, color=RED, linewidth=2)
        axes.set_xticks(range(len(depths)), [f"P={depth}" for depth in depths])
        axes.set_title(command)
    highest = 1.25 * max(1, *(axes.dataLim.ymax for axes in panels))
    for axes in panels:
        axes.set_ylim(0, highest)
    panels[0].set_ylabel(f"{baseline} = 1", color=RED)
    drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(others))
    return picture(drawing, description)
