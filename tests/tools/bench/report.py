"""Writes the results as a page of Markdown: the wanted numbers and whether they are met, then each section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.tools.bench.pictures import PICTURES, name_of
from tests.tools.bench.results import Results
from tests.tools.bench.servers import FINAL, REDIS
from tests.tools.bench.targets import Target, all_of


def page(results: Results) -> str:
    """Return the page."""
    lines = [
        *("<!-- written by `make bench` (python3 -m tests.tools.bench): do not edit -->", ""),
        *(", ".join(f"{name} {value}" for name, value in results.machine.items()) + ".", ""),
        *wanted(all_of(results)),
    ]
    for section in results.sections():
        lines += ["", f"### {section}", ""]
        if section in PICTURES:
            lines += [f"![{PICTURES[section][0]}]({name_of(section)})", ""]
        lines += table(results, section)
        if section == "pythons":
            lines += ["", "What another version of Python gains:", "", *table(results, section, FINAL)]
    return "\n".join(lines) + "\n"


def wanted(targets: Iterable[Target]) -> Iterator[str]:
    """Yield the table of targets, without those that were not measured."""
    yield "| | measured | wanted | |"
    yield "|---|--:|--:|---|"
    for target in targets:
        if target.value is not None:
            bound = f"{'≥' if target.at_least else '≤'} {target.bound:g}"
            yield f"| {target.text} | {short(target.value)} | {bound} | {'met' if target.met else '**not met**'} |"


def table(results: Results, section: str, base: str = REDIS) -> Iterator[str]:
    """Yield the table of a section: ratios to a server, and its numbers; to final, if that server is not there."""
    servers = results.of(section, "server")
    base = base if base in servers else FINAL
    others = [name for name in servers if name not in (base, REDIS)]
    yield f"| | {' | '.join(f'{name} : {base}' for name in others)} | {base} | |"
    yield "|---|" + "--:|" * (len(others) + 1) + "---|"
    units = {row.what: row.unit for row in results.rows if row.section == section}
    for what in results.of(section, "what"):
        ratios = [results.ratio(section, (name, what), (base, what)) for name in others]
        amounts = [*map(short, ratios), short(results.median(section, base, what))]
        yield f"| {what} | {' | '.join(amounts)} | {units[what]} |"


def short(value: float | None) -> str:
    """Return a number with about three digits.

    >>> short(123456.7), short(12.345), short(0.5678), short(None)
    ('123 457', '12.3', '0.57', '-')
    """
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.{1 if abs(value) >= 10 else 2}f}"
