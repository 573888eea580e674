"""Records: changes as requests, as the log and replicas get them. All changes of one unit take effect, or none."""

from collections.abc import Sequence

from ..data.unit import Requests
from ..protocol.writer import encode_request

Change = Sequence[bytes] | Requests  # a request, or several
Record = tuple[int, Change]  # the index of a database, and what has changed in it


def encode_unit(database: int, *records: Record) -> tuple[bytes, int]:
    """Return a unit as bytes, and the database that is selected then; `database` is the one that is selected before.

    If there are several requests, MULTI and EXEC enclose them. SELECT comes before a record whose database differs from
    that of the record before.

    >>> encode_unit(3, (3, [b"DEL", b"k"]))
    (b'*2\\r\\n$3\\r\\nDEL\\r\\n$1\\r\\nk\\r\\n', 3)
    """
    unit = bytearray()
    several = len(records) > 1 or type(records[0][1]) is Requests
    if several:
        unit += b"*1\r\n$5\r\nMULTI\r\n"
    for number, change in records:
        if number != database:
            unit += encode_request([b"SELECT", b"%d" % number])
            database = number
        unit += change if isinstance(change, Requests) else encode_request(change)
    if several:
        unit += b"*1\r\n$4\r\nEXEC\r\n"
    return bytes(unit), database
