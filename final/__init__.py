"""A Redis in Python, complete and to be read: `python -m final`.

The rooms, from the outside in. Imports point downwards only, with one exception: the engine imports `commands/`, so
that they enter themselves into the table.

    __main__.py    the command line; starts everything
    restore.py     brings the data back at the start: what the log says is executed
    check_aof.py   another command line: is a log right? It cuts one that is torn
    net/           sockets, timers and signals (stage 01)
        server.py         accepts clients, runs the timers, stops
        connection.py     one client's connection: its bytes, its replies, its share of an iteration of the event loop
        connection_state.py  the states of a connection, and what leads from one to the next, in one table
        output_limit.py   client-output-buffer-limit: how many bytes may wait until the client reads them
        listener.py       accepts clients, a few in each iteration of the event loop
        before_sleep.py   one iteration: whose requests are executed, and what is written at its end
        while_busy.py     answers clients without the event loop, while a script does not end
        stopping.py       waits for signals in a thread, and ends the server in time, whatever it does
    commands/      the commands, a file for each family; a new command touches one of them (04)
    engine/        the way of one request: admit, run, settle. No asyncio, no socket (04)
        engine.py         the heart
        mishaps.py        a bug, or no memory, in the middle of a request: who has to go
        fast_path.py      the shorter way, for requests that touch nothing but the data
        context.py        what a command may ask of the server
        signature.py      @command: a function's signature is its syntax
        command.py        the table of commands
        args.py           reads arguments: numbers, timeouts, counts, cursors, options
        client.py         what is remembered of one client
        wait.py, blocking.py  commands that wait for a key, first come first served
        watch.py          WATCH: who wants to know that a key has changed before EXEC
        pubsub.py         channel and pattern -> the clients that listen
        scripts.py        the scripts that are loaded, and the one that runs
        evict.py          maxmemory: how much the keys take, and which of them go
        pause.py          CLIENT PAUSE: which requests have to wait
        monitor.py, slowlog.py  who hears of every request, and which requests took long
        counters.py, clocks.py  what INFO counts; what time it is, and how long something takes
        key_specs.py      where the keys of a command stand in its requests
        open_files.py     how many clients the system has open files for
    lua/           Lua beside Python, with nothing in reach but what is handed in
        interpreter.py, prelude.lua  runs a script
        libraries.py      cjson and bit, as scripts find them
    log/           the append-only file (05)
        rewrite.py        when and how the data takes the place of the log that led to it
        base.py           the data as it is at a moment, written by a child process
        check.py, check_words.py  redis-check-aof, and its words for what is wrong
        aof.py            append, flush, fsync policy, load
        read.py           one file of the log, read and checked
        folder.py         the folder: whose it is, and what may be deleted there
        manifest.py       the list of the files that make up the log
        rdb/              a snapshot by a real Redis, read as if it were requests: read, packed, lzf, crc
    options.py     the options, as in redis.conf and CONFIG
    server_log.py  what the server tells the person who runs it, on standard error
    data/          what is kept (04)
        store.py          one database: typed values, deadlines, what changed; the only file that knows expiry
        memory.py         how much memory a key takes
        sorted_set.py     member -> score, kept in order
        random_members.py, scan.py  some members at random; cursors through a collection that changes
        events.py         which events on keys are published, and on which channels
    protocol/      bytes in, requests out; values in, replies out (02, 03)
        reader.py         bytes in, requests out; knows no socket
        writer.py         Python values in, RESP2 or RESP3 bytes out
        pattern.py        glob patterns as Redis means them
        numeric.py        integers that overflow, long doubles, sizes in bytes
        errors.py         ReplyError, and the texts of the errors that commands answer with

The journey of one command, `SET name Alice EX 10`:

1. A chunk of bytes arrives: `Connection.data_received` (net/connection.py) feeds it to its `Reader`.
2. The reader (protocol/reader.py) has [b"SET", b"name", b"Alice", b"EX", b"10"] `ready`, once all of it is there.
3. `FastPath.take` (engine/fast_path.py) sees that nothing stands in the way of this client, that SET is handed
   nothing but the data, and that there are enough words. Else `Engine.execute` (engine/engine.py) would go the
   long way: `find` (engine/command.py) looks the command up, `admit` lets it in or not, and after MULTI it is queued.
4. `Command.run` calls `set_` (commands/strings.py) with the client's database and the words. It answers with a
   value, "OK"; it knows no client and no bytes.
5. On the way it said `db.changed(key, log=…)`: the store (data/store.py) noted what the log should say, which is
   `SET name Alice PXAT 1795373891971`. `Engine.settle` hands the note to the `Log` (log/aof.py), to the clients that
   WATCH the key, and to the commands that wait for it.
6. `encode` (protocol/writer.py) turns "OK" into `+OK`, CRLF, and the connection keeps that in its output.
7. When the loop has nothing more to execute, `Iteration.before_sleep` (net/before_sleep.py) flushes the log, with fsync
   where the policy asks for it, and only then sends every output. No client gets a reply before the log has the change.

From 1 to 7 nothing waits (there is no `await`), so no other command can come in between: that is why there are no
locks, and why INCR never loses an update.
"""
