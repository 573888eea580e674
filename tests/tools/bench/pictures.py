"""Draws the results: each server as a multiple of redis-server."""

from __future__ import annotations

from pathlib import Path

from tests.tools.bench.results import Results
from tests.tools.bench.servers import FAKE, FINAL, FLOOR, REDIS, STAGE, UVLOOP

COLOURS = {FINAL: "#3b82c4", UVLOOP: "#1f4e79", FAKE: "#c98a3b", FLOOR: "#b8b8b8", STAGE: "#6aa84f", REDIS: "#c0392b"}
HIGHEST = 1.5  # a higher bar is cut off, and labelled with its number
PICTURES = {  # section: (title, end of the shown `what`s)
    "pipeline": ("Requests in a second, by how many are sent at once (P)", ""),
    "pythons": ("Requests in a second, by the version of Python, and by how many are sent at once (P)", ""),
    "commands": ("Requests in a second, 16 at once", " P=16"),
    "ranges": ("LRANGE in a second, by the number of elements", ""),
    "clients": ("GET in a second, by the number of clients", ""),
    "values": ("Requests in a second, by the size of the value", ""),
    "log": ("SET in a second, by what the log promises, and by how many are sent at once (P)", ""),
    "keys": ("Requests in a second, by the number of keys, and by how many are sent at once (P)", " keys"),
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw each section that was measured; return the files, none if matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    return [bars(results, section, folder) for section in results.sections() if section in PICTURES]


def name_of(section: str) -> str:
    """Return the name of the file with the picture of a section."""
    return f"speed-{section}.png"


def label(what: str) -> str:
    r"""Return the text under a group of bars, on lines that are short enough.

    >>> label("SET P=1"), label("SET P=16, no log"), label("LRANGE 100"), label("INCR")
    ('SET\nP=1', 'SET\nP=16\nno log', 'LRANGE\n100', 'INCR')
    """
    broken = what.replace(", ", "\n").replace(" P=", "\nP=")
    return broken if "\n" in broken else what.replace(" ", "\n", 1)


def bars(results: Results, section: str, folder: Path) -> Path:
    """Draw a group of bars for each `what`: the ratio of each server to redis-server."""
    from matplotlib import pyplot

    title, end = PICTURES[section]
    shown = [what for what in results.of(section, "what") if what.endswith(end)]
    servers = [name for name in results.of(section, "server") if name != REDIS]
    figure, axes = pyplot.subplots(figsize=(8, 3.6))
    width = 0.8 / max(len(servers), 1)
    for place, name in enumerate(servers):
        ratios = [results.ratio(section, (name, what), (REDIS, what)) or 0 for what in shown]
        places = [number + (place - (len(servers) - 1) / 2) * width for number in range(len(shown))]
        axes.bar(places, ratios, width, label=name, color=COLOURS.get(name, f"C{place}"))
        for where, ratio in zip(places, ratios, strict=True):
            if ratio > HIGHEST:
                axes.text(where, HIGHEST, f"{ratio:.1f}", fontsize=7, ha="center", va="bottom")
    axes.set_ylim(0, max(1.1, min(HIGHEST, axes.get_ylim()[1])))
    axes.axhline(1, color=COLOURS[REDIS], linewidth=1, label=REDIS)
    axes.set_xticks(range(len(shown)), [label(what.removesuffix(end)) for what in shown], fontsize=9)
    axes.set_ylabel(f"times {REDIS}")
    axes.set_title(title, fontsize=11, pad=30)
    axes.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.03), ncols=6)
    axes.set_xlabel(machine(results), fontsize=8, color="#606060", labelpad=8)
    axes.spines[["top", "right"]].set_visible(False)
    path = folder / name_of(section)
    figure.savefig(path, dpi=100, bbox_inches="tight")
    pyplot.close(figure)
    return path


def machine(results: Results) -> str:
    """Return the machine and the versions in a line."""
    of = results.machine
    return f"{of['processor']}, {of['cores']} cores, {of['system']}; Python {of['Python']}, {REDIS} {of[REDIS]}"
