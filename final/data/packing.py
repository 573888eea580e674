"""Up to which size Redis packs a collection into one string: as a listpack or an intset.

A collection that has grown beyond a limit is converted, and never back; and a limit that becomes lower converts none
that is not written to. Mostly an encoding is seen from the value and the limits. So when a limit changes, all values
are looked at, and those encodings are remembered that would look different from then on (`Objects.keep_encodings`).

The limits are those of the process: a value does not know its server, and a process has one.
"""

from dataclasses import dataclass


@dataclass
class Limits:
    """The options of these names, with Redis's defaults."""

    hash_max_listpack_entries: int = 512
    hash_max_listpack_value: int = 64
    list_max_listpack_size: int = -2
    set_max_intset_entries: int = 512
    zset_max_listpack_entries: int = 128
    zset_max_listpack_value: int = 64
    lowered: bool = False  # there may be values that are packed and beyond the limits


LIMITS = Limits()
