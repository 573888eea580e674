"""Run notebooks in a new kernel, and store the outputs: `python3 -m tests.tools.run_notebook notebooks/01-….ipynb …`.

Stops at the first cell that raises an error, and shows it; the file is then as it was. Code of a stage is formatted to
100 columns, the width of a cell; in the stage's own files it has 120.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.support.narrow import narrow
from tests.support.notebook import Kernel, Output, kernel, stage_of


def main(paths: list[str]) -> None:
    """Run each of the notebooks."""
    for path in map(Path, paths):
        with kernel(stage_of(path)) as running:
            store(path, running)


def store(path: Path, running: Kernel) -> None:
    """Run a notebook's cells, and write the file with their outputs."""
    book = json.loads(path.read_text())
    book["metadata"] = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
    }
    for cell in book["cells"]:
        cell["metadata"].pop("collapsed", None)  # outputs are shown
        if {"stage", "exercise"} & set(cell["metadata"].get("tags", ())):
            magic, source = re.findall(r"\A(%%solution.*\n)?((?:.|\n)*)", "".join(cell["source"]))[0]
            cell["source"] = (magic + narrow(source)).splitlines(keepends=True)
    for count, cell in enumerate((each for each in book["cells"] if each["cell_type"] == "code"), 1):
        ran = running.run("".join(cell["source"]))
        if ran.error and "raises-exception" not in cell["metadata"].get("tags", ()):
            sys.exit(f"{path}, code cell {count}:\n{ran.text}")
        for output in ran.outputs:
            if "execution_count" in output:
                output["execution_count"] = count
        cell["outputs"] = [in_lines(output) for output in ran.outputs]
        cell["execution_count"] = count
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n")
    print(f"{path}: {count} cells")


def in_lines(output: Output) -> Output:
    """Return an output with its texts as lists of lines, as Jupyter stores them."""
    data = output.get("data", {})
    lines = {kind: text.splitlines(keepends=True) for kind, text in data.items() if kind.startswith("text/")}
    changed = {"data": data | lines} if data else {}
    return output | changed | ({"text": output["text"].splitlines(keepends=True)} if "text" in output else {})


if __name__ == "__main__":
    main(sys.argv[1:])
