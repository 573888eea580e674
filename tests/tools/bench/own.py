"""A small load generator, for machines without redis-benchmark. It is a Python program: slow servers only."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from stages.harness.wire import Incomplete, parse, request

if TYPE_CHECKING:
    from tests.tools.bench.load import Load, Measured


def written(load: Load) -> bytes:
    """The request, with a random number where one is wanted."""
    number = f"{random.randrange(load.keys):012}"
    args = ["x" * load.size if arg == "VALUE" else arg.replace("__rand_int__", number) for arg in load.args]
    return request(*args)


def replies_in(data: bytes) -> tuple[int, bytes]:
    """How many whole replies there are, and what is left."""
    found = 0
    while data:
        try:
            end = parse(data)[1]
        except Incomplete:
            break
        found, data = found + 1, data[end:]
    return found, data


async def client(port: int, load: Load, batches: list[bytes], times: list[float]) -> None:
    """Ask until no batch is left, and note how long each took."""
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
    """Ask so many times, or give up."""
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
