"""What stands before stage 01: a server that accepts, listens, and never says a word."""

import asyncio
import sys


async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take in all that a client says."""
    await reader.read()


async def run(port: int) -> None:
    """Serve until the process ends."""
    listener = await asyncio.start_server(listen, "127.0.0.1", port)
    await listener.serve_forever()


asyncio.run(run(int(sys.argv[sys.argv.index("--port") + 1])))
