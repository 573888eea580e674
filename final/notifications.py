"""Keyspace notifications: what happens to keys, published on channels, for those that the options choose."""

from .errors import ReplyError

CLASSES = "g$lshzxetdmn"  # the letters of notify-keyspace-events that choose events; A stands for all but m and n
SPECIAL = {"expired": "x", "evicted": "e", "new": "n", "keymiss": "m", "sortstore": "l"}


def letter(event: str, group: str) -> str:
    """The class of an event that a command of the group with this letter brought about.

    >>> letter("lpush", "l"), letter("del", "l"), letter("expired", "$")
    ('l', 'g', 'x')
    """
    if event in SPECIAL:
        return SPECIAL[event]
    if event in ("del", "expire", "persist", "rename_from", "rename_to", "copy_to", "move_from", "move_to", "restore"):
        return "g"
    return group


def chosen(setting: str) -> str:
    """Read the option notify-keyspace-events: K and E for the two channels, and the classes.

    >>> chosen("KEA")
    'KEg$lshzxetd'
    """
    if set(setting) - {*CLASSES, *"KEA"}:
        raise ReplyError("ERR Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
    return "".join(each for each in f"KE{CLASSES}" if each in setting or ("A" in setting and each in "g$lshzxetd"))


def messages(setting: str, index: int, key: bytes, event: str, group: str) -> list[tuple[bytes, bytes]]:
    """The channels and messages that tell of an event, in the order in which Redis publishes them."""
    if letter(event, group) not in setting:
        return []
    name = event.encode()
    found = []
    if "K" in setting:
        found.append((b"__keyspace@%d__:%b" % (index, key), name))
    if "E" in setting:
        found.append((b"__keyevent@%d__:%b" % (index, name), key))
    return found
