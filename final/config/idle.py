"""Options of Redis that have no effect here: a configuration for Redis has them, so they are taken, checked and shown.

Each line of the table has a name, the default, and which values there are: one of several, a number in a range, a
`size` with a unit, any `text`, one that a function of PARSERS checks, or only the default, as what it would turn on is
not here (`never`). CONFIG SET cannot change a `fixed` one.
"""

import re
from collections.abc import Iterator
from dataclasses import Field
from typing import Any

from ..protocol.inline import split_inline
from .option import option
from .values import not_here, parse_adjustments, parse_hostname, parse_title

TABLE = """
active-defrag-cycle-max             25            1..99
active-defrag-cycle-min             1             1..99
active-defrag-ignore-bytes          104857600     size>0
active-defrag-max-scan-fields       1000          1..
active-defrag-threshold-lower       10            0..1000
active-defrag-threshold-upper       100           0..1000
active-expire-effort                1             1..10
activedefrag                        no            never
activerehashing                     yes           yes|no
always-show-logo                    no            yes|no fixed
aof-disable-auto-gc                 no            yes|no
aof-load-truncated                  yes           yes|no
aof-rewrite-incremental-fsync       yes           yes|no
aof-timestamp-enabled               no            yes|no
aof-use-rdb-preamble                no            yes|no
aof_rewrite_cpulist                 ""            text fixed
bgsave_cpulist                      ""            text fixed
bind-source-addr                    ""            text
bio_cpulist                         ""            text fixed
cluster-allow-pubsubshard-when-down yes           yes|no
cluster-allow-reads-when-down       no            yes|no
cluster-allow-replica-migration     yes           yes|no
cluster-announce-bus-port           0             0..65535
cluster-announce-hostname           ""            hostname
cluster-announce-ip                 ""            text
cluster-announce-port               0             0..65535
cluster-announce-tls-port           0             0..65535
cluster-config-file                 nodes.conf    text fixed
cluster-enabled                     no            never fixed
cluster-link-sendbuf-limit          0             size
cluster-migration-barrier           1             0..2147483647
cluster-node-timeout                15000         0..
cluster-port                        0             0..65535 fixed
cluster-preferred-endpoint-type     ip            ip|hostname|unknown-endpoint
cluster-replica-no-failover         no            yes|no
cluster-replica-validity-factor     10            0..2147483647
cluster-require-full-coverage       yes           yes|no
crash-log-enabled                   yes           yes|no
crash-memcheck-enabled              yes           yes|no
disable-thp                         yes           yes|no fixed
dynamic-hz                          yes           yes|no
enable-module-command               no            no|yes|local fixed
enable-protected-configs            no            no|yes|local fixed
ignore-warnings                     ""            text
io-threads                          1             1..128 fixed
io-threads-do-reads                 no            yes|no fixed
jemalloc-bg-thread                  yes           yes|no
lazyfree-lazy-eviction              no            yes|no
lazyfree-lazy-expire                no            yes|no
lazyfree-lazy-server-del            no            yes|no
lazyfree-lazy-user-del              no            yes|no
lazyfree-lazy-user-flush            no            yes|no
list-compress-depth                 0             0..2147483647
maxmemory-eviction-tenacity         10            0..100
no-appendfsync-on-rewrite           no            yes|no
oom-score-adj                       no            no|yes|relative|absolute
oom-score-adj-values                "0 200 800" adjustments
proc-title-template                 "{title} {listen-addr} {server-mode}" title
propagation-error-behavior          ignore        ignore|panic|panic-on-replicas
rdb-del-sync-files                  no            yes|no
rdb-save-incremental-fsync          yes           yes|no
repl-diskless-load                  disabled      disabled|on-empty-db|swapdb
replica-announced                   yes           yes|no
replica-ignore-disk-write-errors    no            yes|no
replica-ignore-maxmemory            yes           yes|no
replica-lazy-flush                  no            yes|no
sanitize-dump-payload               no            no|yes|clients
server_cpulist                      ""            text fixed
set-proc-title                      yes           yes|no fixed
shutdown-on-sigint                  default       default|save|nosave|now|force
shutdown-on-sigterm                 default       default|save|nosave|now|force
socket-mark-id                      0             0..4294967295 fixed
tcp-backlog                         511           0..2147483647 fixed
tls-ciphersuites                    ""            text
tls-session-cache-size              20480         0..2147483647
tls-session-cache-timeout           300           0..2147483647
tls-session-caching                 yes           yes|no
"""
PARSERS = {
    "adjustments": parse_adjustments,
    "hostname": parse_hostname,
    "title": parse_title,
}
ALIASES = {
    "cluster-replica-no-failover": "cluster-slave-no-failover",
    "cluster-replica-validity-factor": "cluster-slave-validity-factor",
    "replica-ignore-maxmemory": "slave-ignore-maxmemory",
    "replica-lazy-flush": "slave-lazy-flush",
}


def declared() -> Iterator[Field[Any]]:
    """Yield the options, declared as those of `Options` are."""
    for line in TABLE.strip().splitlines():
        name, default, kind, *fixed = (arg.decode() for arg in split_inline(line.encode()))
        given: dict[str, Any] = {"settable": not fixed, "alias": ALIASES.get(name, "")}
        value: Any = default
        if bounds := re.fullmatch(r"(-?\d+)\.\.(\d*)", kind):
            value = int(default)
            given |= {"least": int(bounds[1])} | ({"most": int(bounds[2])} if bounds[2] else {})
        elif kind in ("size", "size>0"):
            value = int(default)
            given |= {"memory": True, "least": int(kind != "size")}
        elif kind in PARSERS:
            given["read"] = PARSERS[kind]
        elif kind == "never":
            given["read"] = not_here(default)
        elif kind != "text":
            given["choices"] = tuple(kind.split("|"))
        field: Field[Any] = option(value, "", **given)
        field.name, field.type = name, type(value)
        yield field
