"""The floor: an asyncio server that replies `+OK` without parsing requests; nothing in asyncio is faster.

A request begins with an asterisk, and the load has no other asterisks. So it only counts them.
"""

import asyncio
import sys


class Floor(asyncio.Protocol):
    """A client's connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the replies."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Reply to each request in the chunk."""
        self.transport.write(b"+OK\r\n" * data.count(b"*"))  # type: ignore[attr-defined]


async def serve(port: int) -> None:
    """Serve until the process is killed."""
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port, backlog=511)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[-1])))
