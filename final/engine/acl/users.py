"""All users: the table of them, authentication, and the definitions with which a server starts."""

from collections.abc import Iterable, Iterator, Sequence

from ...config.options import Options
from ...server_log import log
from .rules import SPACE, BadRule, Unmatched, apply, whole_rules
from .user import User, all_powerful

DEFAULT = b"default"


class BadUsers(ValueError):
    """Definitions that cannot be used; the text says all that is wrong, as Redis says it."""


class Users:
    """The users by their names. `default` is always there: clients are this user before they authenticate."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.default = all_powerful(DEFAULT)
        self.by_name = {DEFAULT: self.default}
        if options.requirepass:
            self.require_password(options.requirepass)

    def __iter__(self) -> Iterator[User]:
        """Yield the users by their names."""
        return iter([self.by_name[name] for name in sorted(self.by_name)])

    def authenticate(self, name: bytes, password: bytes) -> User | None:
        """Return the user of this name, if the password is right and the user enabled."""
        user = self.by_name.get(name)
        return user if user is not None and user.knows(password) else None

    def require_password(self, password: str) -> None:
        """`requirepass` is set: it is the only password of `default`, or with an empty text, any password is right."""
        rules = [b"resetpass", b">" + password.encode(errors="surrogateescape")] if password else [b"nopass"]
        self.default.become(self.changed(self.default, rules))

    def new(self, name: bytes) -> User:
        """Return a new user that is disabled and may do nothing; it is not in the table."""
        user = User(name)
        user.selectors[0].all_channels = self.all_channels
        return user

    @property
    def all_channels(self) -> bool:
        """Whether new users, and new selectors, may use all channels."""
        return self.options.acl_pubsub_default == "allchannels"

    def changed(self, user: User, rules: Iterable[bytes]) -> User:
        """Return what becomes of a user by these rules. Raises BadRule."""
        changed = user.copy()
        for rule in rules:
            apply(changed, rule, self.all_channels)
        return changed

    def put(self, user: User) -> None:
        """Let the user of this name be as `user` is; clients that are this user have its rights from now on."""
        if (present := self.by_name.get(user.name)) is not None:
            present.become(user)
        else:
            self.by_name[user.name] = user

    def replace(self, users: dict[bytes, User]) -> None:
        """Replace all users. If `default` is not among the new ones, it may do everything."""
        self.default.become(users.get(DEFAULT) or all_powerful(DEFAULT))
        self.by_name = users | {DEFAULT: self.default}

    def configure(self, definitions: Sequence[Sequence[bytes]]) -> None:
        """Add the users of the configuration: each has a name and rules. Raises BadUsers (`ACLLoadConfiguredUsers`)."""
        defined: set[bytes] = set()
        for definition in definitions:
            if not definition:
                raise BadUsers("a name is missing")
            name, *args = definition
            if name in defined:
                raise BadUsers(f"{shown(name)}: Duplicate user found. A user can only be defined once in config files")
            defined.add(name)
            if SPACE.search(name):
                raise BadUsers("Spaces not allowed in ACL usernames")
            present = self.by_name.get(name)
            rules = [b"reset"] if present is not None else []
            try:
                user = self.changed(present or self.new(name), rules + whole_rules(args))
            except Unmatched as error:
                raise BadUsers(f"{shown(name)}: Unmatched parenthesis in selector '{error}'") from None
            except BadRule as error:
                rule = shown(error.rule)
                raise BadUsers(f"ACL rule '{rule}' for the user named '{shown(name)}': {error}") from None
            if not user.enabled:
                log.info("the user %s is disabled: there is no rule `on` in its definition", shown(name))
            self.put(user)


def shown(text: bytes) -> str:
    """Return a name or a rule as text."""
    return text.decode(errors="surrogateescape")
