"""A Redis in Python, complete and to be read: `python -m final`.

What each file owns, from the outside in. Imports point downwards only.

    __main__.py     the command line; starts everything
    check_aof.py    another one: is a log right, and cut it where it is torn
    complaint.py    what is wrong with a request, in the words of redis-check-aof
    server.py       keeps the time, hears signals: with connection.py and door.py the only file that knows asyncio
    connection.py   one client's connection: its bytes, its replies, its share of a turn
    by_hand.py      serving without the loop, while a script does not end
    door.py         listens, and lets clients in, a few at a time
    restore.py      the data brought back at the start
    engine.py       the way of one request: admit, run, settle. No asyncio, no socket
    fast_path.py    the shorter way, for requests that touch nothing but the data
    commands/       the commands, a file for each family; a new command touches one of them
    scan.py         cursors: going through a collection while it changes
    sampling.py     some members of a collection, at random
    eviction.py     how much the keys take, and which of them go when that is too much
    scripting.py    the scripts that are loaded, and the one that runs
    onlookers.py    who hears of every request, and which of them took long
    pause.py        which requests have to wait while an administrator wants quiet
    command.py      @command: a function's signature is its syntax; the table of commands
    lua.py, prelude.lua  Lua beside Python, with nothing in reach but what is handed in
    libraries.py    cjson and bit, as scripts find them
    hub.py          publish and subscribe: channel and pattern -> clients
    watching.py     who wants to know before EXEC that a key has changed
    client.py       what is remembered of one client
    waiting.py      key -> parked commands, first come first served
    rewrite.py      the log written anew: when, and the steps of it
    base.py         the data as it is at a moment, written by a child
    aof.py          the log: append, flush, fsync policy, load
    records.py      one file of the log, read and checked
    rdb.py          a snapshot by a real Redis, read as if it were requests
    lzf.py, packed.py, crc.py  how Redis compresses, packs and sums up in a snapshot
    manifest.py     the log's folder: which files make up the log, and whose it is
    store.py        the keyspace: typed values, deadlines, what changed; the only file that knows expiry
    server_log.py   what the server tells the person who runs it, on standard error
    options.py      the options, as in redis.conf and CONFIG
    limits.py       how many clients there may be, and how much may wait for one who does not read
    notifications.py  which events on keys are published, and on which channels
    counters.py     what INFO counts
    sizes.py        how much memory a key takes, as Python says
    sorted_set.py   member -> score, kept in order
    arithmetic.py   integers that overflow, and long doubles
    pattern.py      globs as Redis means them
    reader.py       bytes in, requests out; knows no socket
    writer.py       Python values in, RESP2 or RESP3 bytes out
    errors.py       ReplyError, and the texts of the errors that commands answer with

The journey of one command, `SET name Alice EX 10`:

1. A chunk of bytes arrives: `Connection.data_received` (connection.py) feeds it to its `Reader`.
2. The reader (reader.py) has [b"SET", b"name", b"Alice", b"EX", b"10"] `ready`, once all of it is there.
3. `FastPath.take` (fast_path.py) sees that nothing stands in the way of this client, that SET is handed nothing but
   the data, and that there are enough words. Else `Engine.execute` (engine.py) would go the long way: `find`
   (command.py) looks the command up, `admit` lets it in or not, and after MULTI it is queued.
4. `Command.run` calls `set_` (commands/strings.py) with the client's database and the words. It answers with a
   value, "OK"; it knows no client and no bytes.
5. On the way it said `db.changed(key, log=…)`: the store (store.py) noted what the log should say, which is
   `SET name Alice PXAT 1795373891971`. `Engine.settle` hands the note to the `Log` (aof.py), to the clients that
   WATCH the key, and to the commands that wait for it.
6. `encode` (writer.py) turns "OK" into `+OK`, CRLF, and the connection keeps that in its output.
7. When the loop has nothing more to execute, `Server.before_sleep` flushes the log, with fsync where the policy
   asks for it, and only then sends every output. Nobody hears of a change before the log has it.

From 1 to 7 nothing waits (there is no `await`), so no other command can come in between: that is why there are no
locks, and why INCR never loses an update.
"""
