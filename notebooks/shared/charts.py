"""Draws measurements with matplotlib. `description` is the text for those who cannot see the picture."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any

from .colours import BLUE, GREEN, GREY, ORANGE, PURPLE, RED


def figure(width: float = 7.5, height: float = 3.6, panels: int = 1) -> tuple[Any, Any]:
    """Return a matplotlib figure with a transparent background and its axes, in a middle grey; sizes in inches."""
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
    """Return a figure as a PNG that Jupyter shows under the cell."""
    from IPython.display import Image

    data = io.BytesIO()
    drawing.savefig(data, format="png", dpi=160, transparent=True)
    return Image(data.getvalue(), width=int(drawing.get_figwidth() * 100), alt=description)  # type: ignore[no-untyped-call]


def draw_lines(
    lines: dict[str, dict[float, float]], across: str, upward: str, description: str, logarithmic: bool = True
) -> Any:
    """Draw a line for each name through its points, x -> y, with the name at the line's end."""
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
        axes.set_xticks(measured, [f"{x:.15g}" for x in measured])  # not 1e+06
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(across)
    axes.set_ylabel(upward)
    axes.margins(x=0.05)
    return picture(drawing, description)


def draw_visits(visits: dict[str, list[tuple[float, float]]], description: str) -> Any:
    """Draw when clients were answered and when they left: a panel for each server, (answered, left) in ms for each.

    Until its answer a client is drawn as a thin line, from then on as a block.
    """
    drawing, panels = figure(height=3.2, panels=len(visits))
    longest = max(left for times in visits.values() for _, left in times)
    for axes, (name, times) in zip(panels, visits.items(), strict=True):
        for row, (answered, left) in enumerate(sorted(times), 1):
            axes.plot([0, answered], [row, row], color=ORANGE, linewidth=1)
            axes.barh(row, left - answered, 0.7, answered, color=BLUE)
        last = max(answered for answered, _ in times)
        axes.set_title(f"{name}\nlast answer after {last:.0f} ms", fontsize=10)
        axes.set(xlim=(0, 1.05 * longest), ylim=(len(times) + 1, 0), yticks=sorted({1, len(times)}))
        axes.set_xlabel("milliseconds")
        axes.grid(axis="y", visible=False)
    panels[0].set_ylabel("client")
    return picture(drawing, description)


def draw_pipeline(rates: dict[int, float], description: str) -> Any:
    """Draw the rate for each depth of the pipeline: depth -> requests a second."""
    drawing, axes = figure()
    depths, thousands = list(rates), [rate / 1000 for rate in rates.values()]
    axes.plot(depths, thousands, marker="o", color=BLUE, linewidth=2)
    axes.fill_between(depths, thousands, color=BLUE, alpha=0.12)
    for depth, rate, place in ((depths[0], thousands[0], (24, -12)), (depths[-1], thousands[-1], (0, -18))):
        label: dict[str, Any] = {"xytext": place, "textcoords": "offset points", "ha": "center", "weight": "bold"}
        axes.annotate(f"{rate:.0f} 000", (depth, rate), color=BLUE, **label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(depths, [str(depth) for depth in depths])
    axes.set_ylim(0, 1.15 * max(thousands))
    axes.set_xlabel("requests sent before the first answer is read")
    axes.set_ylabel("thousand SETs a second")
    return picture(drawing, description)


def draw_steps(values: Sequence[int], across: str, upward: str, mark: int, description: str) -> Any:
    """Draw `values` at x = 0, 1, 2, … as steps, with a vertical line at x = `mark`."""
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


def draw_latencies(waits: dict[str, list[float]], description: str, what: str = "milliseconds until the reply") -> Any:
    """Draw the median and the 99th percentile, in milliseconds, for each name and its times in seconds.

    `what` is the text below the axis.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    drawing, axes = figure(height=3)
    for row, times in enumerate(waits.values()):
        ordered = sorted(times)
        median, slow = (1000 * ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
        axes.plot([median, slow], [row, row], color=GREY, linewidth=2, zorder=1)
        for value, colour, marker, title in ((median, BLUE, "o", "p50"), (slow, ORANGE, "D", "p99")):
            axes.scatter(value, row, s=60, color=colour, marker=marker, zorder=2, label=title if row == 0 else None)
            label = {"xytext": (0, 8), "textcoords": "offset points", "ha": "center", "fontsize": 9}
            axes.annotate(f"{value:.2f}", (value, row), color=colour, **label)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(waits)), list(waits))
    axes.invert_yaxis()
    axes.margins(x=0.08, y=0.25)
    axes.set_xlabel(what)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return picture(drawing, description)


def draw_journey(calls: Sequence[tuple[int, str, str]], files: Sequence[str], description: str) -> Any:
    """Draw function calls, (depth, file, function), a row for each call, in the column of its file, `folder/name`.

    The bar of a call covers the rows of all calls that it makes; an arrow leads to it from its caller. A call that is
    repeated directly is drawn once, with the number of times.
    """
    steps = [(call, len(list(same))) for call, same in itertools.groupby(calls)]
    drawing, axes = figure(width=max(9, 1.1 * len(files)), height=0.8 + 0.235 * len(steps))
    tints = dict(zip(files, itertools.cycle((BLUE, ORANGE, PURPLE, GREEN, RED)), strict=False))
    above: list[tuple[str, float]] = []  # the calls that have not returned: file, and x of the bar
    for row, ((depth, file, function), times) in enumerate(steps):
        del above[depth:]
        end = next((later for later in range(row + 1, len(steps)) if steps[later][0][0] <= depth), len(steps))
        place = files.index(file) + 0.12 * [each for each, _ in above].count(file)
        axes.bar(place, end - row - 0.3, 0.1, row - 0.35, color=tints[file], zorder=3)
        if above and above[-1][0] != file:
            arrow = {"arrowstyle": "-|>", "color": tints[file], "shrinkA": 5, "shrinkB": 5}
            axes.annotate("", (place, row), (above[-1][1], row), arrowprops=arrow, zorder=2)
        label: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 9}
        axes.annotate(f"{function}, {times} times" if times > 1 else function, (place, row), (8, 0), **label)
        above.append((file, place))
    titles = [file.replace("/", "/\n") for file in files]
    axes.set_xticks(range(len(files)), titles, weight="bold", fontsize=9)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    for title, file in zip(axes.get_xticklabels(), files, strict=True):
        title.set_color(tints[file])
    axes.set(xlim=(-0.3, len(files) - 0.1), ylim=(len(steps) - 0.4, -0.8), yticks=[])
    axes.grid(axis="x", linestyle=":", alpha=0.6)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return picture(drawing, description)


def draw_files(history: Sequence[dict[str, int]], writes: int, marks: dict[int, str], description: str) -> Any:
    """Draw the sizes of the files of an append-only file as layers, with a labelled line at each mark.

    `history` has the sizes, file name -> bytes, after every `writes` writes; `marks` maps an index in it to a label.
    """
    drawing, axes = figure()
    names = sorted({name for sizes in history for name in sizes})  # a base before the increment of the same number
    across = [writes * number for number in range(len(history))]
    layers = [[sizes.get(name, 0) / 1000 for sizes in history] for name in names]
    labels = [name.removeprefix("appendonly.aof.").removesuffix(".aof") for name in names]
    increments, bases = itertools.cycle((BLUE, ORANGE, PURPLE)), itertools.cycle(("///", "...", "xxx"))
    tints = [GREEN if "base" in name else next(increments) for name in names]
    hatches = [next(bases) if "base" in name else "" for name in names]
    axes.stackplot(
        across, layers, labels=labels, colors=tints, hatch=hatches, edgecolor="white", alpha=0.75, step="post"
    )
    drawing.legend(loc="outside lower center", ncols=len(names))
    for mark, label in marks.items():
        axes.axvline(mark * writes, color=RED, linewidth=1.5, linestyle="--")
        axes.annotate(label, (mark * writes, 1), (6, -10), ("data", "axes fraction"), "offset points", color=RED)
    axes.set_xlabel("writes")
    axes.set_ylabel("kilobytes on the disk")
    axes.margins(x=0, y=0.15)
    return picture(drawing, description)


def draw_ratios(rates: dict[str, dict[tuple[str, int], float]], baseline: str, description: str) -> Any:
    """Draw the rates of each server, (command, depth) -> requests a second, as multiples of the rates of `baseline`."""
    drawing, panels = figure(height=3.4, panels=2)
    others = [name for name in rates if name != baseline]
    for axes, command in zip(panels, dict.fromkeys(command for command, _ in rates[baseline]), strict=True):
        depths = [depth for each, depth in rates[baseline] if each == command]
        for number, (name, colour, hatch) in enumerate(zip(others, (BLUE, ORANGE), ("", "//"), strict=False)):
            for place, depth in enumerate(depths):
                rate = rates[name][command, depth]
                ratio = rate / rates[baseline][command, depth]
                across = place + 0.42 * (number - (len(others) - 1) / 2)
                label_once = name if place == 0 else None
                axes.bar(across, ratio, 0.38, color=colour, hatch=hatch, edgecolor="white", label=label_once)
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
