"""How it is measured: round after round, in each of which all servers take their turns; what comes out is rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.tools.bench.load import LONGEST, Load, Measured, ask
from tests.tools.bench.results import Row
from tests.tools.bench.servers import Running

SECONDS = 0.5  # for which a server is asked
FIRST = 2000  # requests of the run that tells how many there should be; it also warms the server up
FIRST_HUGE = 200  # the same, of values that take long to send


@dataclass
class Bench:
    """How much is measured. A short run shows that everything works, and no more."""

    short: bool = False
    rounds: int = 5
    section: str = ""
    counts: dict[tuple[int, Load], int] = field(default_factory=dict)

    def size(self, number: int) -> int:
        """Of what there is a lot: so many, in a short run fewer."""
        return max(number // 500, min(number, 100)) if self.short else number

    def row(self, server: str, what: str, value: float, unit: str, round: int = 0) -> Row:
        """A measurement."""
        return Row(self.section, server, what, value, unit, round)

    def every_round(self) -> Iterator[int]:
        """The rounds, by their numbers."""
        for number in range(self.rounds):
            print(f"{self.section}: round {number + 1} of {self.rounds}", file=sys.stderr, flush=True)
            yield number

    def count(self, server: Running, load: Load) -> int:
        """How many requests take about `SECONDS`; whoever stalls is asked no more, and that is 0."""
        if self.short:
            return self.counts.get((server.port, load), load.clients * load.pipeline)
        least = load.clients * max(2 * load.pipeline, 20)  # the more clients, the more of the time is connecting
        place = (server.port, load)
        if place not in self.counts:
            first = ask(server, load, max(least, FIRST_HUGE if load.size > LONGEST else FIRST))
            self.counts[place] = max(least, int(first.rate * SECONDS)) if first else 0
        return self.counts[place]

    def ask(self, server: Running, load: Load, requests: int = 0) -> Measured | None:
        """Ask a server for a while; None where it stalls."""
        requests = requests or self.count(server, load)
        measured = ask(server, load, requests) if requests else None
        if measured is None:
            self.counts[server.port, load] = 0
        return measured

    def rates(self, servers: list[Running], wanted: dict[str, Load]) -> Iterator[Row]:
        """Requests in a second, for each load by its name and each server, round after round."""
        for number in self.every_round():
            for what, load in wanted.items():
                for server in servers:
                    if measured := self.ask(server, load):
                        yield self.row(server.name, what, measured.rate, "requests/s", number)
