"""A user: its passwords, and its selectors. What one of them allows, the user may do."""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256

from ..command import Command
from .categories import known
from .selector import Denial, Selector


@dataclass(eq=False)
class User:
    """A user. `unlimited` decides whether a request is checked at all; `update` follows a change of `selectors`."""

    name: bytes
    enabled: bool = False  # whether a client can authenticate as this user
    nopass: bool = False  # with any password
    passwords: list[bytes] = field(default_factory=list)  # their SHA-256, in hexadecimal
    sanitizes: bool | None = None  # the flag sanitize-payload, or skip-sanitize-payload; None: neither was given
    selectors: list[Selector] = field(default_factory=lambda: [Selector()])  # the first is that of rules without ( )
    unlimited: bool = False  # it may do everything

    @property
    def open(self) -> bool:
        """Whether clients are this user without authentication, if it is the default user."""
        return self.enabled and self.nopass

    def copy(self) -> "User":
        """Return another user with the same rights and passwords, for rules that may turn out wrong."""
        copied = User(self.name)
        copied.become(self)
        return copied

    def become(self, other: "User") -> None:
        """Take over everything from another user, but the name. Clients that are this user stay this user."""
        self.enabled, self.nopass, self.sanitizes = other.enabled, other.nopass, other.sanitizes
        self.passwords, self.selectors = [*other.passwords], [each.copy() for each in other.selectors]
        self.update()

    def update(self) -> None:
        """Set `unlimited`: one selector allows everything."""
        self.unlimited = any(each.unlimited for each in self.selectors)

    def knows(self, password: bytes) -> bool:
        """Return whether a client with this password is this user.

        All digests are compared, each in constant time, so the time does not tell how much of a password is right.
        """
        digest = sha256(password).hexdigest().encode()
        right = [hmac.compare_digest(digest, each) for each in self.passwords]
        return self.enabled and (self.nopass or any(right))

    def denial(self, command: Command, args: list[bytes]) -> Denial | None:
        """Return why the user may not send a request; None: it may (`ACLCheckAllUserCommandPerm`)."""
        if self.unlimited:
            return None
        denials = []
        for selector in self.selectors:
            denied = selector.denial(command, args)
            if denied is None:
                return None
            denials.append(denied)
        return max(denials)

    def may_read_all_keys(self, command: Command, args: list[bytes]) -> bool:
        """Return whether it may send a request that reads keys that are not among its arguments, as SORT does."""
        return self.unlimited or any(
            each.reads_all_keys and each.denial(command, args) is None for each in self.selectors
        )


def all_powerful(name: bytes) -> User:
    """Return a user that may do everything, without a password."""
    everything = Selector(all_channels=True, all_commands=True, all_keys=True, future_commands=True)
    everything.commands = {*known()}
    return User(name, enabled=True, nopass=True, selectors=[everything], unlimited=True)


# For what is no client: the primary of this replica, the log that is loaded.
SUPERUSER = User(b"(superuser)", enabled=True, nopass=True, unlimited=True)
