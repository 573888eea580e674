"""A small load generator, for machines without redis-benchmark. It is in Python: for slow servers only."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from stages.harness.wire import Incomplete, parse, request

if TYPE_CHECKING:
    from tests.tools.bench.load import Load, Measured


def written(load: Load) -> bytes:
    """Return the bytes of a request, with a random number if the load has one."""
    number = f"{random.randrange(load.keys):012}"
    args = ["x" * load.size if arg == "VALUE" else arg.replace("__rand_int__", number) for arg in load.args]
    return request(*args)


def replies_in(data: bytes) -> tuple[int, bytes]:
    """Return the number of complete replies in `data`, and the bytes after them."""
    found = 0
    while data:
        try:
            end = parse(data)[1]
        except Incomplete:
            break
        found, data = found + 1, data[end:]
    return found, data


async def client(port: int, load: Load, batches: list[bytes], times: list[float]) -> None:
    """Send batches until none is left; add the milliseconds of each to `times`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while batches:
        writer.write(batches.pop())
        began, missing, rest = time.perf_counter(), load.pipeline, b""
        while missing:
            found, rest = replies_in(rest + await reader.read(1 << 20))
            missing -= found
        times.append((time.perf_counter() - began) * 1000)
    writer.close()


def ask(port: int, load: Load, requests: int, seconds: float) -> Measured | None:
    """Send this number of requests; return None if it takes more than `seconds`."""
    from tests.tools.bench.load import Measured

    batches = [b"".join(written(load) for _ in range(load.pipeline)) for _ in range(requests // load.pipeline)]
    number, times = len(batches) * load.pipeline, list[float]()

    async def run() -> None:
        await asyncio.gather(*(client(port, load, batches, times) for _ in range(load.clients)))

    began = time.perf_counter()
    try:
        asyncio.run(asyncio.wait_for(run(), seconds))
    except (TimeoutError, OSError):
        return None
    rate = number / (time.perf_counter() - began)
    times.sort()
    return Measured(rate, times[len(times) // 2], times[len(times) * 99 // 100], times[-1])
