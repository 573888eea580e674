"""The rules of ACL SETUSER, such as `+@read` or `~cache:*`: each changes one thing of a user (`ACLSetUser`)."""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256

from ...protocol.errors import shown
from ...protocol.inline import split_inline
from .categories import CATEGORIES, known, members
from .selector import READ, WRITE, Selector
from .user import User

SPACE = re.compile(rb"[\s\0]")
UNKNOWN = "Unknown command or category name in ACL"
SYNTAX = "Syntax error"
NO_SUCH_PASSWORD = "The password you are trying to remove from the user does not exist"
NO_DIGEST = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
AFTER_ALL = (
    "Adding a pattern after the * pattern (or the '{}' flag) is not valid and does not have any effect. "
    "Try '{}' to start with an empty list of {}"
)


class BadRule(ValueError):
    """A rule that cannot be applied. The text is Redis's."""

    rule = b""  # the whole rule


class Unmatched(ValueError):
    """A parenthesis that is not closed; the text is the argument that opens it."""


def whole_rules(args: Sequence[bytes]) -> list[bytes]:
    """Join the arguments of each selector in parentheses to one rule (`ACLMergeSelectorArguments`). Raises Unmatched.

    >>> whole_rules([b"on", b"(+get", b"~x)"])
    [b'on', b'(+get ~x)']
    """
    rules: list[bytes] = []
    opened: list[bytes] = []
    for arg in args:
        if arg.startswith(b"(") and not arg.endswith(b")"):
            opened = [arg]
        elif opened:
            opened.append(arg)
            if arg.endswith(b")"):
                rules.append(b" ".join(opened))
                opened = []
        else:
            rules.append(arg)
    if opened:
        raise Unmatched(shown(opened[0], None))
    return rules


def apply(user: User, rule: bytes, all_channels: bool) -> None:
    """Change a user as a rule says. New selectors allow all channels if `all_channels`. Raises BadRule."""
    try:
        change(user, rule, all_channels)
    except BadRule as error:
        error.rule = rule
        raise
    user.update()


def change(user: User, rule: bytes, all_channels: bool) -> None:
    """Do what `apply` does, but do not update `user`."""
    name = rule.lower()
    if name in OF_USERS:
        OF_USERS[name](user)
    elif name == b"reset":
        user.become(User(user.name, sanitizes=True, selectors=[Selector(all_channels)]))
    elif rule[:1] in (b">", b"#"):
        if (added := digest(rule, b">")) not in user.passwords:
            user.passwords.append(added)
        user.nopass = False
    elif rule[:1] in (b"<", b"!"):
        if (removed := digest(rule, b"<")) not in user.passwords:
            raise BadRule(NO_SUCH_PASSWORD)
        user.passwords.remove(removed)
    elif rule.startswith(b"(") and rule.endswith(b")"):
        user.selectors.append(in_parentheses(rule[1:-1], all_channels))
    elif rule:
        apply_to_selector(user.selectors[0], rule)


def digest(rule: bytes, plain: bytes) -> bytes:
    """Return the digest in a rule about a password; the rule has the password itself if its sign is `plain`."""
    if rule.startswith(plain):
        return sha256(rule[1:]).hexdigest().encode()
    if not re.fullmatch(rb"[0-9a-f]{64}", rule[1:]):
        raise BadRule(NO_DIGEST)
    return rule[1:]


def in_parentheses(rules: bytes, all_channels: bool) -> Selector:
    """Make a selector from rules in one text. As in Redis, one with a quote that is not closed allows nothing."""
    made = Selector(all_channels)
    try:
        args = split_inline(rules)
    except ValueError:
        args = []
    for rule in args:
        apply_to_selector(made, rule)
    return made


def set_password_free(user: User, free: bool) -> None:
    """Forget all passwords of a user: any password is right, or none."""
    user.nopass, user.passwords = free, []


OF_USERS: dict[bytes, Callable[[User], None]] = {
    b"on": lambda user: setattr(user, "enabled", True),
    b"off": lambda user: setattr(user, "enabled", False),
    b"sanitize-payload": lambda user: setattr(user, "sanitizes", True),
    b"skip-sanitize-payload": lambda user: setattr(user, "sanitizes", False),
    b"nopass": lambda user: set_password_free(user, True),
    b"resetpass": lambda user: set_password_free(user, False),
    b"clearselectors": lambda user: setattr(user, "selectors", user.selectors[:1]),
}


def set_keys(selector: Selector, everything: bool) -> None:
    """Allow all keys, or none."""
    selector.all_keys = everything
    selector.keys.clear()


def set_channels(selector: Selector, everything: bool) -> None:
    """Allow all channels, or none."""
    selector.all_channels = everything
    selector.channels.clear()


def set_commands(selector: Selector, everything: bool) -> None:
    """Allow all commands, or none."""
    selector.all_commands = selector.future_commands = everything
    selector.commands = {*known()} if everything else set()
    selector.first_args.clear()


OF_SELECTORS: dict[bytes, Callable[[Selector], None]] = {
    **dict.fromkeys((b"allkeys", b"~*"), lambda selector: set_keys(selector, True)),
    b"resetkeys": lambda selector: set_keys(selector, False),
    **dict.fromkeys((b"allchannels", b"&*"), lambda selector: set_channels(selector, True)),
    b"resetchannels": lambda selector: set_channels(selector, False),
    **dict.fromkeys((b"allcommands", b"+@all"), lambda selector: set_commands(selector, True)),
    **dict.fromkeys((b"nocommands", b"-@all"), lambda selector: set_commands(selector, False)),
}


def apply_to_selector(selector: Selector, rule: bytes) -> None:
    """Change a selector as a rule says (`ACLSetSelector`). Raises BadRule."""
    if rule.lower() in OF_SELECTORS:
        OF_SELECTORS[rule.lower()](selector)
    elif rule[:1] in (b"~", b"%"):
        add_keys(selector, rule)
    elif rule.startswith(b"&"):
        if selector.all_channels:
            raise BadRule(AFTER_ALL.format("allchannels", "resetchannels", "channels"))
        selector.channels[without_space(rule[1:])] = None
    elif rule[:2] in (b"+@", b"-@"):
        category = rule[2:].decode(errors="replace").lower()
        if category not in CATEGORIES:
            raise BadRule(UNKNOWN)
        (selector.allow if rule.startswith(b"+") else selector.forbid)(*members(category))
    elif rule.startswith(b"+"):
        add_command(selector, rule[1:])
    elif rule.startswith(b"-"):
        selector.forbid(known_command(rule[1:]))
    else:
        raise BadRule(SYNTAX)


def add_keys(selector: Selector, rule: bytes) -> None:
    """Allow the keys of a pattern: `~pattern`, `%R~pattern` to read, `%W~pattern` to write, `%RW~pattern`."""
    if selector.all_keys:
        raise BadRule(AFTER_ALL.format("allkeys", "resetkeys", "patterns"))
    letters, _, pattern = rule[1:].partition(b"~") if rule.startswith(b"%") else (b"RW", b"~", rule[1:])
    given = {b"R": READ, b"W": WRITE, b"RW": READ | WRITE, b"WR": READ | WRITE}.get(letters.upper())
    if given is None:
        raise BadRule(SYNTAX)
    selector.keys[pattern] = selector.keys.get(without_space(pattern), 0) | given


def add_command(selector: Selector, name: bytes) -> None:
    """Allow a command, a subcommand, or a command only with a first argument, as in `+select|0`."""
    container, bar, argument = name.rpartition(b"|")
    if not bar:
        selector.allow(known_command(name))
        return
    found = known_command(container)
    if "|" in found:
        raise BadRule("Allowing first-arg of a subcommand is not supported")
    if not argument:
        raise BadRule(SYNTAX)
    if known()[found].subcommands:
        selector.allow(known_command(name))
        return
    allowed = selector.first_args.setdefault(found, [])
    if argument.lower() not in (each.lower() for each in allowed):
        allowed.append(argument)


def known_command(name: bytes) -> str:
    """Return a command's name in lower case. Raises BadRule if there is none of that name."""
    found = name.decode(errors="replace").lower()
    if found not in known():
        raise BadRule(UNKNOWN)
    return found


def without_space(pattern: bytes) -> bytes:
    """Return a pattern. Raises BadRule if it has a space or a null byte."""
    if SPACE.search(pattern):
        raise BadRule(SYNTAX)
    return pattern
