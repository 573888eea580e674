"""A complete Redis server in Python, written to be read: `python -m final`.

The map of its files, from the outside in. A folder, or a file beside the folders, imports nothing from above it, with
one exception: the engine imports `commands/`, so that the commands register themselves. The numbers in parentheses are
those of the stages.

    __main__.py    the command line; starts the server
    restore.py     loads the data at the start, by executing the log or the snapshot
    check_aof.py   a second command line: checks a log, and truncates one that is torn
    net/           sockets, timers and signals (01)
        server.py         accepts clients, runs the timers, stops
        connection.py     one client's connection: its bytes, its replies, its share of an iteration of the event loop
        connection_state.py  the states of a connection, and what leads from one to the next, in one table
        reading.py        the receiving half: whether to read from a client, and how much at once
        sending.py        the sending half: replies that wait for the log, and what a replica gets
        client_memory.py  maxmemory-clients: who is disconnected when all clients together take too much memory
        output_limit.py   client-output-buffer-limit: how many bytes may wait until the client reads them
        endpoints.py      the places to listen at: addresses with a port, with TLS or without, and a unix socket
        listener.py       accepts clients, a few in each iteration of the event loop
        tls.py, certificates.py  encrypts what a connection sends, and decrypts what it gets; with which certificates
        outgoing.py       connections that the server itself opens, to other servers
        before_sleep.py   one iteration: whose requests are executed, and what is written at its end
        systemd.py        tells systemd that the server is ready
        daemon.py         runs it in the background; the file with its process id
        while_busy.py     answers clients without the event loop, while a script does not end
        stopping.py       waits for signals in a thread, and ends the server in time, whatever it does
    commands/      the commands, a file for each family; a new command is one function in one file (04)
    engine/        runs requests. No asyncio, no socket (04)
        engine.py         one request: admit, run, settle
        admit.py          whether a client may run a command now
        acl/categories.py  the users and their rights: the categories of commands, and the commands that rules can name
        acl/selector.py   which commands with which keys and channels
        acl/user.py, acl/users.py  a user: passwords and selectors; the table of users, and authentication
        acl/rules.py, acl/describe.py  rules change a user; a user as rules
        acl/file.py       the file of the users
        acl/denials.py, acl/log.py  what is said of a refused request; ACL LOG
        settle.py         ends a unit of work: hands its changes on, and serves the commands that wait
        propagate.py      hands the changes of a unit to the log and to the replicas
        notify.py, security_warning.py  keyspace notifications; closes clients that speak HTTP
        faults.py         an unexpected exception: whether it ends the connection or the server
        fast_path.py      a shorter path for commands that take nothing but data
        runs.py           plain GETs, SETs and INCRs, one or several at once, without `commands/strings.py`
        in_unit.py        a shorter way for the commands of a transaction, and of a script
        following.py      becoming a replica, and a primary again; the primary's changes, its data in place of ours
        callbacks.py      what the engine has the server do
        context.py        what commands may use of the engine
        signature.py      @command: a function's signature is its syntax
        command.py        the table of commands
        args.py           parses arguments: numbers, timeouts, counts, cursors, options
        client.py, client_line.py  the state of one client; its line in CLIENT LIST
        wait.py, blocking.py, conclude.py  commands that wait: for a key, first come first served; for another server
        watch.py          WATCH: who watches which keys
        pubsub.py         channels and patterns, with their subscribers
        tracking.py       client-side caching: which clients may have which keys in their own caches
        scripts.py, functions.py  the scripts that are loaded, and the one that runs; the libraries of functions
        replay.py         loads the data: runs the requests of the log, or of the snapshot
        make_room.py      evicts keys before a request that may need memory
        evict.py          maxmemory: how much memory the keys take, and which of them to evict
        lookups.py        which keys of a request count as hits, as misses, and as used
        pause.py          CLIENT PAUSE: which requests have to wait
        shutdown.py       the end of the server: replicas get the last changes, and a snapshot is written
        monitor.py, slowlog.py  MONITOR and SLOWLOG: every request as it runs; the slowest requests
        call_stats.py     how often each command was called, and how long that took
        counters.py, clocks.py  the statistics of INFO; the time of day, and the clock for durations
        key_specs.py      the indexes of the keys in the requests of a command
        packing.py        applies the options about the encodings of collections
        open_files.py     how many clients the system's limit of open files allows
    replication/   a second server keeps a copy of the data (12, 13)
        primary.py        the stream of changes, and the replicas that are fed from it
        attached.py       one of these replicas, as its primary sees it
        full_sync.py      a copy of all data for replicas that are new, from a child process
        backlog.py        the end of that stream, so that a replica can continue after its connection broke
        replica.py        follows a primary: synchronises, executes its stream of changes, connects again
        replica_state.py  the states of that, and what leads from one to the next, in one table
        replica_needs.py  what a replica needs of the engine, and what it does to the data
        replica_fields.py  what INFO says of it
        failover.py       hands over to a replica, without losing a change
        handshake.py      what a replica says first, and what its primary answers
        transfer.py       the primary's snapshot, as it comes
        stream.py         the primary's stream of changes, split into units
        outgoing.py       what is said over a connection that the server itself has opened
        targets.py        connections to servers that take keys over (MIGRATE), kept for the next time
    lua/           Lua for scripts; a script can reach only what is passed to it
        interpreter.py, prelude.lua, libraries.lua  runs a script
        functions.py, functions.lua  loads a library of functions, and calls a function
        limits.py         what a script may use
        libraries.py, json_decoding.py  cjson and bit, for scripts
        msgpack.py, structs.py  cmsgpack and struct
    log/           the append-only file, AOF (05)
        rewrite.py        when and how the log is rewritten: the current data replace the history
        base.py           the log's new base: the data as requests
        snapshot.py       when and how a snapshot is written: on request, at the save points, at the end
        child.py          a child process writes the data as they were when it was forked
        childinfo.py      how far it is, and how much memory was copied
        check.py, check_messages.py  redis-check-aof, and its messages
        aof.py            append, flush, fsync policy, load
        record.py         a change as a request, in the log and for replicas; MULTI and EXEC around a unit
        health.py         what has gone wrong with the log, as one table of states
        read.py           reads and checks one file of the log
        split.py          splits a part of it into requests
        folder.py         the folder: which server owns it, and which files may be deleted
        manifest.py       the list of the log's files
        rdb/              snapshots (RDB), read as requests, written from values: read, write, and the encodings inside
    latency.py     the latency monitor: events that took long
    config/        the options, as in redis.conf and CONFIG
        options.py        those that have an effect, in one table
        value_options.py  those about the encodings of values and LFU
        tls.py            those of TLS
        idle.py           Redis's others: taken, checked and shown
        option.py         how an option is declared, and how a text becomes its value
        values.py         values that are more than a number or a text
        file.py           reads redis.conf and the command line; CONFIG REWRITE
    server_log.py  messages for the administrator, on standard error
    data/          the databases (04)
        kinds.py          what must be known of each type of value, in one table
        objects.py        what OBJECT tells of keys: encodings that values do not show, and when keys were used
        unit.py           one unit of work: its time, and notes of what it has changed
        store.py          one database: typed values, expiry, what has changed; no other file knows expiry
        deadlines.py      the deadlines in order, and how the outdated ones are sorted out
        string_runs.py    what plain GETs, SETs and INCRs do to its strings
        announcing_store.py  one that notes the events `new` and `keymiss`, for keys that are created or missing
        loading_store.py  one that notes no changes, while the data is loaded
        intset.py         Redis's sets of integers: how wide they are
        memory.py         how much memory a key takes
        sorted_set.py     members with scores, in order
        packing.py        the limits of Redis's small encodings
        stream.py, stream_node.py, stream_groups.py  streams: entries, the nodes that they are packed into, groups
        hyperloglog.py, hll_registers.py  HyperLogLog: counting, and the bytes in which Redis keeps the counters
        garbage.py        frees large values a little at a time; what the garbage collector does
        geohash.py        places as integers, so that a sorted set finds what is near
        dict_entries.py   the entries of a dictionary by their positions in its table
        random_members.py, scan.py  random members of a collection; cursors through one that changes
        events.py         keyspace events: which are published, and on which channels
    protocol/      bytes to requests, values to replies (02, 03)
        plain_requests.py  the reader's fast ways, for requests as clients write them
        reader.py         parses bytes into requests; knows no socket
        large_argument.py  an argument that is filled as its bytes come, without a copy
        hiredis_reader.py  the same, with the parser hiredis for chunks of many requests
        inline.py         splits a request that a person has typed into arguments
        writer.py         encodes Python values as RESP2 or RESP3
        pattern.py        glob patterns as Redis matches them
        numeric.py        64-bit integers, long doubles, sizes in bytes
        errors.py         ReplyError, and the texts of the errors

The journey of one command, `SET name Alice EX 10`:

1. A chunk of bytes arrives. `Connection.data_received` (net/connection.py) hands it to the connection's `Reader`.
2. If the chunk is one request, the reader (protocol/reader.py) returns it: [b"SET", b"name", b"Alice", b"EX", b"10"].
   Of any other chunk, it has the complete requests in its list `ready`.
3. `FastPath.answer` (engine/fast_path.py) runs it, or `take` if it is one of several, because SET needs nothing but the
   data, the number of arguments is right, and this client is in no special state such as MULTI. Any other request goes
   to `Engine.execute` (engine/engine.py): `find` (engine/command.py) looks up its command, `Admission.check`
   (engine/admit.py) checks whether this client may run it now, and after MULTI it is queued.
4. `Command.run` calls `set_` (commands/strings.py) with the client's database and the arguments. The function returns
   a value, "OK". It knows no client and no bytes.
5. Before that, it has called `db.changed(key, log=…)`. The store (data/store.py) has noted what to log:
   `SET name Alice PXAT 1795373891971`. `FastPath.record` passes the note to the `Log` (log/aof.py). If some client
   waits for a key, watches one or is told of changes, `Engine.settle` does that, and has these clients served, too.
6. `encode` (protocol/writer.py) turns "OK" into `+OK\\r\\n`, and the connection appends that to its output.
7. At the end of the iteration of the event loop, `Iteration.before_sleep` (net/before_sleep.py) flushes the log, with
   fsync if the policy is `always`, and only then sends all output. So no client sees a change that is not in the log.

**A plain GET, SET or INCR**, which has no options, leaves steps 4 to 6 out, also if it comes alone: from the fast path
it goes to engine/runs.py, which reads or changes the string (data/string_runs.py) and writes the reply, and the fast
path passes the request itself to the log. `get`, `set_` and `incr` in commands/strings.py are called for what is not as
simple: a GET that finds no short string, a SET that replaces something else than a short string, or ends a deadline, an
INCR of what is no integer. They are called, too, while something else takes part: a client that waits for a key,
watches one or is told of changes, a client that runs MONITOR, a limit on the memory.

Steps 3 to 6 contain no `await`, so no other command can run in between. That is why there are no locks, and why no
INCR is ever lost.
"""
