"""The log's new base: the data as they are, as requests, without the changes that led to them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..data.kinds import KINDS, Args
from ..data.store import Store
from ..protocol.writer import encode
from .child import Visit, Wanted, joined, write_file


def requests(stores: Iterable[Store], functions: Iterable[bytes] = (), visit: Visit = iter) -> Iterator[Args]:
    """The requests that recreate the data, and the libraries of functions, of which `functions` are the texts."""
    yield from ((b"FUNCTION", b"LOAD", code) for code in functions)
    for store in stores:
        selected = False
        for key, value, deadline in visit(store.items()):
            if not selected:
                yield b"SELECT", b"%d" % store.index
                selected = True
            yield from KINDS[type(value)].dump(key, value)
            if deadline is not None:
                yield b"PEXPIREAT", key, b"%d" % deadline


def write_base(
    path: Path, stores: Iterable[Store], wanted: Wanted, functions: Iterable[bytes] = (), visit: Visit = iter
) -> None:
    """Write the data to a new file, and fsync it. Raises OSError, also once `wanted` answers False."""
    write_file(path, joined(encode(args) for args in requests(stores, functions, visit)), wanted)
