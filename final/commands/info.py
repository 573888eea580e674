"""INFO."""

import os
import platform
import resource
import sys
from collections.abc import Callable

from ..config.options import RELEASE
from ..data.memory import memory_in_use, memory_peak
from ..engine.command import IN_DANGEROUS, LOADING, STALE
from ..engine.context import Engine
from ..engine.signature import command
from ..log.childinfo import ChildInfo
from ..protocol.writer import Value, Verbatim
from ..replication.attached import State
from ..replication.replica_fields import replica_fields
from .info_calls import about_calls, about_errors, about_latencies

Fields = dict[str, object]
DEFRAGMENTED = (  # fields of Redis that are always 0 here
    *("active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits", "active_defrag_key_misses"),
    *("total_active_defrag_time", "current_active_defrag_time"),
)
THREADS_AND_BUFFERS = (
    *("io_threaded_reads_processed", "io_threaded_writes_processed", "reply_buffer_shrinks", "reply_buffer_expands"),
)
UNKNOWN = ("allocator_frag", "allocator_rss", "rss_overhead", "mem_fragmentation")  # Python does not say
NOT_DEFAULT = {"Commandstats", "Latencystats"}  # sections that INFO shows only if they, or all, are asked for


@command(LOADING, STALE, IN_DANGEROUS, tips="nondeterministic_output request_policy:all_shards response_policy:special")
def info(engine: Engine, *sections: bytes) -> Value:
    """INFO [section ...]: answer with statistics as text: lines of `# Section` and `field:value`."""
    wanted = {section.lower().decode(errors="replace") for section in sections}
    everything, default = wanted & {"all", "everything"}, not wanted or "default" in wanted
    parts = [
        f"# {name}\r\n" + "".join(f"{field}:{value}\r\n" for field, value in fields(engine).items())
        for name, fields in SECTIONS.items()
        if everything or name.lower() in wanted or (default and name not in NOT_DEFAULT)
    ]
    return Verbatim("\r\n".join(parts).encode())


def about_server(engine: Engine) -> Fields:
    """Return the Server section: version, platform, process, uptime."""
    uptime = (engine.steady() - engine.started) // 1000
    return {
        "redis_version": RELEASE.decode(),
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": "0" * 16,
        "redis_mode": "standalone",
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "arch_bits": 64 if sys.maxsize > 2**32 else 32,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": engine.options.loop,
        "python_version": platform.python_version(),
        "process_id": os.getpid(),
        "process_supervised": engine.options.supervised,
        "run_id": engine.run_id,
        "tcp_port": engine.options.port or engine.options.tls_port,
        "server_time_usec": engine.stores[0].unit.now * 1000,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime // 86400,
        "hz": engine.options.hz,
        "configured_hz": engine.options.hz,
        "lru_clock": (engine.unit.now // 1000) & 0xFFFFFF,
        "executable": sys.executable,
        "config_file": engine.options.config_file,
        "io_threads_active": 0,
    }


def about_clients(engine: Engine) -> Fields:
    """Return the Clients section: the numbers of connected clients without replicas, and of blocked ones."""
    clients = engine.clients.values()
    usages = [each.usage() for each in clients]  # once for each: there may be thousands
    return {
        "connected_clients": len(engine.clients) - len(engine.primary.replicas),
        "cluster_connections": 0,
        "maxclients": engine.options.maxclients,
        "client_recent_max_input_buffer": max((each.query for each in usages), default=0),
        "client_recent_max_output_buffer": max((each.output + each.unread for each in usages), default=0),
        "blocked_clients": sum(each.blocked(used) for each, used in zip(clients, usages, strict=True)),
        "tracking_clients": sum(each.tracking is not None for each in clients),
        "clients_in_timeout_table": sum(bool(each.parked and each.parked.deadline) for each in clients),
    }


def about_memory(engine: Engine) -> Fields:
    """Return the Memory section. Python knows only the size of the process, so the fragmentation ratio is always 1."""
    used = memory_in_use()
    peak = max(used, memory_peak())
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    backlog = engine.primary.backlog.end - engine.primary.backlog.start
    of_clients, of_replicas = memory_of_clients(engine)
    return {
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": used,
        "used_memory_rss_human": human(used),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": f"{100 * used / peak:.2f}%",
        "used_memory_overhead": max(used - engine.eviction.used, 0),
        "used_memory_startup": engine.counters.startup_memory,
        "used_memory_dataset": engine.eviction.used,
        "used_memory_dataset_perc": f"{100 * engine.eviction.used / used:.2f}%",
        **{f"allocator_{name}": used for name in ("allocated", "active", "resident")},
        "total_system_memory": machine,
        "total_system_memory_human": human(machine),
        **about_lua(engine),
        "maxmemory": engine.options.maxmemory,
        "maxmemory_human": human(engine.options.maxmemory),
        "maxmemory_policy": engine.options.maxmemory_policy,
        **{f"{name}_{unit}": value for name in UNKNOWN for unit, value in (("ratio", "1.00"), ("bytes", 0))},
        "mem_not_counted_for_evict": backlog,
        "mem_replication_backlog": backlog,
        "mem_total_replication_buffers": backlog,
        "mem_clients_slaves": of_replicas,
        "mem_clients_normal": of_clients,
        "mem_cluster_links": 0,
        "mem_aof_buffer": engine.log.waiting if engine.log is not None else 0,
        "mem_allocator": "python",
        "active_defrag_running": 0,
        "lazyfree_pending_objects": len(engine.unit.garbage),
        "lazyfreed_objects": engine.unit.garbage.freed,
    }


def about_lua(engine: Engine) -> Fields:
    """Return the fields of the Memory section about scripts and functions: their texts, and what Lua uses for them."""
    scripts, libraries = engine.scripts, engine.functions.libraries
    of_scripts, of_functions = scripts.memory, engine.functions.memory
    texts, codes = (sum(map(len, each)) for each in (scripts.texts.values(), engine.functions.codes))
    return {
        "used_memory_lua": of_scripts,
        "used_memory_vm_eval": of_scripts,
        "used_memory_lua_human": human(of_scripts),
        "used_memory_scripts_eval": texts,
        "number_of_cached_scripts": len(scripts.texts),
        "number_of_functions": len(libraries),
        "number_of_libraries": len(libraries.by_name),
        "used_memory_vm_functions": of_functions,
        "used_memory_vm_total": of_scripts + of_functions,
        "used_memory_vm_total_human": human(of_scripts + of_functions),
        "used_memory_functions": codes,
        "used_memory_scripts": texts + codes,
        "used_memory_scripts_human": human(texts + codes),
    }


def memory_of_clients(engine: Engine) -> tuple[int, int]:
    """Return the bytes that the clients take, and the replicas."""
    sizes = {each: each.memory(each.usage()) for each in engine.clients.values()}
    of_replicas = sum(size for each, size in sizes.items() if each.replica is not None)
    return sum(sizes.values()) - of_replicas, of_replicas


def human(size: int) -> str:
    """Format a number of bytes for people.

    >>> human(12), human(1536), human(3 << 20)
    ('12B', '1.50K', '3.00M')
    """
    for unit, letter in ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if size >= unit:
            return f"{size / unit:.2f}{letter}"
    return f"{size}B"


def about_persistence(engine: Engine) -> Fields:
    """Return the Persistence section: the child process, if there is one, the snapshots and the log."""
    child = engine.snapshots.worker or engine.rewriter.worker or engine.primary.full_sync.worker
    info = child.info if child is not None else ChildInfo(total=0)
    no_modules = {"module_fork_in_progress": 0, "module_fork_last_cow_size": 0}
    ours = {**info.state(), **engine.snapshots.state(), **engine.rewriter.state()}
    return {"loading": 0, "async_loading": 0, **ours, **no_modules, **engine.rewriter.state_of_log()}


def about_work(engine: Engine) -> Fields:
    """Return the Stats section: counters since the start, or since CONFIG RESETSTAT."""
    counters, latency = engine.counters, engine.latency
    counters.add_chunks()
    return {
        "total_connections_received": counters.connections_received,
        "total_commands_processed": counters.commands_processed,
        "instantaneous_ops_per_sec": int(counters.rate(1)),
        "total_net_input_bytes": counters.input,
        "total_net_output_bytes": counters.output,
        "total_net_repl_input_bytes": counters.replica_input,
        "total_net_repl_output_bytes": counters.replica_output,
        "instantaneous_input_kbps": f"{counters.rate(2) / 1024:.2f}",
        "instantaneous_output_kbps": f"{counters.rate(3) / 1024:.2f}",
        "instantaneous_input_repl_kbps": f"{counters.rate(4) / 1024:.2f}",
        "instantaneous_output_repl_kbps": f"{counters.rate(5) / 1024:.2f}",
        "rejected_connections": counters.connections_rejected,
        "sync_full": engine.primary.full_syncs,
        "sync_partial_ok": engine.primary.partial_syncs,
        "sync_partial_err": engine.primary.refused_syncs,
        "expired_keys": counters.expired,
        "expired_stale_perc": "0.00",
        "expired_time_cap_reached_count": counters.unfinished_expiry,
        "expire_cycle_cpu_milliseconds": int(counters.expiry_seconds * 1000),
        "evicted_keys": counters.evicted,
        "evicted_clients": counters.evicted_clients,
        "total_eviction_exceeded_time": counters.exceeded + counters.excess(engine.steady()),
        "current_eviction_exceeded_time": counters.excess(engine.steady()),
        "keyspace_hits": engine.stores[0].unit.hits,
        "keyspace_misses": engine.stores[0].unit.misses,
        "pubsub_channels": len(engine.pubsub.channels),
        "pubsub_patterns": len(engine.pubsub.patterns),
        "pubsubshard_channels": len(engine.pubsub.shard_channels),
        "latest_fork_usec": int(latency.last_fork * 1e6),
        "total_forks": latency.forks,
        "migrate_cached_sockets": len(engine.targets.idle),
        "slave_expires_tracked_keys": 0,
        **dict.fromkeys(DEFRAGMENTED, 0),
        "tracking_total_keys": len(engine.tracking.table),
        "tracking_total_items": engine.tracking.items,
        "tracking_total_prefixes": len(engine.tracking.prefixes),
        "unexpected_error_replies": 0,
        "total_error_replies": counters.error_replies,
        "dump_payload_sanitizations": 0,
        "total_reads_processed": counters.reads,
        "total_writes_processed": counters.writes,
        **dict.fromkeys(THREADS_AND_BUFFERS, 0),
    }


def about_replication(engine: Engine) -> Fields:
    """Return the Replication section: the primary, the replicas, and the stream that they are sent."""
    primary, backlog = engine.primary, engine.primary.backlog
    fields: Fields = (
        {"role": "master"} if engine.replica is None else {"role": "slave", **replica_fields(engine.replica)}
    )
    fields["connected_slaves"] = len(primary.replicas)
    if engine.options.min_replicas_to_write and engine.options.min_replicas_max_lag:
        fields["min_slaves_good_slaves"] = primary.good
    for number, each in enumerate(primary.replicas):
        address, port = each.announced.address or each.address, each.announced.port
        lag = (engine.steady() - each.heard) // 1000 if each.state is State.ONLINE else 0
        about = f"state={each.state.shown},offset={each.acknowledged},lag={lag}"
        fields[f"slave{number}"] = f"ip={address},port={port},{about}"
    return fields | {
        "master_failover_state": engine.failover.state if engine.failover else "no-failover",
        "master_replid": primary.replid,
        "master_replid2": primary.replid2,
        "master_repl_offset": primary.offset,
        "second_repl_offset": primary.second_offset,
        "repl_backlog_active": int(primary.feeding),
        "repl_backlog_size": engine.options.repl_backlog_size,
        "repl_backlog_first_byte_offset": backlog.start + 1 if primary.feeding else 0,
        "repl_backlog_histlen": backlog.end - backlog.start,
    }


def about_processor(engine: Engine) -> Fields:
    """Return the CPU section: seconds of CPU time of the process and its children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    thread = resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF))
    return {
        "used_cpu_sys": f"{own.ru_stime:.6f}",
        "used_cpu_user": f"{own.ru_utime:.6f}",
        "used_cpu_sys_children": f"{children.ru_stime:.6f}",
        "used_cpu_user_children": f"{children.ru_utime:.6f}",
        "used_cpu_sys_main_thread": f"{thread.ru_stime:.6f}",
        "used_cpu_user_main_thread": f"{thread.ru_utime:.6f}",
    }


def about_keyspace(engine: Engine) -> Fields:
    """Return the Keyspace section: for each database that is not empty, the numbers of keys and of deadlines."""
    return {
        f"db{each.index}": f"keys={len(each)},expires={each.deadlines},avg_ttl=0" for each in engine.stores if len(each)
    }


SECTIONS: dict[str, Callable[[Engine], Fields]] = {
    "Server": about_server,
    "Clients": about_clients,
    "Memory": about_memory,
    "Persistence": about_persistence,
    "Stats": about_work,
    "Replication": about_replication,
    "CPU": about_processor,
    "Modules": lambda engine: {},
    "Commandstats": about_calls,
    "Errorstats": about_errors,
    "Latencystats": about_latencies,
    "Cluster": lambda engine: {"cluster_enabled": 0},
    "Keyspace": about_keyspace,
}
