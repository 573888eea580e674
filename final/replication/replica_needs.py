"""What a replica needs of the engine, and what it does to the data."""

from collections.abc import Callable, Iterator
from typing import Protocol

from ..config.options import Options
from .outgoing import Dial
from .primary import Primary
from .stream import Args


class Data(Protocol):
    """What a replica does to the data; `engine/following.py` does it."""

    def begin(self, break_off: Callable[[], None]) -> None:
        """There is a stream of changes. `break_off` ends it, for CLIENT KILL."""

    def apply(self, requests: list[Args]) -> None:
        """Execute a unit of the primary's changes. Raises Malformed if the rest of the stream cannot be executed."""

    def end(self) -> None:
        """There is no stream any more."""

    def replace(self, requests: Iterator[Args]) -> Iterator[None]:
        """Build a data set from requests, one at each step, and at the end replace the present one by it.

        Raises ReplyError if a request fails: then the present data is as it was.
        """


class ReplicaNeeds(Protocol):
    """What a replica needs of the engine."""

    options: Options
    dial: Dial
    primary: Primary
    steady: Callable[[], int]
