"""Commands about what is kept on the disk."""

from ..engine.client import Client
from ..engine.command import ADMIN, NOSCRIPT, Server, command
from ..protocol.writer import Value


@command(ADMIN, NOSCRIPT, "no_async_loading")
def bgrewriteaof(server: Server, client: Client) -> Value:
    """BGREWRITEAOF: begin to write the log anew, as short as can be; the answer does not wait for its end."""
    return server.rewriter.ask(now=not in_transaction(client))


def in_transaction(client: Client) -> bool:
    """Whether EXEC is what runs this command: what it has changed is not yet in the log, so a rewrite has to wait."""
    return client.last_command == "exec"
