"""Replicas under load: cut off, stopped, killed, while clients write; then the data of both servers is compared.

    python3 -m tests.tools.replicating --rounds 100                                  # final/ is the primary
    python3 -m tests.tools.replicating --rounds 100 --primary redis --replica final  # and the other way round

In each round the connection breaks in some way, or a process is stopped or killed, or the primary rewrites its log.
At the end of a round both servers have the same keys, of the same types, with the same values and deadlines. At the end
the replica is promoted, while clients write to the primary: every write that WAIT acknowledged is there.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stages.harness.server import Server
from stages.harness.wire import Client
from tests.support.folders import UNLOGGED, everything
from tests.support.machine import within
from tests.support.oracle import PATIENCE, final_server, redis_server, valkey_server
from tests.support.proxy import Proxy
from tests.support.writers import Writers

Say = Callable[[str], None]
STARTS: dict[str, Callable[..., Any]] = {"final": final_server, "redis": redis_server, "valkey": valkey_server}
PASSING = UNLOGGED | {b"entries-read", b"lag"}  # Redis 7.0 does not tell its replicas how many entries a group has read
OPTIONS = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")


def fields(client: Client, section: str) -> dict[str, str]:
    """Return the fields of a section of INFO."""
    text: Any = client.ask("INFO", section)
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


def await_link(client: Client) -> None:
    """Wait until a replica is connected."""
    deadline = time.monotonic() + within(30)
    while fields(client, "replication").get("master_link_status") != "up":
        assert time.monotonic() < deadline, fields(client, "replication")
        time.sleep(0.02)


def await_equal(primary: Client, replica: Client) -> None:
    """Wait until a replica has executed all that its primary, which nobody writes to, has sent."""
    deadline = time.monotonic() + within(30)
    while True:
        await_link(replica)
        sent, done = (fields(each, "replication") for each in (primary, replica))
        if sent["master_repl_offset"] == done["slave_repl_offset"] and sent["master_replid"] == done["master_replid"]:
            return
        assert time.monotonic() < deadline, (sent, done)
        time.sleep(0.02)


def difference(primary: Client, replica: Client) -> dict[str, Any]:
    """Return what is not the same in both: key -> (value in the primary, value in the replica)."""
    ours, theirs = everything(primary, PASSING), everything(replica, PASSING)
    keys = [key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)]
    return {key: (ours.get(key), theirs.get(key)) for key in keys}


class Troubles:
    """What goes wrong in a round. `start` starts the replica, on its last snapshot if it was killed."""

    def __init__(self, proxy: Proxy, primary: Server, start: Callable[[int], Server]) -> None:
        self.proxy = proxy
        self.primary = primary
        self.start = start
        self.replica = start(0)

    def reset(self) -> None:
        """Break the connection."""
        self.proxy.cut()

    def resets(self) -> None:
        """Break it again and again."""
        for _ in range(5):
            self.proxy.cut()
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the replica's process for a moment."""
        stop_for_a_moment(self.replica)

    def stop_primary(self) -> None:
        """Stop the primary's process for a moment."""
        stop_for_a_moment(self.primary)

    def kill(self) -> None:
        """Kill the replica, and start it again on a snapshot that it has written before."""
        self.replica.connect().ask("SAVE")
        self.replica.kill()
        self.replica = self.start(self.replica.port)

    def kill_client(self) -> None:
        """Have the primary close the connection."""
        self.primary.connect().ask("CLIENT", "KILL", "TYPE", "replica")

    def rewrite(self) -> None:
        """Have the primary rewrite its log, and break the connection meanwhile."""
        self.primary.connect().ask("BGREWRITEAOF")
        self.proxy.cut()

    def start_again(self) -> None:
        """Have the replica forget all, and synchronise fully."""
        client = self.replica.connect()
        client.ask("REPLICAOF", "NO", "ONE")
        client.ask("REPLICAOF", "127.0.0.1", self.proxy.port)

    def flush(self) -> None:
        """Remove all keys, and break the connection."""
        self.primary.connect().ask("FLUSHALL")
        self.proxy.cut()

    def another(self) -> None:
        """Change how a full synchronisation is done, and have one."""
        now = self.primary.connect().ask("CONFIG", "GET", "repl-diskless-sync")
        assert isinstance(now, list)
        self.primary.connect().ask("CONFIG", "SET", "repl-diskless-sync", "no" if now[1] == b"yes" else "yes")
        self.start_again()


def stop_for_a_moment(server: Server) -> None:
    """Stop a process, and let it go on."""
    server.own_program.signal(signal.SIGSTOP)
    time.sleep(0.3)
    server.own_program.signal(signal.SIGCONT)


NAMES = [name for name in vars(Troubles) if not name.startswith("_")]


def run(
    rounds: int, seed: int, primary: str = "final", replica: str = "redis", say: Callable[[str], None] = print
) -> None:
    """Run so many rounds, and a promotion at the end. Raises AssertionError."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        log, folder = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        leading = stack.enter_context(STARTS[primary](*OPTIONS, data=log))
        proxy = stack.enter_context(Proxy(leading.port))
        above = connect(leading)

        def start(port: int) -> Server:
            options = ("--dir", str(folder), "--replicaof", f"127.0.0.1 {proxy.port}")
            server: Server = stack.enter_context(STARTS[replica](*options, port=port))
            connect(server).close()
            return server

        troubles = Troubles(proxy, leading, start)
        for number in range(rounds):
            names = chance.sample(NAMES, 2)
            with Writers(leading.port, seed + number) as writers:
                for name in names:
                    time.sleep(chance.random() / 3)
                    getattr(troubles, name)()
                time.sleep(chance.random() / 3)
            time.sleep(0.6)  # the keys with a short deadline have expired
            below = connect(troubles.replica)
            await_equal(above, below)
            differs = difference(above, below)
            assert not differs, f"seed {seed}, round {number}, {names}: {differs}"
            stats = fields(above, "stats")
            syncs = ", ".join(f"{stats['sync_' + kind]} {kind}" for kind in ("full", "partial_ok", "partial_err"))
            done = f"{writers.requests} requests, {len(everything(above))} keys the same"
            say(f"round {number + 1}: {', '.join(names)}; {done}; syncs: {syncs}")
            below.close()
        promote(leading, troubles.replica, seed, say)


def connect(server: Server) -> Client:
    """Return a client of a server, in which keys expire."""
    client = Client(server.port, PATIENCE)
    client.ask("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    client.ask("CONFIG", "SET", "timeout", 0)
    return client


def promote(leading: Server, following: Server, seed: int, say: Say) -> None:
    """Kill the primary while clients write, and promote the replica: it has what WAIT acknowledged."""
    below = connect(following)
    await_link(below)
    with Writers(leading.port, seed) as writers:
        deadline = time.monotonic() + within(20)
        while min(writers.acknowledged.values()) < 5:
            assert time.monotonic() < deadline, writers.acknowledged
            time.sleep(0.02)
        leading.kill()
    below.ask("REPLICAOF", "NO", "ONE")
    below.ask("SELECT", 0)
    for number, sequence in writers.acknowledged.items():
        held: Any = below.ask("GET", f"writer {number}")
        assert int(held) >= sequence, f"client {number}: {sequence} was acknowledged, and the replica has {held}"
    assert below.ask("SET", "after", "1") == "OK"
    say(f"promoted: {sorted(writers.acknowledged.values())} were acknowledged, and are there")


def main() -> None:
    """Run the rounds that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--primary", choices=STARTS, default="final")
    parser.add_argument("--replica", choices=STARTS, default="redis")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    run(chosen.rounds, chosen.seed, chosen.primary, chosen.replica, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
