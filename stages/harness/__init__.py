"""Runs a checkpoint on a program: a learner's, a stage's reference, `final/` or a real Redis. Imports no other package.

A file imports only files above it in this list:

    course.py        the stages by number: their folders, and the file by which each is recognised
    steps.py         the steps of a stage: the table 'An order to write in' in its README
    rooms.py         which file of `final/` is which file of the stages
    target.py        what `--target` means: what is tested, and how to start it
    namespaces.py    gives a process files, processes and a network of its own
    supervisor.py    a process that runs programs under limits, and kills everything that they leave behind
    sandbox.py       a program under a supervisor, seen from pytest: its output, its exit status
    ports.py         ports of the loopback: one that is free, and who listens on one
    wire.py          a checkpoint's client: sends requests, compares replies byte by byte, never waits for ever
    log.py           a server's log, seen from outside: where it is, and the records in it
    server.py        a server under test: started, connected to, killed, started again
    counting/        counts, and slows down, the fsyncs of a Python server, from outside its code
    report.py        what a failed check tells the learner
    checkpoint.py    the pytest plugin: the options, the fixtures, and the report of each failure
    outcome_pipe.py  another pytest plugin: tells the program that grades how each test went
"""
