"""Measures the two forms that the base of a log may have: requests, or a snapshot. `python3 -m tests.tools.base_forms`

Of each, the CPU seconds to write and to load it, and its size: why `aof-use-rdb-preamble` has no effect in `final/`.
"""

from __future__ import annotations

import functools
import gc
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from final.engine.replay import replay
from final.log.base import write_base
from final.log.child import joined, write_file
from final.log.rdb.write import snapshot, with_checksum
from final.log.read import Progress, read_file
from tests.support.oracle import InProcess

KEYS = 1_000_000  # strings; of the other types, a fiftieth, with ten elements each


def contents(kind: str) -> Iterator[list[bytes]]:
    """The requests that make the data."""
    chance = random.Random(1)
    elements = [b"field%d" % number for number in range(10)]
    for number in range(KEYS if kind == "string" else KEYS // 50):
        key = b"key:%012d" % number
        values = [chance.randbytes(20) for _ in elements]
        match kind:
            case "string":
                yield [b"SET", key, chance.randbytes(64)]
            case "hash":
                yield [b"HSET", key, *(arg for pair in zip(elements, values, strict=True) for arg in pair)]
            case "list":
                yield [b"RPUSH", key, *values]
            case "set":
                yield [b"SADD", key, *values]
            case "zset":
                yield [b"ZADD", key, *(arg for value in values for arg in (b"%.3f" % chance.random(), value))]
            case "stream":
                yield from ([b"XADD", key, b"%d-0" % at, b"field", value] for at, value in enumerate(values, start=1))


def seconds(act: Callable[[], object]) -> float:
    """Run `act`; return the CPU seconds that it took."""
    began = time.process_time()
    act()
    return time.process_time() - began


def measure(kind: str, folder: Path) -> None:
    """Print a line for each form of a base with data of one type."""
    peer = InProcess()
    peer.ask_all(contents(kind))
    stores = peer.engine.stores
    requests, rdb = folder / "base.aof", folder / "base.rdb"
    gc.freeze()  # as in the child process that writes
    written = {
        requests: seconds(lambda: write_base(requests, stores, lambda: True)),
        rdb: seconds(lambda: write_file(rdb, with_checksum(joined(snapshot(stores, False)), True))),
    }
    gc.unfreeze()
    for path, took in written.items():
        size = path.stat().st_size
        peer = InProcess()
        loaded = seconds(functools.partial(replay, peer.engine, read_file(path, Progress(size))))
        print(
            f"{kind:8} {path.suffix}  written {took:5.2f} s  loaded {loaded:5.2f} s  {size / 1e6:6.1f} MB", flush=True
        )


def main() -> None:
    """Print the lines of all types."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("string", "hash", "list", "set", "zset", "stream"):
            measure(kind, Path(folder))


if __name__ == "__main__":
    main()
