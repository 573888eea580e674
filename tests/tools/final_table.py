"""Writes the table in final/README.md from the sources, and keeps the reasons: `python3 -m tests.tools.final_table`.

The table says how final/ grew out of the last stage: what of its code is the same, what has changed, what has moved to
another file. `stages/manifest.py` reads it, and a test holds it against the sources.
"""

from __future__ import annotations

from difflib import SequenceMatcher

from stages.desk import STAGES
from stages.manifest import HEADING, Sources, definitions, read, sources, without_dots
from stages.target import ROOT, stage_folder

README = ROOT / "final" / "README.md"


def rows(now: Sources, before: Sources, reasons: dict[str, str]) -> list[str]:
    """A line for each file of the stage, and for each file into which something of it has moved."""
    old = {file: definitions(text) for file, text in before.items()}
    new = {file: definitions(text) for file, text in now.items()}
    moved: dict[str, dict[str, str]] = {file: {} for file in new}  # file -> name -> the file it stood in
    gone: dict[str, list[str]] = {}
    for file, names in old.items():
        for name in names.keys() - new.get(file, {}).keys() - {"<module>"}:
            homes = [(likeness(new[home][name], names[name]), home) for home in new.keys() - old if name in new[home]]
            if homes:
                moved[max(homes)[1]][name] = file
            else:
                gone.setdefault(file, []).append(name)
    lines = []
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
        lines.append(f"| `{file}` | {status} | {', '.join(changed)} | {origins} | {reasons.get(file, '')} |")
    return lines


def likeness(one: str, other: str) -> float:
    """How much two texts have in common, from 0 to 1."""
    return SequenceMatcher(None, one, other).ratio()


def main() -> None:
    """Replace the table."""
    reasons = {row.file: row.reason for row in read(ROOT / "final")}
    now = {file: without_dots(text) for file, text in sources(ROOT / "final").items()}
    head = ["| file | status | given | moved from | why |", "|---|---|---|---|---|"]
    table = "\n".join([*head, *rows(now, sources(stage_folder(STAGES[-1])), reasons)])
    before, heading, after = README.read_text().partition(f"\n{HEADING}\n")
    intro, _, rest = after.partition("\n|")
    _, _, rest = rest.partition("|\n\n")
    README.write_text(f"{before}{heading}{intro}\n{table}\n\n{rest}")


if __name__ == "__main__":
    main()
