"""The command line of the bench."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from stages.harness.course import ROOT
from tests.tools.bench import growth, pauses, quoted, throughput, units, weight
from tests.tools.bench.measuring import Bench
from tests.tools.bench.pictures import draw
from tests.tools.bench.report import page
from tests.tools.bench.results import Results, Row

SECTIONS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "pipeline": throughput.pipeline,
    "pythons": throughput.pythons,
    "commands": throughput.commands,
    "ranges": throughput.ranges,
    "units": units.units,
    "clients": throughput.clients,
    "values": throughput.values,
    "log": throughput.log,
    "latency": throughput.latency,
    "rewrite": pauses.rewrite,
    "expiry": pauses.expiry,
    "keys": growth.keys,
    "idle": growth.idle,
    "sorted sets": growth.sorted_sets,
    "streams": growth.streams,
    "huge": growth.huge,
    "memory": weight.memory,
    "start": weight.start,
}
FEWER = {  # the most rounds of long sections, so that all take 20 minutes
    **dict.fromkeys(("commands", "values", "log", "keys", "streams", "rewrite", "expiry", "huge", "start"), 3),
    "memory": 1,
}
KEPT = ROOT / "final" / "pictures"


def main() -> None:
    """Measure, print the page, and write `speed.json`, `speed.md`, pictures, and the figures that pages quote."""
    description = "Measure the speed of final/ beside other servers."
    parser = argparse.ArgumentParser(prog="python3 -m tests.tools.bench", description=description)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"all, or some of: {', '.join(SECTIONS)}")
    parser.add_argument("--rounds", type=int, default=0, help="the number of rounds (default: 5)")
    parser.add_argument("--short", action="store_true", help="one small round: only to see that it works")
    parser.add_argument("--redraw", action="store_true", help="measure nothing: write page and pictures again")
    parser.add_argument("--out", type=Path, help=f"folder to write to (default: {KEPT.relative_to(ROOT)}; a short run "
                        "writes nothing)")  # fmt: skip
    options = parser.parse_args()
    chosen = [] if options.redraw else [name.replace("-", " ") for name in options.sections] or list(SECTIONS)
    if unknown := set(chosen) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}")
    folder = options.out or (None if options.short else KEPT)
    results = Results.read(folder / "speed.json" if folder else Path("nowhere"))
    for name in chosen:
        most = FEWER.get(name, 99) if not options.rounds else options.rounds
        rounds = 1 if options.short else min(options.rounds or 5, most)
        began = time.monotonic()
        results.replace(name, list(SECTIONS[name](Bench(options.short, rounds, name))))
        print(f"{name}: {time.monotonic() - began:.0f} seconds", file=sys.stderr)
        keep(results, folder)  # a run that is interrupted keeps what was measured by then
    if options.redraw:
        keep(results, folder)
    sys.stdout.write(page(results))


def keep(results: Results, folder: Path | None) -> None:
    """Write the results, the page and the pictures."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    results.keep(folder / "speed.json")
    (folder / "speed.md").write_text(page(results))
    draw(results, folder)
    if folder == KEPT:
        quoted.write(results, KEPT.parent)


if __name__ == "__main__":
    main()
