"""Fuzzes final/: `python3 -m tests.tools.fuzzing --seconds 60`.

corpus.py       valid requests: those of the transcripts, the conversations and the sequences
mutations.py    mutates them, and cuts their bytes into chunks
target.py       reader, engine and writer without a socket, and checks that must hold for any input
malformed.py    bytes that are no valid requests, for comparison with a real Redis
crowd.py        connections to a running server that send malformed input and close at any time
__main__.py     a long run, guided by coverage if atheris is installed
"""
