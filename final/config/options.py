"""The options, named as in redis.conf, for the command line, CONFIG GET and CONFIG SET."""

import os
from dataclasses import Field, dataclass, fields
from typing import Any

from ..data.events import Events
from ..protocol.errors import ReplyError
from . import idle
from .option import option, parse_value
from .tls import TlsOptions
from .value_options import ValueOptions
from .values import (
    USUAL,
    Limits,
    Percentiles,
    SavePoints,
    addresses,
    check_name,
    not_empty,
    parse_octal,
    parse_share,
    read_replicaof,
)

RELEASE = b"7.0.15"  # of the Redis whose replies this server matches
POLICIES = (
    *("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"),
    *("allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"),
)


@dataclass
class Options(ValueOptions, TlsOptions):
    """The values of all options. The names of the attributes have underscores instead of hyphens."""

    bind: str = option(
        "127.0.0.1", "addresses to listen on; one with a - before it need not be there", settable=True,
        read=lambda text, _: addresses(text),
    )  # fmt: skip
    port: int = option(6379, "port to listen on; 0: none, or any free one if there is no other place to listen on",
                       settable=True, most=65535)  # fmt: skip
    unixsocket: str = option("", "path of a unix socket to listen on, too")
    unixsocketperm: int = option(0, "its permissions, as an octal number; 0: as the umask says",
                                 read=lambda text, _: parse_octal(text))  # fmt: skip
    protected_mode: str = option(
        "yes", "without a password, accept connections only from this machine", choices=("yes", "no"), settable=True
    )
    dir: str = option(
        ".", "working directory: of the snapshot, the log's folder, and other files that are named relative to it",
        protected=True, read=lambda text, now: os.path.abspath(os.path.join(now, not_empty(text))),
    )  # fmt: skip
    loglevel: str = option(
        "notice", "what the server log says: everything from this level on", settable=True,
        choices=("debug", "verbose", "notice", "warning"),
    )  # fmt: skip
    logfile: str = option("", "file of the server log; empty: standard error")
    syslog_enabled: str = option("no", "write the server log to syslog, too", choices=("yes", "no"))
    syslog_ident: str = option("redis", "the program's name there")
    syslog_facility: str = option("local0", "the facility there",
                                  choices=("user", *(f"local{number}" for number in range(8))))  # fmt: skip
    daemonize: str = option("no", "leave the terminal, and serve in the background", choices=("yes", "no"))
    pidfile: str = option("", "file to write the process id to")
    supervised: str = option(
        "no", "tell systemd when the server is ready; auto: if NOTIFY_SOCKET is set; upstart has no effect",
        choices=("upstart", "systemd", "auto", "no"),
    )  # fmt: skip
    databases: int = option(16, "how many databases SELECT can choose from", least=1, most=2**31 - 1)
    requirepass: str = option("", "password that clients must send with AUTH", settable=True)
    aclfile: str = option("", "file of the users, for ACL LOAD and ACL SAVE")
    acl_pubsub_default: str = option(
        "resetchannels",
        "which channels new users may use: all or none",
        choices=("allchannels", "resetchannels"),
        settable=True,
    )
    acllog_max_len: int = option(128, "how many refused requests ACL LOG keeps", settable=True)
    appendonly: str = option("yes", "keep a log of all changes", choices=("yes", "no"), settable=True)
    appendfsync: str = option(
        "everysec", "when the log must be on the disk", choices=("everysec", "always", "no"), settable=True
    )
    appendfilename: str = option("appendonly.aof", "how the names of the log's files begin",
                                 read=lambda text, _: check_name("appendfilename", text))  # fmt: skip
    appenddirname: str = option("appendonlydir", "the log's folder",
                                read=lambda text, _: check_name("appenddirname", text))  # fmt: skip
    auto_aof_rewrite_percentage: int = option(
        100,
        "rewrite the log when it has grown by this percentage since the last rewrite; 0: never",
        settable=True,
        most=2**31 - 1,
    )
    auto_aof_rewrite_min_size: int = option(64 << 20, "but not while it has fewer bytes", settable=True, memory=True)
    save: SavePoints = option(  # noqa: RUF009  (it is a field)
        SavePoints(),
        "when to write a snapshot: after these seconds, if there were this many changes; several pairs are possible",
        settable=True,
        read=lambda text, _: SavePoints.parse(text),
    )
    dbfilename: str = option("dump.rdb", "the name of the snapshot", protected=True,
                             read=lambda text, _: check_name("dbfilename", text))  # fmt: skip
    rdbcompression: str = option(
        "no", "compress long strings in snapshots, which takes time", choices=("yes", "no"), settable=True
    )
    rdbchecksum: str = option("yes", "end snapshots with a checksum", choices=("yes", "no"))
    stop_writes_on_bgsave_error: str = option(
        "yes", "refuse writes after a snapshot could not be written", choices=("yes", "no"), settable=True
    )
    proto_max_bulk_len: int = option(512 << 20, "bytes in one argument", settable=True, memory=True, least=1 << 20)
    client_query_buffer_limit: int = option(1 << 30, "bytes of requests that wait to be executed or completed",
                                            settable=True, memory=True, least=1 << 20)  # fmt: skip
    client_output_buffer_limit: Limits = option(  # noqa: RUF009  (it is a field)
        USUAL,
        "bytes of unread replies, by class of client: hard limit, soft limit, seconds above the soft limit",
        settable=True,
        read=lambda text, now: now.changed(text),
    )
    repl_diskless_sync: str = option("yes", "send replicas a snapshot without writing it to the disk",
                                     choices=("yes", "no"), settable=True)  # fmt: skip
    repl_diskless_sync_delay: int = option(
        5, "seconds to wait for more replicas before that begins", settable=True, most=2**31 - 1
    )
    repl_diskless_sync_max_replicas: int = option(
        0, "but not once this many wait; 0: the whole time", settable=True, most=2**31 - 1
    )
    repl_backlog_size: int = option(
        1 << 20, "bytes of changes kept for replicas that reconnect", settable=True, memory=True, least=1
    )
    repl_backlog_ttl: int = option(
        3600, "keep none after this many seconds without a replica; 0: always", settable=True
    )
    repl_timeout: int = option(
        60, "seconds of silence after which a replica is lost", settable=True, least=1, most=2**31 - 1
    )
    repl_ping_replica_period: int = option(10, "seconds between two PINGs to replicas", settable=True, least=1,
                                           most=2**31 - 1, alias="repl-ping-slave-period")  # fmt: skip
    shutdown_timeout: int = option(
        10, "seconds to wait at the end for replicas that do not have all changes", settable=True, most=2**31 - 1
    )
    repl_disable_tcp_nodelay: str = option(
        "no", "send replicas fewer, larger packets, later", choices=("yes", "no"), settable=True
    )
    min_replicas_to_write: int = option(
        0,
        "refuse writes with fewer replicas that are near; 0: never",
        settable=True,
        most=2**31 - 1,
        alias="min-slaves-to-write",
    )
    min_replicas_max_lag: int = option(
        10,
        "near is a replica that was heard of in this many seconds",
        settable=True,
        most=2**31 - 1,
        alias="min-slaves-max-lag",
    )
    maxmemory: int = option(0, "bytes that the keys may take; 0: no limit", settable=True, memory=True,
                            most=2**64 - 1)  # fmt: skip
    maxmemory_policy: str = option(
        "noeviction", "which keys are evicted when they take more", choices=POLICIES, settable=True
    )
    maxmemory_samples: int = option(
        5, "how many keys are sampled to find one to evict", settable=True, least=1, most=2**31 - 1
    )
    maxmemory_clients: str = option("0", "bytes, or percent of `maxmemory`, that clients may take; 0: no limit",
                                    settable=True, read=parse_share)  # fmt: skip
    notify_keyspace_events: Events = option(  # noqa: RUF009  (it is a field)
        Events(), "which events on keys are published", settable=True, read=lambda text, _: Events.parse(text)
    )
    tracking_table_max_keys: int = option(1_000_000, "how many keys that clients may cache are remembered; 0: all",
                                          settable=True, most=2**63 - 1)  # fmt: skip
    maxclients: int = option(10_000, "how many clients at once", settable=True, least=1, most=2**32 - 1)
    timeout: int = option(
        0, "disconnect clients that are idle for this many seconds; 0: never", settable=True, most=2**31 - 1
    )
    tcp_keepalive: int = option(300, "after this many idle seconds, probe the connection; 0: never",
                                settable=True, most=2**31 - 1)  # fmt: skip
    hz: int = option(
        10, "how many times a second expired keys are removed", settable=True, most=2**31 - 1, clamp=(1, 500)
    )
    slowlog_log_slower_than: int = option(
        10_000, "SLOWLOG keeps requests that take at least this many microseconds; -1: none", settable=True, least=-1
    )
    slowlog_max_len: int = option(128, "how many requests SLOWLOG keeps", settable=True)
    latency_tracking: str = option(
        "yes", "measure how the durations of each command's calls are distributed", choices=("yes", "no"), settable=True
    )
    latency_tracking_info_percentiles: Percentiles = option(  # noqa: RUF009  (it is a field)
        Percentiles((50.0, 99.0, 99.9)), "which percentiles of them INFO shows", settable=True,
        read=lambda text, _: Percentiles.parse(text),
    )  # fmt: skip
    latency_monitor_threshold: int = option(
        0, "LATENCY keeps events that take at least this many milliseconds; 0: none", settable=True
    )
    enable_debug_command: str = option(
        "no", "who may use DEBUG: nobody, all clients, or clients on this machine", choices=("no", "yes", "local")
    )
    busy_reply_threshold: int = option(
        5000,
        "milliseconds after which a running script makes the server answer BUSY",
        settable=True,
        alias="lua-time-limit",
    )
    replicaof: str = option(
        "", "host and port of the primary that this server follows; none: it is a primary",
        read=read_replicaof, alias="slaveof",
    )  # fmt: skip
    masterauth: str = option("", "password that a replica sends to its primary", settable=True)
    masteruser: str = option("", "user name that it sends with it", settable=True)
    replica_read_only: str = option(
        "yes", "replicas refuse writes of clients", choices=("yes", "no"), settable=True, alias="slave-read-only"
    )
    replica_serve_stale_data: str = option(
        "yes",
        "replicas answer while they have lost their primary",
        choices=("yes", "no"),
        settable=True,
        alias="slave-serve-stale-data",
    )
    replica_priority: int = option(100, "Sentinel prefers the replica with the lowest number; 0: never promote it",
                                   settable=True, most=2**31 - 1, alias="slave-priority")  # fmt: skip
    replica_announce_ip: str = option("", "address at which others reach this replica", settable=True,
                                      alias="slave-announce-ip")  # fmt: skip
    replica_announce_port: int = option(0, "port at which they do; 0: `port`", settable=True, most=65535,
                                        alias="slave-announce-port")  # fmt: skip
    loop: str = option(
        "auto", "the event loop: asyncio's own, or uvloop; auto: uvloop if it is installed",
        choices=("auto", "asyncio", "uvloop"),
    )  # fmt: skip
    parser: str = option(
        "auto", "what reads requests: Python alone, or hiredis too; auto: hiredis if it is installed",
        choices=("auto", "python", "hiredis"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        vars(self).update({name: each.default for name, each in IDLE.items()})
        self.dir = os.path.abspath(self.dir)
        self.config_file = ""  # the file that CONFIG REWRITE writes
        self.users: list[list[bytes]] = []  # of the lines `user NAME RULE …`
        self.renamed: list[tuple[bytes, bytes]] = []  # of the lines `rename-command OLD NEW`

    @property
    def lfu(self) -> bool:
        """Whether keys are evicted by how often they are used."""
        return self.maxmemory_policy.endswith("lfu")

    def get(self, name: str) -> bytes:
        """The value of an option as CONFIG GET shows it."""
        return os.fsencode(str(getattr(self, NAMES[name])))

    def set(self, values: list[tuple[str, str]]) -> dict[str, Any]:
        """CONFIG SET: change the named options and return their old values; or raise ReplyError and change none."""
        given: set[str] = set()
        for argument, _ in values:
            name = argument.lower()
            if name not in NAMES:
                said = argument.partition("\0")[0]  # as C reads a text
                raise ReplyError(f"ERR Unknown option or number of arguments for CONFIG SET - '{said}'")
            if name in given:
                raise config_failed(argument, "duplicate parameter")
            given.add(name)
            meta = DECLARED[NAMES[name]].metadata
            if not meta["settable"]:
                raise config_failed(argument, f"can't set {'protected' if meta['protected'] else 'immutable'} config")
        parsed: dict[str, Any] = {}
        for name, value in ((argument.lower(), value) for argument, value in values):
            attribute = NAMES[name]
            try:
                parsed[attribute] = parse(name, value, getattr(self, attribute))
            except ValueError as error:
                raise config_failed(name, str(error)) from None
        before = {attribute: getattr(self, attribute) for attribute in parsed}
        vars(self).update(parsed)
        return before


IDLE: dict[str, Field[Any]] = {each.name: each for each in idle.declared()}
DECLARED: dict[str, Field[Any]] = {each.name: each for each in fields(Options)} | IDLE
NAMES = {  # of the options, as in redis.conf, and the attributes; with an alias, an option has two
    name: attribute
    for attribute, each in DECLARED.items()
    for name in (attribute if attribute in IDLE else attribute.replace("_", "-"), each.metadata["alias"])
    if name
}


def parse(name: str, value: str, now: Any = None) -> Any:
    """Parse the value of an option; `now` is its current value. Raises ValueError with Redis's text.

    >>> parse("appendfsync", "Always"), parse("proto-max-bulk-len", "2mb")
    ('always', 2097152)
    """
    return parse_value(DECLARED[NAMES[name]], value, now)


def config_failed(name: str, reason: str) -> ReplyError:
    """The reply to a CONFIG SET that failed."""
    return ReplyError(f"ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
