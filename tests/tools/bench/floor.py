"""The floor: an asyncio server that answers `+OK` to each request, without reading it; nothing in asyncio is faster.

A request begins with an asterisk, and the load has no other asterisks. So counting them is all that has to be done.
"""

import asyncio
import sys


class Floor(asyncio.Protocol):
    """A connection that answers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer as many times as there are requests in the chunk."""
        self.transport.write(b"+OK\r\n" * data.count(b"*"))  # type: ignore[attr-defined]


async def serve(port: int) -> None:
    """Serve for ever."""
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port, backlog=511)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[-1])))
