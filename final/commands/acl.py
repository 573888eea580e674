"""ACL: the users, and what each may do."""

import secrets
from collections.abc import Iterable
from itertools import islice

from ..engine.acl.categories import CATEGORIES, members
from ..engine.acl.describe import channels_of, commands_of, definition, flags, keys_of
from ..engine.acl.file import load, save
from ..engine.acl.rules import SPACE, BadRule, Unmatched, whole_rules
from ..engine.acl.selector import Reason, Selector
from ..engine.acl.user import User
from ..engine.acl.users import DEFAULT, BadUsers
from ..engine.args import integer
from ..engine.client import Client
from ..engine.command import ADMIN, LOADING, NOSCRIPT, STALE, look_up
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..protocol.errors import ReplyError, shown, wrong_number_of_arguments
from ..protocol.writer import Value
from ..server_log import log
from .clients import close, type_of

MOST_BITS = 4096  # of a password of ACL GENPASS
NO_FILE = (
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER "
    "command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store "
    "users in the Redis configuration."
)


@command()
def acl(subcommand: bytes, *arguments: bytes) -> Value:
    """ACL subcommand [argument ...]: manage the users and what each may do; see the subcommands."""


@command(NOSCRIPT, LOADING, STALE, of="acl")
def acl_whoami(client: Client) -> Value:
    """ACL WHOAMI: answer with the name of the client's user."""
    return client.user.name


@command(NOSCRIPT, LOADING, STALE, of="acl")
def acl_cat(category: bytes | None = None) -> Value:
    """ACL CAT [categoryname]: answer with the categories of commands, or with the commands of one."""
    if category is None:
        return [each.encode() for each in CATEGORIES]
    name = category.decode(errors="replace").lower()
    if name not in CATEGORIES:
        raise ReplyError(f"ERR Unknown category '{shown(category)}'")
    return [each.encode() for each in members(name)]


@command(NOSCRIPT, LOADING, STALE, of="acl")
def acl_genpass(bits: bytes = b"256") -> Value:
    """ACL GENPASS [bits]: answer with a random password, in hexadecimal; it is not stored."""
    number = integer(bits)
    if not 0 < number <= MOST_BITS:
        raise ReplyError(
            "ERR ACL GENPASS argument must be the number of bits for the output password, "
            f"a positive number up to {MOST_BITS}"
        )
    return secrets.token_hex(MOST_BITS // 8)[: (number + 3) // 4].encode()


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="acl")
@complexity("O(N) for N users")
def acl_users(engine: Engine) -> Value:
    """ACL USERS: answer with the names of all users."""
    return [user.name for user in engine.users]


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="acl")
@complexity("O(N) for N users")
def acl_list(engine: Engine) -> Value:
    """ACL LIST: answer with all users, each as the rules that make it."""
    return [definition(user) for user in engine.users]


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="acl")
@complexity("O(N) for N rights of the user")
def acl_getuser(engine: Engine, username: bytes) -> Value:
    """ACL GETUSER username: answer with the flags, password digests and selectors of a user; null if there is none."""
    user = engine.users.by_name.get(username)
    if user is None:
        return None
    root, *others = map(about, user.selectors)
    head: dict[bytes, Value] = {b"flags": dict.fromkeys(flags(user)).keys(), b"passwords": [*user.passwords]}
    return head | root | {b"selectors": [*others]}


def about(selector: Selector) -> dict[bytes, Value]:
    """Return what ACL GETUSER says of a selector."""
    return {b"commands": commands_of(selector), b"keys": keys_of(selector), b"channels": channels_of(selector)}


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="acl", secrets=lambda args: range(2, len(args)))
@complexity("O(N) for N rules")
def acl_setuser(engine: Engine, client: Client, username: bytes, *rules: bytes) -> Value:
    """ACL SETUSER username [rule ...]: create or change a user by rules; if one of them is wrong, do nothing.

    `on` and `off` enable and disable it; `>password`, `nopass`; `+command`, `+@category`, `~keys`, `%R~keys` to read,
    `&channels`; `reset`. Rules in ( ) make another selector. Clients that are subscribed to channels to which the user
    has access no more are disconnected.
    """
    if SPACE.search(username):
        raise ReplyError("ERR Usernames can't contain spaces or null characters")
    try:
        whole = whole_rules(rules)
    except Unmatched as error:
        raise ReplyError(f"ERR Unmatched parenthesis in acl selector starting at '{error}'.") from None
    users = engine.users
    present = users.by_name.get(username)
    try:
        changed = users.changed(present or users.new(username), whole)
    except BadRule as error:
        raise ReplyError(f"ERR Error in ACL SETUSER modifier '{shown(error.rule, None)}': {error}") from None
    if present is not None:
        close(engine, client, [*losing_channels(engine, present, changed)])
    users.put(changed)
    return "OK"


def losing_channels(engine: Engine, user: User, changed: User) -> Iterable[Client]:
    """Yield the clients that are subscribed to channels to which a user loses access (`ACLKillPubsubClientsIfNeeded`).

    A pattern has to be among the user's patterns as it is, a channel has to match one of them.
    """
    if any(each.all_channels for each in changed.selectors):
        return
    before = {channel for each in user.selectors for channel in each.channels}
    left = {channel for each in changed.selectors for channel in each.channels}
    if before <= left and not any(each.all_channels for each in user.selectors):
        return
    for client in engine.clients.values():
        if client.user is user and type_of(client) == b"pubsub":
            channels = [*client.channels, *client.shard_channels]
            heard = [any(each.may_hear(channel) for each in changed.selectors) for channel in channels]
            if not (all(heard) and client.patterns.keys() <= left):
                yield client


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="acl")
def acl_deluser(engine: Engine, client: Client, username: bytes, *usernames: bytes) -> Value:
    """ACL DELUSER username [username ...]: delete users, and disconnect their clients; answer with how many existed."""
    names = {username, *usernames}
    if DEFAULT in names:
        raise ReplyError("ERR The 'default' user cannot be removed")
    gone = [user for name in names if (user := engine.users.by_name.pop(name, None)) is not None]
    disconnect(engine, client, gone)
    return len(gone)


def disconnect(engine: Engine, client: Client, gone: list[User]) -> None:
    """Disconnect the clients of users that are deleted (`ACLFreeUserAndKillClients`)."""
    found = [each for each in engine.clients.values() if each.user in gone]
    for each in found:
        each.user, each.authenticated = engine.users.default, False
    close(engine, client, found)


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="acl")
def acl_dryrun(engine: Engine, username: bytes, name: bytes, *args: bytes) -> Value:
    """ACL DRYRUN username command [arg ...]: answer OK if the user may send a request, or why not; do not run it."""
    user = engine.users.by_name.get(username)
    if user is None:
        raise ReplyError(f"ERR User '{shown(username, None)}' not found")
    request = [name, *args]
    try:
        entry = look_up(request)
    except ReplyError:
        raise ReplyError(f"ERR Command '{shown(name, None)}' not found") from None
    if not entry.fits(len(request)):
        raise wrong_number_of_arguments(entry.name)
    denial = user.denial(entry, request)
    if denial is None:
        return "OK"
    if denial.reason is Reason.COMMAND:
        return f"This user has no permissions to run the '{entry.name}' command".encode()
    kind = b"key" if denial.reason is Reason.KEY else b"channel"
    return b"This user has no permissions to access the '%b' %b" % (request[denial.at], kind)


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="acl")
@complexity("O(N) for N entries")
def acl_log(engine: Engine, count: bytes = b"10") -> Value:
    """ACL LOG [count | RESET]: answer with the newest refused requests and wrong passwords, or remove all."""
    entries = engine.acl_log.entries
    if count.lower() == b"reset":
        entries.clear()
        return "OK"
    now = engine.stores[0].unit.clock()
    return [
        {
            b"count": each.count,
            b"reason": each.reason.name.lower().encode(),
            b"context": each.context.encode(),
            b"object": each.object,
            b"username": each.username,
            b"age-seconds": (now - each.when) / 1000,
            b"client-info": each.client,
        }
        for each in islice(entries, max(integer(count), 0))
    ]


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="acl")
@complexity("O(N) for N users")
def acl_load(engine: Engine, client: Client) -> Value:
    """ACL LOAD: replace all users by those of the ACL file, and disconnect all clients but those of `default`.

    If a line of the file is wrong, nothing is changed.
    """
    check_file(engine)
    gone = [user for user in engine.users if user is not engine.users.default]
    try:
        load(engine.users)
    except BadUsers as error:
        raise ReplyError(f"ERR {error}") from None
    disconnect(engine, client, gone)
    return "OK"


@command(ADMIN, NOSCRIPT, LOADING, STALE, of="acl")
@complexity("O(N) for N users")
def acl_save(engine: Engine) -> Value:
    """ACL SAVE: write all users to the ACL file."""
    check_file(engine)
    try:
        save(engine.users)
    except OSError as error:
        log.error("cannot write the ACL file: %s", error)
        raise ReplyError(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information"
        ) from None
    return "OK"


def check_file(engine: Engine) -> None:
    """Raise ReplyError if there is no ACL file."""
    if not engine.options.aclfile:
        raise ReplyError(NO_FILE)
