"""The fast path: requests that touch nothing but the data, one after the other, with the questions asked once for all.

`Engine.execute` asks of each request a dozen things: whether the client has said the password, is in a MULTI, listens;
whether somebody monitors, an administrator wants quiet, memory or disk are full. The answers differ rarely, and a
command that is handed nothing but the data of one database cannot change any of them. So for as long as the requests
are for such commands it is enough to have asked before the first one. What they answer, change and log is the same
on both ways; a test holds that true.
"""

from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

from ..protocol.errors import ReplyError
from ..protocol.writer import encode
from .client import Client
from .command import PLAIN

if TYPE_CHECKING:
    from .engine import Engine


class FastPath:
    """The shorter of the two ways through the engine."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine

    def open_to(self, client: Client) -> bool:
        """Whether nothing stands in the way of this client's requests, and nobody looks at each of them."""
        engine = self.engine
        return (
            client.admitted(engine.options.requirepass)
            and client.queue is None
            and not (client.channels or client.patterns or client.mute or engine.scripts.busy)
            and not (engine.monitors.clients or engine.pause.until or engine.options.maxmemory)
            and not (engine.log is not None and engine.log.failure)
        )

    def take(
        self,
        client: Client,
        requests: list[list[bytes]],
        output: bytearray,
        most: int,
        room: int,
        deadline: float = inf,
    ) -> int:
        """Execute requests off the end of a list, up to one that has to go the long way; tell how many.

        At most so many, and no more when the replies in `output` have reached `room` bytes, or when the time
        is `deadline` by `perf_counter`.
        """
        if PLAIN.get(requests[-1][0]) is None or not self.open_to(client):
            return 0
        engine, unit, counters, protocol = self.engine, self.engine.unit, self.engine.counters, client.protocol
        options, limit = engine.options, engine.options.slowlog_log_slower_than
        keeping = engine.eviction.keeping  # without a limit: only how long keys were idle
        unheard = not (engine.waiting.lines or engine.watching.clients or options.notify_keyspace_events or keeping)
        slow = limit / 1e6 if limit >= 0 else inf
        before, began = len(requests), perf_counter()
        for _ in range(min(before, most)):
            args = requests[-1]
            command = PLAIN.get(args[0])
            if command is None or not command.fewest <= len(args) <= command.most or len(output) >= room:
                break
            requests.pop()
            unit.stopped = None
            if keeping:
                engine.eviction.see(client, command, args)
            try:
                answer = command.run(engine, client, args)
            except ReplyError as error:
                counters.error_replies += 1
                answer = error.with_traceback(None)
            except Exception as error:
                counters.commands_processed += before - len(requests)
                engine.mishaps.in_command(command, error)
                raise
            if unit.notes:
                if unheard and len(unit.notes) == 1 and unit.notes[0].log is None:
                    if engine.log is not None:
                        engine.log.append(client.db.index, args)
                    unit.notes.clear()
                else:
                    engine.complete(command, args)
                    engine.settle()
            if command.counts_lookups:
                counters.look_up(client.db, command, args)
            output += encode(answer, protocol)
            ended = perf_counter()
            if ended - began >= slow:
                engine.slowlog.keep(client, command, args, int((ended - began) * 1e6))
            began = ended
            client.last_command = command.name
            if ended >= deadline:
                break
        taken = before - len(requests)
        counters.commands_processed += taken
        return taken
