"""Commands for who runs the server."""

from command import command
from engine import Engine
from errors import ReplyError
from writer import Value


@command
def bgrewriteaof(engine: Engine) -> Value:
    """BGREWRITEAOF: rewrite the log in the background, soon; the answer does not wait for it."""
    if engine.rewriter is None:
        raise ReplyError("ERR there is no log: the server was started with --appendonly no")
    if engine.rewriter.child:
        raise ReplyError("ERR Background append only file rewriting already in progress")
    engine.rewriter.scheduled = True
    return "Background append only file rewriting started"
