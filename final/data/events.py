"""Keyspace notifications: events on keys, published on channels. The option notify-keyspace-events selects them."""

ALL = "g$lshzxetd"  # the classes of events in notify-keyspace-events that A includes …
MORE = "mn"  # … and those that it does not
SPECIAL = {"expired": "x", "evicted": "e", "new": "n", "keymiss": "m", "sortstore": "l"}


def letter(event: str, group: str) -> str:
    """The class of an event caused by a command whose group has the class `group`.

    >>> letter("lpush", "l"), letter("del", "l"), letter("expired", "$")
    ('l', 'g', 'x')
    """
    if event in SPECIAL:
        return SPECIAL[event]
    if event in ("del", "expire", "persist", "rename_from", "rename_to", "copy_to", "move_from", "move_to", "restore"):
        return "g"
    return group


def chosen(setting: str) -> str:
    """notify-keyspace-events (K and E for the two channels, and classes) as CONFIG GET shows it. Raises ValueError.

    >>> chosen("KEA"), chosen("Eg"), chosen("g$lshzxetdK")
    ('AKE', 'gE', 'AK')
    """
    if set(setting) - {*ALL, *MORE, *"KEA"}:
        raise ValueError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
    everything = "A" in setting or set(ALL) <= set(setting)
    classes = "A" if everything else "".join(each for each in ALL if each in setting)
    return classes + "".join(each for each in "nKEm" if each in setting)


def messages(setting: str, index: int, key: bytes, event: str, group: str) -> list[tuple[bytes, bytes]]:
    """The channels and messages for an event, in the order in which Redis publishes them."""
    kind = letter(event, group)
    if kind not in setting and not ("A" in setting and kind in ALL):
        return []
    name = event.encode()
    found = []
    if "K" in setting:
        found.append((b"__keyspace@%d__:%b" % (index, key), name))
    if "E" in setting:
        found.append((b"__keyevent@%d__:%b" % (index, name), key))
    return found
