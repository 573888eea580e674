"""Measures the speed of final/ beside other servers in one run: `python3 -m tests.tools.bench`, or `make bench`.

The files:

    __main__.py     the command line: which sections, how many rounds, where the results go
    servers.py      the servers: start them on a free port, send requests, read their memory
    floor.py        the least that an asyncio server can do: it replies without parsing requests
    load.py         the requests, sent by redis-benchmark, or by own.py if that is not installed
    own.py          a small load generator of our own
    measuring.py    rounds in which all servers take turns, so that a busy machine slows all of them; rows
    throughput.py   sections: requests a second, by pipeline, Python, command, range, clients, size, log; latency
    units.py        section: transactions and scripts of many commands
    pauses.py       sections: the longest pause while a server rewrites its log, or a million keys expire
    growth.py       sections: what a million keys, members, thousands of clients, and one huge value cost
    weight.py       sections: memory, and the time from the start to the first reply
    results.py      the rows of a run, kept as JSON; medians, and ratios within a round
    targets.py      the wanted numbers, and whether they are met
    report.py       the results as a page of Markdown
    pictures.py     the results as pictures
    quoted.py       the figures that SPEED.md and OUTGROWN.md quote

A measurement is a row: section, server, what, value, unit, round. No test asserts its value.
"""
