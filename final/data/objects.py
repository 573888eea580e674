"""What OBJECT tells of keys: encodings that values do not show, and when each key was last used (`object.c`)."""

from typing import Any

from .kinds import KINDS

TRACKED = 10_000  # keys
ZERO = ord("0")


def is_small_integer(value: Any) -> bool:
    """Return whether a string is one of the integers that keys share in Redis: 0 to 9999 (OBJ_SHARED_INTEGERS)."""
    return type(value) is bytes and len(value) <= 4 and value.isdigit() and (value[0] != ZERO or len(value) == 1)


class Objects:
    """Values by key, with what Redis keeps beside a value, in its `robj`.

    A use of a key is an entry in a dictionary. Among few keys that costs 60 ns; among a million, which are in no cache,
    1000 ns for each GET, and 43 MB. So if more than TRACKED keys are used, uses are noted only once a client has asked.
    """

    def __init__(self) -> None:
        self._values: dict[bytes, Any] = {}  # of the types in KINDS
        self._encodings: dict[bytes, str] = {}  # of the values that do not show theirs: see `remember`
        self._used: dict[bytes, int] = {}  # when a key was last used, by the steady clock, in milliseconds …
        self.since = 0  # … and all keys that are not in it
        self.tracking = True  # whether uses are noted
        self.asked = False  # whether a client has asked for one

    def remember(self, key: bytes, encoding: str | None) -> None:
        """Remember that Redis would go on using this encoding for the value at `key`, which does not show it.

        Redis does not convert a value back, such as a hash from which long fields are removed. What is remembered goes
        with the value. An intset may have a width, "intset-4", of numbers that are gone. None: it shows it again.
        """
        if encoding is None:
            self._encodings.pop(key, None)
        else:
            self._encodings[key] = encoding

    def remembered(self, key: bytes) -> str | None:
        """Return what is remembered, for a command that copies or renames the key."""
        return self._encodings.get(key)

    def encoding(self, key: bytes) -> str:
        """Return the encoding that Redis would use for the value at `key`, which must exist."""
        value = self._values[key]
        remembered = self._encodings.get(key)
        return remembered.partition("-")[0] if remembered else KINDS[type(value)].encoding(value)

    def encodings(self) -> dict[bytes, str]:
        """Return the encodings that values show, of all that are not strings."""
        shown = self._values.keys() - self._encodings.keys() if self._encodings else self._values
        return {key: self.encoding(key) for key in shown if type(self._values[key]) is not bytes}

    def keep_encodings(self, before: dict[bytes, str]) -> None:
        """Remember the encodings that values showed, if they show other ones now, as the limits are others."""
        for key, encoding in before.items():
            if self.encoding(key) != encoding:
                self._encodings[key] = encoding

    def use(self, key: bytes, now: int) -> None:
        """Note that the key was used at this time, if it exists."""
        if self.tracking and key in self._values:
            self._used[key] = now

    def used(self, key: bytes, now: int) -> int:
        """Return when the key was last used, or loaded. From now on, all uses are noted."""
        if not self.tracking:
            self.forget_uses(now, tracking=True)
        self.asked = True
        return self._used.get(key, self.since)

    def forget_uses(self, now: int, tracking: bool) -> None:
        """Count the idle times of all keys from now on; note their uses, or do not."""
        self._used, self.since, self.tracking = {}, now, tracking

    def limit_uses(self, now: int) -> None:
        """Note no more uses if there are too many, and nobody has asked. Called some ten times a second."""
        if len(self._used) > TRACKED and not self.asked:
            self.forget_uses(now, tracking=False)
