"""Writes the figures that the pages of final/ quote: a block in each, between two marks. A test compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.tools.bench.report import short
from tests.tools.bench.results import Results
from tests.tools.bench.servers import FAKE, FINAL, REDIS, UVLOOP

BEGIN, END = "<!-- figures: `make bench` writes them -->\n", "<!-- end of figures -->\n"


def in_speed(results: Results) -> Iterator[str]:
    """Yield the lines of SPEED.md: the speed beside redis-server's, and what else one would ask first."""

    def ratios(section: str, names: tuple[str, ...], server: str = FINAL, base: str = REDIS) -> str:
        return ", ".join(short(results.ratio(section, (server, name), (base, name))) for name in names)

    def within(section: str, one: str, other: str) -> str:
        return short(results.ratio(section, (FINAL, one), (FINAL, other)))

    def longest(section: str, what: str) -> str:
        return short(max(results.values(section, FINAL, f"{what}: longest pause").values(), default=None))

    rows = {
        "SET, GET, one request at a time": ("pipeline", ("SET P=1", "GET P=1")),
        "SET, GET, sixteen at a time": ("pipeline", ("SET P=16", "GET P=16")),
        "SET, GET, a hundred at a time": ("pipeline", ("SET P=100", "GET P=100")),
        "LRANGE of 100, 300, 500 and 600": ("ranges", tuple(f"LRANGE {number}" for number in (100, 300, 500, 600))),
        "SET, one at a time, with a log: everysec, always": ("log", ("SET P=1, everysec", "SET P=1, always")),
        "p99 of the latency of SET, GET: times Redis's": ("latency", ("SET p99", "GET p99")),
    }
    yield "| of redis-server's | asyncio alone | uvloop and hiredis |"
    yield "|---|--:|--:|"
    for text, (section, names) in rows.items():
        yield f"| {text} | {ratios(section, names)} | {ratios(section, names, UVLOOP)} |"
    kinds = ("strings", "hash", "list", "set", "sorted set")
    memory = ratios("memory", tuple(f"{kind}: resident" for kind in kinds))
    yield ""
    yield f"- SET, GET, one at a time, of fakeredis's: {ratios('pipeline', ('SET P=1', 'GET P=1'), base=FAKE)}."
    yield f"- GET by 5000 clients, of that by 50: {within('clients', 'GET, 5000 clients', 'GET, 50 clients')}."
    yield "- GET beside ten thousand idle clients, of that without them:"
    yield f"  {within('idle', 'GET with 10 000 idle clients', 'GET alone')}."
    yield "- The longest pause while a million keys are written into a new log:"
    yield f"  {longest('rewrite', 'BGREWRITEAOF')} ms; while a million expire:"
    yield f"  {longest('expiry', 'a million expire')} ms."
    yield f"- Memory with a million strings, or members of a {', '.join(kinds[1:])}:"
    yield f"  {memory} times redis-server's."
    yield f"- `python3 -m final` answers after {short(results.median('start', FINAL, 'ready without a log'))} s."
    yield f"- A log of a million SETs is read at {ratios('start', ('the log is read',))} of redis-server's rate."


def in_outgrown(results: Results) -> Iterator[str]:
    """Yield the lines of OUTGROWN.md: figures of this server and of redis-server."""

    def both(section: str, names: tuple[str, ...], unit: str = "", joined: str = ", ") -> str:
        columns = (joined.join(rounded(results.median(section, server, name)) for name in names)
                   for server in (FINAL, REDIS))  # fmt: skip
        return " | ".join(f"{column}{unit}" for column in columns)

    def longest(server: str) -> str:
        return rounded(max(results.values("rewrite", server, "BGREWRITEAOF: longest pause").values(), default=None))

    yield "| | here | redis-server |"
    yield "|---|--:|--:|"
    one = both("pipeline", ("GET P=1", "SET P=1"))
    yield f"| GET, SET in a second: 50 clients, one request at a time | {one} |"
    yield f"| … sixteen at a time | {both('pipeline', ('GET P=16', 'SET P=16'))} |"
    logged = both("log", ("SET P=1, everysec", "SET P=1, always"), joined="; ")
    yield f"| SET in a second with a log, `everysec`; `always` | {logged} |"
    yield f"| a million strings of 64 bytes in memory | {both('memory', ('strings: resident',), ' MB')} |"
    yield f"| a list of a million elements | {both('memory', ('list: resident',), ' MB')} |"
    yield f"| a start with a million SETs in the log | {both('start', ('ready with a million SETs',), ' s')} |"
    yield f"| the longest pause while the log is rewritten, of all rounds | {longest(FINAL)} ms | {longest(REDIS)} ms |"


def rounded(value: float | None) -> str:
    """Return a number with two or three digits.

    >>> rounded(123456.7), rounded(237.4), rounded(5.96), rounded(None)
    ('123 000', '237', '5.96', '-')
    """
    return short(value if value is None or value < 1000 else round(value, -3))


PAGES: dict[str, Callable[[Results], Iterator[str]]] = {"SPEED.md": in_speed, "OUTGROWN.md": in_outgrown}


def quoting(page: str, lines: Iterator[str]) -> str:
    """Return a page with its block replaced by these lines."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + "\n".join(lines) + "\n" + END + rest.partition(END)[2]


def write(results: Results, folder: Path) -> None:
    """Write the figures into the pages in a folder."""
    for name, lines in PAGES.items():
        path = folder / name
        path.write_text(quoting(path.read_text(), lines(results)))
