"""Measures in rounds: in each round all servers take turns. The result is rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.tools.bench.load import LONGEST, Load, Measured, ask
from tests.tools.bench.results import Row
from tests.tools.bench.servers import Running

SECONDS = 0.5  # of load in each measurement
FIRST = 2000  # requests of the first run, from which `count` estimates the rate; it also warms the server up
FIRST_HUGE = 200  # the same for values that take long to send


@dataclass
class Bench:
    """The size of a run. A short run only shows that everything works."""

    short: bool = False
    rounds: int = 5
    section: str = ""
    counts: dict[tuple[int, Load], int] = field(default_factory=dict)

    def size(self, number: int) -> int:
        """Return `number`, or in a short run a smaller number."""
        return max(number // 500, min(number, 100)) if self.short else number

    def row(self, server: str, what: str, value: float, unit: str, round: int = 0) -> Row:
        """Return a measurement of this section as a row."""
        return Row(self.section, server, what, value, unit, round)

    def every_round(self) -> Iterator[int]:
        """Yield the number of each round."""
        for number in range(self.rounds):
            print(f"{self.section}: round {number + 1} of {self.rounds}", file=sys.stderr, flush=True)
            yield number

    def count(self, server: Running, load: Load) -> int:
        """Return the number of requests that take about `SECONDS`; 0 for a server that has stalled."""
        if self.short:
            return self.counts.get((server.port, load), load.clients * load.pipeline)
        least = load.clients * max(2 * load.pipeline, 20)  # with more clients, connecting takes more of the time
        place = (server.port, load)
        if place not in self.counts:
            first = ask(server, load, max(least, FIRST_HUGE if load.size > LONGEST else FIRST))
            self.counts[place] = max(least, int(first.rate * SECONDS)) if first else 0
        return self.counts[place]

    def ask(self, server: Running, load: Load, requests: int = 0) -> Measured | None:
        """Send a load to a server; return None if it stalls."""
        requests = requests or self.count(server, load)
        measured = ask(server, load, requests) if requests else None
        if measured is None:
            self.counts[server.port, load] = 0
        return measured

    def rates(self, servers: list[Running], wanted: dict[str, Load]) -> Iterator[Row]:
        """Yield requests a second of each server under each load, in every round."""
        for number in self.every_round():
            for what, load in wanted.items():
                for server in servers:
                    if measured := self.ask(server, load):
                        yield self.row(server.name, what, measured.rate, "requests/s", number)
