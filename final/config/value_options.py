"""The options that decide how values are encoded, and how often a key counts as used."""

from dataclasses import dataclass

from .option import option


@dataclass
class ValueOptions:
    """A part of `Options`."""

    hash_max_listpack_entries: int = option(
        512, "a hash with more fields is encoded as a hash table", settable=True, alias="hash-max-ziplist-entries"
    )
    hash_max_listpack_value: int = option(
        64, "and so is one with longer fields or values", settable=True, memory=True, alias="hash-max-ziplist-value"
    )
    list_max_listpack_size: int = option(
        -2, "elements in a node of a list; if negative, -1 to -5 for 4 to 64 KiB", settable=True,
        least=-(2**31), most=2**31 - 1, alias="list-max-ziplist-size",
    )  # fmt: skip
    zset_max_listpack_entries: int = option(
        128, "a sorted set with more members is encoded as a skip list", settable=True,
        alias="zset-max-ziplist-entries",
    )  # fmt: skip
    zset_max_listpack_value: int = option(
        64, "and so is one with longer members", settable=True, memory=True, alias="zset-max-ziplist-value"
    )
    set_max_intset_entries: int = option(512, "a set of more integers is encoded as a hash table", settable=True)
    hll_sparse_max_bytes: int = option(3000, "a HyperLogLog with more bytes is encoded as dense", settable=True,
                                       memory=True)  # fmt: skip
    stream_node_max_bytes: int = option(4096, "bytes of a node of a stream; 0: any number", settable=True,
                                        memory=True)  # fmt: skip
    stream_node_max_entries: int = option(100, "entries of a node of a stream; 0: any number", settable=True)
    lfu_log_factor: int = option(
        10, "how much more often a key must be used to count as used once more", settable=True, most=2**31 - 1
    )
    lfu_decay_time: int = option(
        1, "minutes in which a key counts as used once less; 0: it never does", settable=True, most=2**31 - 1
    )
