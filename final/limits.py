"""What clients may take: so many of them, and so much that waits for one who does not read. It knows no client."""

import re
import resource
from dataclasses import dataclass, replace

UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 10**6, "mb": 1 << 20, "g": 10**9, "gb": 1 << 30}
OWN_FILES = 32  # files that are open beside those of the clients
CLASSES = {"normal": "normal", "slave": "replica", "replica": "replica", "pubsub": "pubsub"}


@dataclass(frozen=True)
class Limit:
    """For one class of clients: over `hard` bytes it is cut off at once, over `soft` ones after so many seconds."""

    hard: int  # 0: no limit
    soft: int  # the same
    seconds: int


@dataclass(frozen=True)
class Limits:
    """The limits of the classes; None: there are none. That of replicas is kept, though no replica comes.

    >>> print(Limits().changed("pubsub 10mb 5mb 10"))
    normal 0 0 0 slave 268435456 67108864 60 pubsub 10485760 5242880 10
    """

    normal: Limit | None = None
    replica: Limit | None = Limit(256 << 20, 64 << 20, 60)
    pubsub: Limit | None = Limit(32 << 20, 8 << 20, 60)

    def changed(self, text: str) -> "Limits":
        """The same, but with what `text` says of some classes. Raises ValueError with Redis's words."""
        words = text.split()
        if len(words) % 4:
            raise ValueError("Wrong number of arguments in buffer limit configuration.")
        found = self
        for name, *numbers in zip(*(words[place::4] for place in range(4)), strict=True):
            if name.lower() not in CLASSES:
                raise ValueError("Invalid client class specified in buffer limit configuration.")
            hard, soft, seconds = parse_memory(numbers[0]), parse_memory(numbers[1]), numbers[2]
            if hard is None or soft is None or not re.fullmatch(r"[0-9]{1,18}", seconds):
                raise ValueError("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
            limit = Limit(hard, soft, int(seconds)) if hard or soft else None
            found = replace(found, **{CLASSES[name.lower()]: limit})
        return found

    def __str__(self) -> str:
        each = (("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub))
        return " ".join(f"{name} {it.hard} {it.soft} {it.seconds}" if it else f"{name} 0 0 0" for name, it in each)


USUAL = Limits()


def parse_memory(text: str) -> int | None:
    """Read a number of bytes, with a unit or without; None where it is none.

    >>> parse_memory("2mb"), parse_memory("2 mb")
    (2097152, None)
    """
    match = re.fullmatch(r"([0-9]{0,127})([a-z]*)", text.lower())
    if match is None or match[2] not in UNITS:
        return None
    return min(int(match[1] or 0), 2**64 - 1) * UNITS[match[2]] % 2**64  # as C multiplies


def room_for(clients: int) -> int:
    """Have the system allow as many open files as so many clients need; tell how many clients it allows then."""
    wanted = clients + OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return clients
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return clients if allowed == wanted else max(allowed - OWN_FILES, 1)
