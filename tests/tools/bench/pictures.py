"""Draws the results: each server as a multiple of redis-server."""

from __future__ import annotations

from pathlib import Path

from tests.tools.bench.results import Results
from tests.tools.bench.servers import FAKE, FINAL, FLOOR, REDIS, STAGE, UVLOOP

COLOURS = {FINAL: "#3b82c4", UVLOOP: "#1f4e79", FAKE: "#c98a3b", FLOOR: "#b8b8b8", STAGE: "#6aa84f", REDIS: "#c0392b"}
HIGHEST = 1.5  # a higher bar is cut off, and labelled with its number
PICTURES = {  # file name: (section, title, text that the shown `what`s contain)
    "pipeline": ("pipeline", "Requests in a second, by how many are sent at once", "P="),
    "commands": ("commands", "Requests in a second, 16 at once", "P=16"),
    "log": ("log", "SET in a second, by what the log promises", "SET"),
    "values": ("values", "Requests in a second, by the size of the value", ""),
    "clients": ("clients", "GET in a second, by the number of clients", ""),
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw each section that was measured; return the files, none if matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    return [
        bars(results, section, title, part, folder / f"speed-{name}.png")
        for name, (section, title, part) in PICTURES.items()
        if section in results.sections()
    ]


def bars(results: Results, section: str, title: str, part: str, path: Path) -> Path:
    """Draw a group of bars for each `what`: the ratio of each server to redis-server."""
    from matplotlib import pyplot

    shown = [what for what in results.of(section, "what") if part in what]
    servers = [name for name in results.of(section, "server") if name != REDIS]
    figure, axes = pyplot.subplots(figsize=(8, 3.2))
    width = 0.8 / max(len(servers), 1)
    for place, name in enumerate(servers):
        ratios = [results.ratio(section, (name, what), (REDIS, what)) or 0 for what in shown]
        places = [number + (place - (len(servers) - 1) / 2) * width for number in range(len(shown))]
        axes.bar(places, ratios, width, label=name, color=COLOURS.get(name))
        for where, ratio in zip(places, ratios, strict=True):
            if ratio > HIGHEST:
                axes.text(where, HIGHEST, f"{ratio:.1f}", fontsize=7, ha="center", va="bottom")
    axes.set_ylim(0, min(HIGHEST, axes.get_ylim()[1]))
    axes.axhline(1, color=COLOURS[REDIS], linewidth=1, label=REDIS)
    axes.set_xticks(range(len(shown)), [what.replace(", ", "\n") for what in shown], fontsize=8)
    axes.set_ylabel(f"of {REDIS}")
    axes.set_title(title, fontsize=10, pad=14)
    axes.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100, bbox_inches="tight")
    pyplot.close(figure)
    return path
