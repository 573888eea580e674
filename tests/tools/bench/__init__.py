"""How fast final/ is, beside others, measured in one run: `python3 -m tests.tools.bench`, or `make bench`.

What each file owns:

    __main__.py     the command line: which sections, how many rounds, where the results go
    servers.py      who takes part: started on a free port, asked, weighed
    floor.py        the least that an asyncio server can do: it answers without reading the question
    load.py         what they are asked: redis-benchmark, or own.py where that is missing
    own.py          a small load generator of our own
    measuring.py    rounds in which all servers take their turns, so that the machine's moods fall on all; rows
    throughput.py   sections: requests in a second, by pipeline, command, clients, size of values, log; latency
    pauses.py       sections: how long the server stands still while it rewrites its log, or a million keys expire
    growth.py       sections: what a million keys, members, thousands of clients, and one huge value cost
    weight.py       sections: memory, and the time until it serves
    results.py      the rows of a run, kept as JSON; medians, and ratios within a round
    targets.py      what we want, and whether it is so
    report.py       the same as a page of Markdown
    pictures.py     … and as pictures

A measurement is a row: section, server, what, value, unit, round. No test asserts any of them.
"""
