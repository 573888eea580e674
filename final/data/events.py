"""Keyspace notifications: events on keys, published on channels. The option notify-keyspace-events selects them."""

ALL = "g$lshzxetd"  # the classes of events in notify-keyspace-events that A includes …
MORE = "mn"  # … and those that it does not
SPECIAL = {"expired": "x", "evicted": "e", "new": "n", "keymiss": "m", "sortstore": "l"}
AT_ONCE = {"expired", "keymiss", "new"}  # Redis publishes these before any reply, also before one that it sends early


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


class Events(frozenset[str]):
    """notify-keyspace-events: the classes of events that are published, and K and E, the two channels.

    As text it is what CONFIG GET shows: Redis leaves out `n` behind A.

    >>> [str(Events.parse(text)) for text in ("KEA", "Eg", "g$lshzxetdK", "nKA", "mnKg")]
    ['AKE', 'gE', 'AK', 'AK', 'gnKm']
    """

    @classmethod
    def parse(cls, text: str) -> "Events":
        """Raises ValueError with Redis's text."""
        if set(text) - {*ALL, *MORE, *"KEA"}:
            raise ValueError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
        return cls(text.replace("A", ALL))

    def __str__(self) -> str:
        classes = "A" if self >= set(ALL) else "".join(each for each in ALL + "n" if each in self)
        return classes + "".join(each for each in "KEm" if each in self)


def messages(setting: Events, index: int, key: bytes, event: str, group: str) -> list[tuple[bytes, bytes]]:
    """The channels and messages for an event, in the order in which Redis publishes them."""
    if letter(event, group) not in setting:
        return []
    name = event.encode()
    found = []
    if "K" in setting:
        found.append((b"__keyspace@%d__:%b" % (index, key), name))
    if "E" in setting:
        found.append((b"__keyevent@%d__:%b" % (index, name), key))
    return found
