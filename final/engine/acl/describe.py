"""Users and selectors as rules, as ACL LIST and ACL GETUSER show them: rules that make a new user the same."""

from collections.abc import Iterator

from .categories import CATEGORIES, known, members
from .selector import READ, WRITE, Selector
from .user import User

PREFIXES = {READ | WRITE: b"~", READ: b"%R~", WRITE: b"%W~"}


def definition(user: User) -> bytes:
    """Return a user as a line of an ACL file (`ACLDescribeUser`)."""
    rules = [*flags(user), *(b"#" + each for each in user.passwords)]
    root, *others = map(rules_of, user.selectors)
    return b" ".join([b"user", user.name, *rules, root, *(b"(%b)" % each for each in others)])


def flags(user: User) -> list[bytes]:
    """Return the rules that concern a user as a whole, without passwords."""
    sanitize = {None: [], False: [b"skip-sanitize-payload"], True: [b"sanitize-payload"]}[user.sanitizes]
    return [b"on" if user.enabled else b"off", *[b"nopass"] * user.nopass, *sanitize]


def rules_of(selector: Selector) -> bytes:
    """Return a selector as rules."""
    reset = b"" if selector.all_channels else b"resetchannels"
    rules = (keys_of(selector), reset, channels_of(selector), commands_of(selector))
    return b" ".join(filter(None, rules))


def keys_of(selector: Selector) -> bytes:
    """Return the patterns of keys as rules."""
    return b"~*" if selector.all_keys else b" ".join(PREFIXES[given] + each for each, given in selector.keys.items())


def channels_of(selector: Selector) -> bytes:
    """Return the patterns of channels as rules."""
    return b"&*" if selector.all_channels else b" ".join(b"&" + each for each in selector.channels)


def commands_of(selector: Selector) -> bytes:
    """Return the commands as rules: first the categories that describe most of them, then single commands."""
    adding = not selector.future_commands
    reached, left = Selector(), Selector(commands={*selector.commands})
    if not adding:
        reached.commands = {*known()}
    rules = ["-@all" if adding else "+@all"]
    while (best := best_category(left, adding)) is not None:
        rules.append(f"{'+' if adding else '-'}@{best}")
        (reached.allow if adding else reached.forbid)(*members(best))
        (left.forbid if adding else left.allow)(*members(best))
    return b" ".join([*(rule.encode() for rule in rules), *exceptions(selector, reached)])


def best_category(left: Selector, adding: bool) -> str | None:
    """Return the category that is right for most commands of `left`; None: each is wrong for half of its commands.

    With `adding` those are right that are allowed, else those that are not (`ACLDescribeSelectorCommandRules`).
    """
    best, fewest, most = None, len(known()), 0
    for name in CATEGORIES:
        allowed = sum(each in left.commands for each in members(name))
        right = allowed if adding else len(members(name)) - allowed
        wrong = len(members(name)) - right
        if right > wrong and (wrong < fewest or (wrong == fewest and right > most)):
            best, fewest, most = name, wrong, right
    return best


def exceptions(selector: Selector, reached: Selector) -> Iterator[bytes]:
    """Yield the rules that lead from `reached` to the commands of a selector."""
    for name in known():
        allowed = name in selector.commands
        if allowed != (name in reached.commands):
            yield f"{'+' if allowed else '-'}{name}".encode()
            (reached.allow if allowed else reached.forbid)(name)
        if not allowed:
            yield from (f"+{name}|".encode() + each for each in selector.first_args.get(name, ()))
