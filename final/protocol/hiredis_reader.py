"""The reader's fast way in C: hiredis, the parser of Redis's own clients, splits chunks that are plain requests.

hiredis reads replies, so it takes more than requests may be: values of other types, and arrays in arrays. `Reader` says
what a request is. What hiredis reads counts only if `Reader` would read the same, and any other chunk is left to it
whole. A test gives the same bytes to both.

Measured with a hundred requests in a chunk: a GET takes 0.27 µs, and takes 0.67 in `Reader`; a SET of 64 bytes 0.34 and
0.80.
"""

import re
from itertools import chain

import hiredis

from .reader import Reader

if not hiredis.__version__.startswith("3."):  # what others take that a request may not be is not known
    raise ImportError(f"version {hiredis.__version__} is not 3")

SHORTEST = 200  # bytes in a chunk of requests …
FEWEST = 8  # … and their number: fewer are split as fast by `Reader`, since to begin costs 3 µs here
SIGNS = b"=+(|~>%"  # the types whose values look like arguments or requests once they are read …
WITHOUT_SIGNS = bytes.maketrans(SIGNS, b"!" * len(SIGNS))  # … and a character that is no type
MARK = b">0\r\n"  # a push: nothing from a client becomes one, as ">" is a sign
HUGE = re.compile(rb"\*\d{4}")  # hiredis makes an array of this length before it has read the items
NOTHING = object()


class HiredisReader(Reader):
    """A Reader that splits chunks of several requests in less than half the time."""

    parser = hiredis.Reader(notEnoughData=NOTHING)  # shared by all connections, since nothing stays in it

    def _split(self, data: bytes) -> int:
        """Do what `Reader._split` does. If the chunk ends in half a request, that mostly begins at the last `*`."""
        arrays = data.count(b"*") if len(data) >= SHORTEST and data.startswith(b"*") else 0
        many = arrays >= FEWEST
        brief = many and data[2:3] == b"\r" and data.count(data[:3]) == arrays  # none has ten arguments or more
        if many and (brief or not HUGE.search(data)):
            for end in (len(data), data.rfind(b"\r\n*") + len(b"\r\n")):
                if found := requests_in(data[:end]):
                    found.reverse()
                    self.ready = found
                    return end
        return Reader._split(self, data)  # not super(), which costs a lone request 60 ns


def requests_in(data: bytes) -> list[list[bytes]]:
    """Return the requests of which `data` consists, or [] if it is not plain requests, all of them complete.

    A sign may be a part of an argument, or the type of a value. If `data` is plain requests with every sign replaced,
    too, all of them are parts of arguments.
    """
    signs = b"=" in data or b"+" in data or b"(" in data or b"|" in data or b"~" in data or b">" in data or b"%" in data
    found = parse((data.translate(WITHOUT_SIGNS) if signs else data) + MARK)
    if not found or type(found.pop()) is not hiredis.PushNotification:  # something before the mark is incomplete
        HiredisReader.parser = hiredis.Reader(notEnoughData=NOTHING)
        return []
    try:
        b"".join(chain.from_iterable(found))  # fails if anything is no list of bytes: 1 µs less than to ask for types
    except TypeError:
        return []
    if not all(found):
        return []
    return parse(data) if signs else found


def parse(data: bytes) -> list[list[bytes]]:
    """Return what hiredis reads in `data`, or [] if it finds an error, or a map whose keys cannot be keys in Python."""
    parser = HiredisReader.parser
    try:
        parser.feed(data)
        return [*iter(parser.gets, NOTHING)]
    except (hiredis.ProtocolError, TypeError, ValueError):
        return []
