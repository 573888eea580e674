"""Writes the table in final/README.md from the sources, and keeps its reasons: `python3 -m tests.tools.final_table`.

The table compares the code of final/, docstrings left out, with the last stage: which code is the same, which has
changed, and which has moved to another file. `stages/desk/manifest.py` reads the table, and a test compares it with
the sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from stages.desk.manifest import HEADING, Row, Sources, read, sources
from stages.harness.course import ROOT, STAGES, stage_folder
from tests.support.definitions import definitions
from tests.support.table import code_of, flat_names, without_dots

README = ROOT / "final" / "README.md"
ALIKE = 0.4  # less alike is another function of the same name


HEAD = ("| file | status | given | moved from | why |", "|---|---|---|---|---|")


def table(package: Sources, before: Sources, old: list[Row]) -> list[str]:
    """Return the lines of the table. `old` is the present table: its reasons, and its choice of rooms, are kept."""
    reasons = {row.file: row.reason for row in old if row.reason}
    by_name = {file.rpartition("/")[2]: reason for file, reason in reasons.items()}
    names = named(package, before, old)
    paths = {name: path for path, name in names.items()}
    now = {names.get(path, path): without_dots(text) for path, text in package.items()}
    lines = []
    for file, status, given, moved in rows(now, before):
        path = paths.get(file, file)
        reason = reasons.get(path) or by_name.get(path.rpartition("/")[2], "")
        lines.append(f"| `{path}` | {status} | {given} | {moved} | {reason} |")
    return [*HEAD, *sorted(lines)]


def named(package: Sources, before: Sources, old: list[Row]) -> dict[str, str]:
    """Map each path in final/ to a file name of the stages.

    If two rooms have a file of that name, and the table does not choose one, take the more similar one.
    """
    chosen = {row.file for row in old if row.status in ("grown", "carried")}
    names = flat_names(package, before, chosen)
    for name in before.keys() - names.values():
        rivals = [path for path in package if path.rpartition("/")[2] == name]
        if rivals:
            names[max(rivals, key=lambda path: likeness(without_dots(package[path]), before[name]))] = name
    return names


def rows(now: Sources, before: Sources) -> Iterator[tuple[str, str, str, str]]:
    """Yield (file, status, given, moved from) for each file of the stage, and for each file that got code of it."""
    old = {file: definitions(text) for file, text in before.items()}
    new = {file: definitions(text) for file, text in now.items()}
    moved: dict[str, dict[str, str]] = {file: {} for file in new}  # file -> name -> the file that had it
    gone: dict[str, list[str]] = {}
    for file, names in old.items():
        for name in names.keys() - new.get(file, {}).keys() - {"<module>"}:
            homes = [(likeness(new[home][name], names[name]), home) for home in new.keys() - old if name in new[home]]
            if homes and max(homes)[0] > ALIKE:
                moved[max(homes)[1]][name] = file
            else:
                gone.setdefault(file, []).append(name)
    for file in sorted({*old, *(file for file in new if moved[file])}):
        status = "removed" if file not in new else "new" if file not in old else "grown"
        status = "carried" if now.get(file) == before.get(file) else status
        origin = {**old.get(file, {}), **{name: old[of][name] for name, of in moved.get(file, {}).items()}}
        changed = [f"`{name}`" for name, text in new.get(file, {}).items() if name in origin and origin[name] != text]
        changed += [f"~~`{name}`~~" for name in sorted(gone.get(file, []))]
        places: dict[str, list[str]] = {}
        for name, of in sorted(moved.get(file, {}).items()):
            places.setdefault(of, []).append(f"`{name}`")
        origins = "; ".join(f"{', '.join(names)} from `{of}`" for of, names in places.items())
        yield file, status, ", ".join(changed), origins


def likeness(one: str, other: str) -> float:
    """Return how similar two texts are, from 0 to 1."""
    return SequenceMatcher(None, one, other).ratio()


def main() -> None:
    """Replace the table in final/README.md."""
    package, stage = (code_of(sources(folder)) for folder in (ROOT / "final", stage_folder(STAGES[-1])))
    lines = table(package, stage, read(ROOT / "final"))
    written = "\n".join(lines)
    before, heading, after = README.read_text().partition(f"\n{HEADING}\n")
    intro, _, rest = after.partition("\n|")
    _, _, rest = rest.partition("|\n\n")
    README.write_text(f"{before}{heading}{intro}\n{written}\n\n{rest}")


if __name__ == "__main__":
    main()
