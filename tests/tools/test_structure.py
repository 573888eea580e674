"""The report on a package's structure finds what is there: imports of every form, cycles, layers and lengths."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.structure import between_rooms, cycles, function_lengths, imports_of, layers, report

FILES = {
    "__init__.py": "",
    "__main__.py": "from .net.server import Server\nimport os, pkg.options\n",
    "options.py": "from . import protocol\n",
    "net/server.py": "def run():\n    from ..engine import engine\n",
    "engine/__init__.py": "",
    "engine/engine.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .evict import Eviction\n",
    "engine/evict.py": "from pkg.engine.engine import Engine\nfrom ..protocol import VERSION\n",
    "protocol/__init__.py": "VERSION = 2\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "pkg" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pkg" / name).write_text(text)
    return tmp_path / "pkg"


def test_imports_of_every_form_are_found(package: Path) -> None:
    found = {str(file): sorted(map(str, needs)) for file, needs in imports_of(package).items() if needs}
    assert found == {
        "__main__.py": ["net/server.py", "options.py"],
        "options.py": ["protocol/__init__.py"],
        "net/server.py": ["engine/engine.py"],
        "engine/engine.py": ["engine/evict.py"],
        "engine/evict.py": ["engine/engine.py", "protocol/__init__.py"],
    }


def test_modules_of_a_flat_folder_import_each_other_by_name(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("from store import Store\nimport json\n")
    (tmp_path / "store.py").write_text("")
    assert imports_of(tmp_path)[Path("server.py")] == {Path("store.py")}


def test_a_cycle_that_only_types_make_is_a_cycle_of_files_and_not_of_rooms(package: Path) -> None:
    graph = imports_of(package)
    assert cycles(graph) == [[Path("engine/engine.py"), Path("engine/evict.py")]]
    assert cycles(between_rooms(graph)) == []


def test_rooms_that_import_each_other_are_a_cycle(package: Path) -> None:
    (package / "protocol" / "reader.py").write_text("from ..engine.engine import Engine\n")
    assert cycles(between_rooms(imports_of(package))) == [["engine/", "protocol/"]]


def test_a_layer_imports_only_lower_ones_and_a_cycle_is_one_layer() -> None:
    assert layers({"a": {"b", "c"}, "b": {"c", "d"}, "c": {"b"}, "d": set()}) == [["d"], ["b", "c"], ["a"]]


def test_the_length_of_a_function_is_counted_without_its_docstring(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text('def f():\n    """Say\n    it."""\n    return 1\n\n\nasync def g():\n    pass\n')
    assert function_lengths(tmp_path) == [2, 2]


def test_the_report_names_what_it_counts(package: Path) -> None:
    (package / "long.py").write_text("\n" * 301)
    lines = list(report(package))
    assert "    2: engine/engine.py, engine/evict.py" in lines
    assert "    301: long.py" in lines
