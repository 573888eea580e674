"""Input that nobody would send, for final/: `python3 -m tests.tools.fuzzing --seconds 60`.

corpus.py       what clients really say: the requests of the transcripts, the conversations, the sequences
mutations.py    the same gone wrong, and cut into chunks anywhere
target.py       reader, engine and writer without a socket, and what has to hold whatever comes in
malformed.py    bytes that are no requests, for comparison with a real Redis
crowd.py        thousands of connections to a server that runs: they talk nonsense, and leave as they like
__main__.py     a long run, guided by coverage where atheris is installed
"""
