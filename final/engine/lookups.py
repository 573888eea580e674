"""What the keys of a request count as, once it has run: as hits or misses, and as used. One key takes a shorter way."""

from ..data.store import Store
from .command import NO_TOUCH, QUIET, Command


def read_keys(db: Store, command: Command, args: list[bytes]) -> None:
    """Count the keys that a request has read."""
    for key in command.keys_read(args):
        db.look_up(key, use=NO_TOUCH not in command.flags, quietly=QUIET in command.flags)


def use_keys(db: Store, command: Command, args: list[bytes]) -> None:
    """Note that a request has used its keys, though it has changed nothing."""
    if NO_TOUCH in command.flags:
        return
    for key in command.keys_in(args):
        db.use(key, db.unit.recently)
