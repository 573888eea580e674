"""Runs of GET, SET and INCR: what several requests do to the strings of a database, in one loop (`engine/runs.py`)."""

from collections.abc import Sequence

from ..protocol.numeric import parse_integer
from ..protocol.writer import SHORT
from .kinds import Args
from .objects import Objects
from .unit import Unit

QUICK = 16 * 1024  # bytes; to copy or to free a shorter string takes less than 1 µs
DIGITS = 18  # bytes of an integer to which one can be added, whatever it is


class StringRuns(Objects):
    """The loops, for requests that all have the name of the first one. Each ends at a request that is not as simple."""

    unit: Unit
    _deadlines: dict[bytes, int]

    def overdue(self, key: bytes) -> bool:
        """Return whether the deadline of `key` has passed. The key is not removed."""
        raise NotImplementedError

    def quick(self, key: bytes) -> bytes | None:
        """Do what `get` and `look_up` do for a key with a string that is copied quickly; None: nothing was done."""
        value = self._values.get(key)
        if type(value) is not bytes or len(value) >= QUICK or (self._deadlines and self.overdue(key)):
            return None
        self.unit.hits += 1
        if self.tracking:
            self._used[key] = self.unit.recently
        return value

    def gets(self, requests: Sequence[Args]) -> list[bytes | None]:
        """Do what `get` and `look_up` do for GETs that find a short string, or nothing. Return these."""
        found: list[bytes | None] = []  # `list[bytes | None]()` makes a type at each call, which takes 0.4 µs
        values, deadlines, add = self._values.get, self._deadlines, found.append
        name, missing, now = requests[0][0], 0, self.unit.now if deadlines else 0
        for args in requests:
            if len(args) != 2 or args[0] != name:
                break
            value = values(args[1])
            if value is None:
                missing += 1
            elif type(value) is not bytes or len(value) >= SHORT or (deadlines and deadlines.get(args[1], now) < now):
                break
            add(value)
        self.unit.hits += len(found) - missing
        self.unit.misses += missing
        if self.tracking:
            used, now = self._used, self.unit.recently
            for args, value in zip(requests, found, strict=False):
                if value is not None:
                    used[args[1]] = now
        return found

    def sets(self, requests: Sequence[Args]) -> int:
        """Do what `put` and `changed` do for SETs, as far as they are plain, but note nothing; return how many are."""
        values, deadlines, encodings, done = self._values, self._deadlines, self._encodings, 0
        name, now = requests[0][0], self.unit.recently
        for args in requests:
            if len(args) != 3 or args[0] != name:
                break
            key = args[1]
            old = values.get(key, b"")
            if type(old) is not bytes or len(old) >= QUICK or key in deadlines or key in encodings:
                break  # also what takes long to free
            values[key] = args[2]
            if self.tracking:
                self._used[key] = now
            done += 1
        self.unit.changes += done
        return done

    def increments(self, requests: Sequence[Args]) -> list[bytes]:
        """Do what `replace` and `changed` do for INCRs of integers, but note nothing; return the sums."""
        values, deadlines, encodings = self._values, self._deadlines, self._encodings
        sums: list[bytes] = []
        name, now = requests[0][0], self.unit.recently
        for args in requests:
            if len(args) != 2 or args[0] != name:
                break
            key = args[1]
            old = values.get(key, b"0")
            if type(old) is not bytes or len(old) > DIGITS or key in encodings or (deadlines and self.overdue(key)):
                break
            number = parse_integer(old)
            if number is None:
                break
            values[key] = total = b"%d" % (number + 1)
            if self.tracking:
                self._used[key] = now
            sums.append(total)
        self.unit.changes += len(sums)
        return sums
