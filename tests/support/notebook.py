"""Reads notebooks, and runs their cells in a kernel."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.machine import within

if TYPE_CHECKING:
    from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COMPANIONS = [path for path in NOTEBOOKS if re.match(r"\d\d-", path.name)]
TOUR = ROOT / "notebooks" / "final-tour.ipynb"
SECONDS_PER_CELL = 60

Output = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook's file. `text` is what is run."""

    number: int
    kind: str
    text: str
    tags: frozenset[str] = frozenset()
    outputs: list[Output] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    count: int | None = None

    @property
    def source(self) -> str:
        """The cell's Python, without the first line `%%solution`."""
        return re.sub(r"\A%%solution.*\n", "", self.text)

    @property
    def is_solution(self) -> bool:
        """Whether it shows what a learner writes."""
        return "solution" in self.tags


def cells(path: Path) -> list[Cell]:
    """Read a notebook."""
    return [
        Cell(
            number,
            cell["cell_type"],
            "".join(cell["source"]),
            frozenset(cell["metadata"].get("tags", ())),
            cell.get("outputs", []),
            cell["metadata"],
            cell.get("execution_count"),
        )
        for number, cell in enumerate(json.loads(path.read_text())["cells"])
    ]


def code(path: Path) -> list[Cell]:
    """Read a notebook's code cells."""
    return [cell for cell in cells(path) if cell.kind == "code"]


def stage_of(path: Path) -> int:
    """Return the stage that a notebook is about; 0 for the tour of final/."""
    number = re.match(r"\d\d", path.name)
    return int(number[0]) if number else 0


@dataclass
class Ran:
    """What running a cell gave: its outputs, and the error's text if it raised one."""

    outputs: list[Output]
    error: str = ""

    @property
    def shown(self) -> str:
        """What Jupyter shows of the error."""
        return "".join("\n".join(output.get("traceback", ())) for output in self.outputs)

    @property
    def text(self) -> str:
        """All that it printed, and the error."""
        return "".join(output.get("text", "") for output in self.outputs) + self.error


class Kernel:
    """A running kernel in the folder notebooks/."""

    def __init__(self, client: NotebookClient) -> None:
        self.client = client

    @property
    def pid(self) -> int:
        """The pid of the kernel's process."""
        manager: Any = self.client.km
        return int(manager.provisioner.pid)

    def run(self, source: str) -> Ran:
        """Run a cell."""
        import nbformat
        from nbclient.exceptions import CellExecutionError

        cell: Any = nbformat.v4.new_code_cell(source)  # type: ignore[no-untyped-call]
        self.client.nb.cells = [cell]
        try:
            self.client.execute_cell(cell, 0)
        except CellExecutionError as error:
            return Ran(merged(cell.outputs), f"{error.ename}: {error.evalue}")
        return Ran(merged(cell.outputs))


def merged(outputs: list[Output]) -> list[Output]:
    """Return outputs in which what was printed in a row is one output."""
    found: list[Output] = []
    for output in json.loads(json.dumps(outputs)):
        if found and output["output_type"] == "stream" and output["name"] == found[-1].get("name"):
            found[-1]["text"] += output["text"]
        else:
            found.append(output)
    return found


@contextmanager
def kernel(stage: int, target: str = "reference", **environment: str) -> Iterator[Kernel]:
    """Start a kernel as notebooks/conftest.py does, for the notebook of a stage (0: the tour), without a network."""
    settings = {"NOTEBOOK_TARGET": target, "NOTEBOOK_STAGE": str(stage)}
    with kernel_in(ROOT, **settings, **environment) as running:
        yield running


@contextmanager
def kernel_in(folder: Path, **environment: str) -> Iterator[Kernel]:
    """Start a kernel in the folder notebooks/ of a copy of the course, without a network."""
    import nbformat  # here, since it takes 2 s, and each worker of pytest imports this module
    from nbclient import NotebookClient

    offline = {"PYTHONPATH": str(ROOT / "tests" / "support" / "offline")}
    client = NotebookClient(
        nbformat.v4.new_notebook(),  # type: ignore[no-untyped-call]
        timeout=int(within(SECONDS_PER_CELL)),
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(folder / "notebooks")}},
    )
    with client.setup_kernel(env={**os.environ, "NOTEBOOK_STATIC": "1", **offline, **environment}):
        yield Kernel(client)
