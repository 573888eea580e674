"""What stands before stage 01: a server that accepts, listens, and never says a word."""

import asyncio
import sys


async def run(port: int) -> None:
    """Serve until the process ends."""
    listener = await asyncio.start_server(lambda reader, writer: reader.read(), "127.0.0.1", port)
    await listener.serve_forever()


asyncio.run(run(int(sys.argv[sys.argv.index("--port") + 1])))
