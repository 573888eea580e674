"""The indexes of the keys in the requests of a command: the key specifications of Redis 7. It knows no command."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..protocol.numeric import atoi

READ = "RO access"  # the default of how a command uses a key, in the words of COMMAND INFO
NOT_KEY = "not_key"  # one that is no key, but in a cluster says which server a request is for, as a key does
NAMES = {"key", "source", "destination", "newkey"}  # parameters that are keys


@dataclass(frozen=True)
class KeySpec:
    """Some of a command's keys, which it uses in the same way."""

    # The index of the first key; where the keys are counted, of their number; where a keyword precedes them, the first
    # that it may have. 0: no index can say it.
    begin: int
    last: int = 0  # the index of the last key, from the first; where negative, from the end: -1 is the last argument
    step: int = 1  # from one key to the next
    counted: bool = False
    keyword: str = ""  # the key follows this argument; if `last` is -1, keys are all that follows it
    limit: int = 0  # 2: or only the first half of what follows it
    access: str = READ  # RO, RW, OW (overwrite) or RM (remove), and access, update, insert, delete
    notes: str = ""  # for people, as in COMMAND INFO

    def positions(self, args: Sequence[bytes]) -> range:
        """The indexes of the keys in a request; none where the number of keys is missing or wrong."""
        if not self.begin:
            return range(0)
        if self.keyword:
            names = [arg.lower() for arg in args[self.begin :]]
            keyword = self.keyword.lower().encode()
            first = self.begin + names.index(keyword) + 1 if keyword in names else len(args)
            behind = len(args) - first
            return range(first, first + (behind // (self.limit or 1) if self.last else min(behind, 1)))
        if not self.counted:
            stop = self.begin + self.last if self.last >= 0 else len(args) + self.last
            return range(self.begin, min(stop + 1, len(args)), self.step)
        number, first = atoi(args[self.begin]) if self.begin < len(args) else 0, self.begin + 1
        return range(first, first + number if 0 < number <= len(args) - first else first)


def derive(parameters: Sequence[str], depth: int, step: int, access: str) -> Iterator[KeySpec]:
    """Make the specifications from the names of a command's parameters; its own name takes `depth` arguments.

    A parameter of `NAMES` is a key, `key2` and `*keys` behind one are more of them, `numkeys` says how many follow.
    From `streams` on, the argument STREAMS is searched: behind it are keys, and as many IDs.
    `access` has the words for each specification, separated by commas; `step` is 2 for keys with values between them.
    If `*keys` has words of its own, it has a specification of its own. Words left over are for `beyond`.

    >>> [(each.begin, each.last) for each in derive(("key", "keys", "timeout"), 1, 1, "RW access delete")]
    [(1, -2)]
    >>> [(each.begin, each.counted) for each in derive(("destination", "numkeys", "key", "more"), 1, 1, "OW, RO")]
    [(1, False), (2, True)]
    """
    named = sum(name in NAMES for name in parameters)
    apart = "keys" in parameters and len(access.split(", ")) > named
    uses, found = iter(access.split(", ")), False
    for at, name in enumerate(parameters):
        if name == "numkeys":
            yield KeySpec(depth + at, counted=True, access=next(uses, READ))
            return
        if name == "streams":
            yield KeySpec(depth + at, last=-1, keyword="STREAMS", limit=2, access=next(uses, READ))
            return
        if name in NAMES or (name == "keys" and apart):
            found = True
            behind = parameters[at + 1 :]
            if step > 1 or name == "keys":
                last = -1
            elif apart:
                last = 0
            elif behind[:1] == ("keys",):
                last = -len(behind)
            else:
                last = int(behind[:1] == ("key2",))
            yield KeySpec(depth + at, last, step, access=next(uses, READ))
    if found:
        yield from map(beyond, uses)


def beyond(use: str) -> KeySpec:
    """Return the specification of a key that is no parameter: only `find_keys` can find it, or a keyword says where.

    >>> beyond("OW update after STORE from 5").positions([b"GEORADIUSBYMEMBER", b"k", b"m", b"1", b"m", b"store", b"d"])
    range(6, 7)
    """
    access, _, place = use.partition(" after ")
    keyword, _, begin = place.partition(" from ")
    first, _, last = begin.partition(" to ")
    return KeySpec(int(first or 0), int(last or 0), keyword=keyword, access=access)


def legacy(specs: Sequence[KeySpec]) -> tuple[int, int, int]:
    """First key, last key and step, as COMMAND showed them before Redis 7; zeros where they cannot say it."""
    ranges = [each for each in specs if each.begin and not (each.counted or each.keyword)]
    if len(specs) == len(ranges) == 1:
        (only,) = ranges
        return only.begin, only.last if only.last < 0 else only.begin + only.last, only.step
    first = last = 0
    for each in ranges:
        if each.step == 1 and (not last or each.begin == last + 1):
            first, last = first or each.begin, each.last if each.last < 0 else each.begin + each.last
    return first, last, int(first > 0)
