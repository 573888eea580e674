"""The ACL file: a line for each user, `user NAME RULE …`."""

from collections.abc import Sequence
from pathlib import Path

from ...config.file import replace_file
from .describe import definition
from .rules import SPACE, UNKNOWN, BadRule, Unmatched, apply, whole_rules
from .user import User
from .users import BadUsers, Users, shown

NOTHING_CHANGED = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"


def begin(users: Users, definitions: Sequence[Sequence[bytes]]) -> None:
    """Let there be the users with which a server starts: those of the command line, or of a file. Raises BadUsers."""
    if users.options.aclfile and definitions:
        raise BadUsers("they are defined in an ACL file or by --user, but not both")
    users.configure(definitions)
    if users.options.aclfile:
        load(users)


def load(users: Users) -> None:
    """Replace all users by those of the file `aclfile`. Raises BadUsers (`ACLLoadFromFile`)."""
    path = users.options.aclfile
    try:
        text = (Path(users.options.dir) / path).read_bytes()
    except IsADirectoryError:
        text = b""  # as in Redis
    except OSError as error:
        raise BadUsers(f"Error loading ACLs, opening file '{path}': {error.strerror}") from None
    users.replace(parse(users, text, path))


def parse(users: Users, text: bytes, path: str) -> dict[bytes, User]:
    """Return the users that are defined in the text of a file. Raises BadUsers, with all errors in one text."""
    found: dict[bytes, User] = {}
    errors = ""
    for number, line in enumerate(text.split(b"\n"), start=1):
        keyword, *args = line.strip(b" \t\r\n").split(b" ")
        if not keyword:
            continue
        if keyword != b"user" or not args:
            errors += f"{path}:{number} should start with user keyword followed by the username. "
        elif SPACE.search(args[0]):
            errors += f"'{path}:{number}: username '{shown(args[0])}' contains invalid characters. "
        elif args[0] in found:
            errors += f"WARNING: Duplicate user '{shown(args[0])}' found on line {number}. "
        else:
            user = found[args[0]] = users.new(args[0])
            errors += apply_line(user, args[1:], f"{path}:{number}:", users.all_channels)
    if errors:
        raise BadUsers(errors + NOTHING_CHANGED)
    return found


def apply_line(user: User, args: list[bytes], place: str, all_channels: bool) -> str:
    """Apply the rules in a line; return what is wrong: all names that are unknown, and the first other error."""
    try:
        rules = whole_rules(args)
    except Unmatched:
        return f"{place} Unmatched parenthesis in selector definition."
    errors, wrong = "", False
    for rule in rules:
        try:
            apply(user, rule.strip(b"\t\r\n"), all_channels)
        except BadRule as error:
            if str(error) == UNKNOWN:
                errors += f"{place} Error in applying operation '{shown(error.rule)}': {error}. "
            elif not wrong:
                errors += f"{place} {error}. "
                wrong = True
    return errors


def save(users: Users) -> None:
    """Write all users to the file `aclfile`, which is replaced as a whole. Raises OSError (`ACLSaveToFile`).

    A new file is for nobody else to read, as it has digests of passwords; that of an old one stays as it is.
    """
    path = Path(users.options.dir) / users.options.aclfile
    replace_file(path, b"".join(definition(user) + b"\n" for user in users), 0o600)
