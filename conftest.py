"""Completes `pytest stages/03`; everything else about checkpoints is in `stages/harness/checkpoint.py`."""

from pathlib import Path

import pytest

pytest_plugins = ["stages.harness.checkpoint"]


def pytest_configure(config: pytest.Config) -> None:
    """Read `stages/03` as `stages/03-writer` wherever an argument begins so."""
    config.args[:] = [complete(argument, config.invocation_params.dir) for argument in config.args]


def complete(argument: str, folder: Path) -> str:
    """Answer with the argument, each missing part of its path completed to the one folder `part-…`."""
    path, *test = argument.split("::", 1)
    found = folder
    for part in Path(path).parts:
        candidates = list(found.glob(f"{part}-*")) if not (found / part).exists() else []
        found = candidates[0] if len(candidates) == 1 else found / part
    return "::".join([str(found), *test]) if found.exists() else argument
