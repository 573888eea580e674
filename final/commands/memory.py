"""MEMORY: the size of a value, and of the process. MODULE: there are no modules."""

import gc
import sys

from ..data.memory import SAMPLES, SLOT, memory_in_use, memory_peak, size_of
from ..data.store import Store
from ..engine.args import OptionCursor
from ..engine.command import ADMIN, NO_TOUCH, NOSCRIPT, PROTECTED, READONLY, UNCOUNTED
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import module_not_allowed, syntax_error
from ..protocol.writer import Value, Verbatim
from .info import memory_of_clients

FEW = 5 << 20  # bytes below which there is nothing to say
LITTLE = (
    "Hi Sam, this instance is empty or is using very little memory, my issues detector can't be used in these "
    "conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam and I will be back to "
    "our programming as soon as I finished rebooting.\n"
)
HEALTHY = "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n"


@command()
def memory(subcommand: bytes, *arguments: bytes) -> Value:
    """MEMORY subcommand [argument ...]: inspect the use of memory; see the subcommands."""


@command(READONLY, NO_TOUCH, UNCOUNTED, of="memory", keys="RO")
@complexity("O(N) for N samples")
def memory_usage(db: Store, key: bytes, *options: bytes) -> Value:
    """MEMORY USAGE key [SAMPLES count]: answer with the memory that key and value take, in bytes, or null."""
    samples = SAMPLES
    cursor = OptionCursor(options)
    for option in cursor:
        if option != b"samples" or (samples := cursor.integer()) < 0:
            raise syntax_error()
    value = db.peek(key)
    return None if value is None else size_of(key, value, samples)


@command(of="memory", tips="nondeterministic_output request_policy:all_shards response_policy:special")
def memory_stats(engine: Engine) -> Value:
    """MEMORY STATS: answer with numbers about memory, in bytes, as far as Python can tell them."""
    used, keys = memory_in_use(), sum(map(len, engine.stores))
    peak, dataset = max(used, memory_peak()), engine.eviction.used
    of_clients, of_replicas = memory_of_clients(engine)
    stats: dict[Value, Value] = {
        b"peak.allocated": peak,
        b"total.allocated": used,
        b"startup.allocated": engine.counters.startup_memory,
        b"replication.backlog": engine.primary.backlog.end - engine.primary.backlog.start,
        b"clients.slaves": of_replicas,
        b"clients.normal": of_clients,
        b"cluster.links": 0,
        b"aof.buffer": engine.log.waiting if engine.log is not None else 0,
        b"lua.caches": sum(map(len, engine.scripts.texts.values())),
        b"functions.caches": sum(map(len, engine.functions.codes)),
    }
    for store in filter(len, engine.stores):
        stats[b"db.%d" % store.index] = {
            b"overhead.hashtable.main": len(store) * SLOT,
            b"overhead.hashtable.expires": store.deadlines * SLOT,
        }
    return stats | {
        b"overhead.total": max(used - dataset, 0),
        b"keys.count": keys,
        b"keys.bytes-per-key": dataset // keys if keys else 0,
        b"dataset.bytes": dataset,
        b"dataset.percentage": 100 * dataset / used,
        b"peak.percentage": 100 * used / peak,
        **{b"allocator.%b" % name: used for name in (b"allocated", b"active", b"resident")},
        b"allocator-fragmentation.ratio": 1.0,
        b"allocator-fragmentation.bytes": 0,
        b"allocator-rss.ratio": 1.0,
        b"allocator-rss.bytes": 0,
        b"rss-overhead.ratio": 1.0,
        b"rss-overhead.bytes": 0,
        b"fragmentation": 1.0,
        b"fragmentation.bytes": 0,
    }


@command(of="memory", tips="request_policy:all_shards response_policy:all_succeeded")
@complexity("Depends on the memory in use.")
def memory_purge(engine: Engine) -> Value:
    """MEMORY PURGE: have Python free what only cycles of references keep."""
    if not engine.forked:  # else `Child` unfreezes, so that less memory is copied
        gc.unfreeze()
    gc.collect()
    return "OK"


@command(of="memory", tips="nondeterministic_output request_policy:all_shards response_policy:special")
def memory_doctor(engine: Engine) -> Value:
    """MEMORY DOCTOR: answer that too little memory is used to judge it, or that nothing is wrong."""
    grown = memory_in_use() - engine.counters.startup_memory
    return Verbatim((LITTLE if grown < FEW else HEALTHY).encode())


@command(of="memory", tips="nondeterministic_output request_policy:all_shards response_policy:special")
@complexity("Depends on the memory in use.")
def memory_malloc_stats() -> Value:
    """MEMORY MALLOC-STATS: answer with what Python knows of its allocator: the number of its blocks."""
    return Verbatim(f"Python's allocator: {sys.getallocatedblocks()} blocks in use\n".encode())


@command()
def module(subcommand: bytes, *arguments: bytes) -> Value:
    """MODULE subcommand [argument ...]: list the modules; see the subcommands."""


@command(ADMIN, NOSCRIPT, of="module", tips="nondeterministic_output_order")
@complexity("O(N) for N modules")
def module_list() -> Value:
    """MODULE LIST: answer with an empty array: modules are compiled for Redis's own program."""
    return []


@command(ADMIN, NOSCRIPT, PROTECTED, "no_async_loading", of="module")
def module_load(path: bytes, *arguments: bytes) -> Value:
    """MODULE LOAD path [arg ...]: always refused, as in Redis with `enable-module-command no`."""
    raise module_not_allowed()


@command(ADMIN, NOSCRIPT, PROTECTED, "no_async_loading", of="module")
def module_loadex(path: bytes, *arguments: bytes) -> Value:
    """MODULE LOADEX path [CONFIG name value [CONFIG name value ...]] [ARGS arg [arg ...]]: always refused, as MODULE LOAD."""  # noqa: E501
    raise module_not_allowed()


@command(ADMIN, NOSCRIPT, PROTECTED, "no_async_loading", of="module")
def module_unload(name: bytes) -> Value:
    """MODULE UNLOAD name: always refused, as MODULE LOAD."""
    raise module_not_allowed()
