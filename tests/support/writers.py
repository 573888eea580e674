"""Clients that write to a server without a pause, all types in all ways, while a test cuts connections and kills.

A client notes what WAIT has told it: see `Writers.acknowledged`.
"""

from __future__ import annotations

import importlib.util
import random
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

from stages.harness.wire import Client, Mismatch, parse, request
from tests.support.oracle import PATIENCE

WRITES = """
    SET k v | SET k v PX 300 | SET k v PX 3000000 | GETEX k PX 4000000 | SETRANGE k 3 v | APPEND k v | INCR n
    INCRBYFLOAT f 0.1 | SETBIT b 77 1 | BITFIELD b INCRBY u8 3 1 | PFADD p v w | PFMERGE r p | GEOADD e 13.3 38.1 v
    RPUSH l v v v | LPUSH l v | LPOP l | RPOP l 2 | LMOVE l m LEFT RIGHT | LTRIM m 0 20 | LSET m 0 v | RPUSH q v
    LINSERT m BEFORE v w | RPUSH q v | SORT m ALPHA STORE t
    SADD s v v w | SPOP s | SREM s v | SMOVE s u v | SUNIONSTORE u s u | SPOP u 5
    HSET h v v w v | HINCRBY h n 3 | HINCRBYFLOAT h f 0.7 | HDEL h v
    ZADD z 1 v 2 w | ZINCRBY z 1.5 v | ZPOPMIN z | ZUNIONSTORE y 2 z y WEIGHTS 1 0.5 | ZREMRANGEBYRANK y 20 -1
    XADD x * f v | XADD x MAXLEN ~ 50 * f v | XTRIM x MAXLEN 70 | XREADGROUP GROUP g c COUNT 3 STREAMS x >
    XACK x g 1-1 | XAUTOCLAIM x g d 0 0 COUNT 2 | XDEL x 1-1
    EXPIRE l 5000 | PEXPIRE h 500 | PERSIST h | DEL k | UNLINK u | RENAME t u | COPY z y REPLACE | MOVE k 1
    PUBLISH c v
"""
SHAPES = [each.split() for line in WRITES.strip().splitlines() for each in line.split("|")]
SCRIPT = (
    "local v = redis.call('INCR', KEYS[1]) redis.call('SADD', KEYS[2], v, v + 1) return redis.call('SPOP', KEYS[2])"
)


class Writers:
    """Threads that write to a port of this machine, for the length of a `with` block.

    `acknowledged` has, for each client, the last number that it has written and that a replica has, by WAIT.
    """

    def __init__(self, port: int, seed: int, clients: int = 3) -> None:
        self.port = port
        self.ending = False
        self.acknowledged: dict[int, int] = dict.fromkeys(range(clients), 0)
        self.requests = 0
        self.lua = importlib.util.find_spec("lupa") is not None
        self.threads = [threading.Thread(target=self.write, args=[each, seed]) for each in range(clients)]
        self.threads += [threading.Thread(target=self.block, args=[args]) for args in BLOCKING]

    def __enter__(self) -> Writers:
        for each in self.threads:
            each.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop to write; wait until that is done."""
        self.ending = True
        for each in self.threads:
            each.join()

    def write(self, number: int, seed: int) -> None:
        """Write, a few requests at a time, until somebody stops it or the server has gone."""
        chance = random.Random(seed * 100 + number)
        with suppress(OSError, Mismatch):
            client = Client(self.port, PATIENCE)
            client.ask("XGROUP", "CREATE", "x", "g", "0", "MKSTREAM")
            sequence = 0
            while not self.ending:
                sequence += 1
                requests = [self.choose(chance) for _ in range(chance.randrange(1, 20))]
                if chance.random() < 0.3:
                    requests = [["MULTI"], *requests, ["EXEC"]]
                asks = ["WAIT", 1, 200] if sequence % 10 == 0 else ["PING"]  # milliseconds
                mark = [["SELECT", 0], ["SET", f"writer {number}", sequence], asks]
                requests += [*mark, ["SELECT", chance.randrange(3)]]
                client.send(b"".join(request(*each) for each in requests))
                replies: list[Any] = [parse(client.read_reply())[0] for _ in requests]
                self.requests += len(requests)
                _, written, copies, _ = replies[-4:]
                if written == "OK" and isinstance(copies, int) and copies >= 1:
                    self.acknowledged[number] = sequence
            client.close()

    def choose(self, chance: random.Random) -> list[Any]:
        """Return a request, with keys and values by chance."""
        if self.lua and chance.random() < 0.03:
            return ["EVAL", SCRIPT, 2, "counter", "set of numbers"]
        name, key, *rest = chance.choice(SHAPES)
        value = chance.choice(["", "a", str(chance.randrange(40)), "v" * chance.randrange(300)])
        return [name, key, *(f"{value}{each}" if each in ("v", "w") else each for each in rest)]

    def block(self, args: list[Any]) -> None:
        """Send a blocking command again and again."""
        with suppress(OSError, Mismatch):
            client = Client(self.port, PATIENCE)
            while not self.ending:
                client.ask(*args)
            client.close()


BLOCKING: list[list[Any]] = [
    ["BLPOP", "q", 0.1],
    ["BLMOVE", "q", "m", "LEFT", "RIGHT", 0.1],
    ["BZPOPMIN", "z", 0.1],
]
