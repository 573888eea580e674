"""Random users, random requests, random keys: each is allowed or refused as a real Redis does.

    python3 -m tests.tools.access --requests 10000 --seed 1

A user gets random rules on both servers, which must answer alike and describe the user alike. Then random requests are
tried with ACL DRYRUN, sent as this user, sent in MULTI before the rules change, and passed to redis.acl_check_cmd.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import re
from collections.abc import Iterator
from typing import Any

from final.engine.acl.categories import CATEGORIES, LATER, known
from final.engine.command import BLOCKING, COMMANDS, NO_AUTH, Command
from final.protocol.inline import split_inline
from stages.harness import wire
from stages.harness.server import Server
from tests.support.oracle import InProcess, OverTheWire, redis_server, shown

NAME = b"alice"
TEXTS = [b"a", b"ab", b"b", b"abc", b"x1", b"x2", b"", b"*", b"a*", b"\\a"]  # keys, channels and their patterns
PATTERNS = ["a*", "*b", "?", "x[12]", "a", "ab", "", "**", "\\*", "[^a]*", "*", "a?c", "x1"]
OPTIONS = [b"STORE", b"GET", b"STREAMS", b"BY", b"LIMIT", b"KEYS", b"COUNT", b"GROUP", b"SET", b"u8", b"WEIGHTS"]
NUMBERS = [b"0", b"1", b"2", b"3", b"-1", b"10"]
WRONG = ["foo", "+nosuch", "-nosuch", "+@nosuch", "~a b", "%", "%X~a", "%R", "&a b", "+get|", "+config|nosuch", "+"]
WRONG += ["+config|get|x", "-get|a", "<unknown", "#12", "(+get", ")", "+get|1|2", "-", "++get", "+@", "(~a", "( %Q~a )"]
NEVER_SENT = {  # they stop the server, hold the connection, change what it is, or wait for another server
    *("shutdown", "debug", "monitor", "sync", "psync", "replicaof", "slaveof", "failover", "migrate", "wait", "quit"),
    *("reset", "auth", "hello", "save", "bgsave", "bgrewriteaof", "exec", "multi", "discard", "replconf", "acl"),
    *("client", "config", "script", "subscribe", "psubscribe", "unsubscribe", "punsubscribe", "asking"),
    *("ssubscribe", "sunsubscribe"),
}
ALL = [each for entry in COMMANDS.values() for each in (entry, *entry.subcommands.values())]
EVERY = [each for each in ALL if each.name not in LATER]
HAS_LUA = importlib.util.find_spec("lupa") is not None
MAY_CALL = b"return redis.acl_check_cmd(unpack(ARGV))"
IN_SCRIPT = b"return redis.pcall(unpack(ARGV))"


def a_rule(chance: random.Random) -> str:
    """Return a random rule, of which some are wrong."""
    command = chance.choice([*known()])
    sign = chance.choice("+-")
    pattern = chance.choice(PATTERNS)
    return chance.choice(
        [
            *[f"{sign}{command}"] * 6,
            *[f"{sign}@{chance.choice(CATEGORIES)}"] * 6,
            f"{sign}{command}|{chance.choice(['a', '1', 'x'])}",
            f"+select|{chance.choice('01')}",
            *[f"~{pattern}", f"%R~{pattern}", f"%W~{pattern}", f"%rw~{pattern}", f"&{pattern}"] * 3,
            *[
                "on",
                "off",
                "nopass",
                "resetpass",
                ">secret",
                ">other",
                "<secret",
                "clearselectors",
                "reset",
                "resetkeys",
            ],
            *["resetchannels", "allkeys", "allchannels", "allcommands", "nocommands", "+@all", "-@all", "&*", "~*"],
            *["sanitize-payload", "skip-sanitize-payload", "", "ON", "ALLKEYS", "+GET", "+CONFIG|Get"],
            chance.choice(WRONG),
        ]
    )


def some_rules(chance: random.Random) -> list[str]:
    """Return random rules for one ACL SETUSER, some of them in a selector in parentheses."""
    rules = [a_rule(chance) for _ in range(chance.randrange(1, 6))]
    if chance.random() < 0.3:
        inside = [f"+@{chance.choice(CATEGORIES)}", *(a_rule(chance) for _ in range(chance.randrange(4)))]
        rules += f"({' '.join(inside)})".split(" ") if chance.random() < 0.5 else [f"({' '.join(inside)})"]
    if chance.random() < 0.5:  # else most users may do next to nothing
        rules = [each for each in rules if each not in WRONG]
        rules.insert(0, chance.choice(["+@all", "~*", "~a*", "+@read", "+@write", "allchannels", "+@fast"]))
    return rules


def a_request(chance: random.Random, command: Command) -> list[bytes]:
    """Return a request for a command, with a right or wrong number of random arguments, mostly keys."""
    name = [part.upper().encode() for part in command.name.split("|")]
    count = command.fewest - len(name) + chance.choice([0, 0, 0, 1, 2, 3, -1])
    arguments = [chance.choice([*TEXTS * 2, *OPTIONS, *NUMBERS]) for _ in range(count)]
    counted = [spec.begin - len(name) for spec in command.key_specs if spec.counted]
    for at in counted:
        if at < len(arguments) and chance.random() < 0.8:
            arguments[at] = chance.choice([b"1", b"2"])
    return name + arguments


def differs(request: list[bytes]) -> bool:
    """Return whether final/ is stricter: Redis 7.0 does not check the key of PFMERGE if no other keys follow."""
    return request[-2:-1] == [b"PFMERGE"]


def may_be_sent(command: Command) -> bool:
    """Return whether a request for this command can do no harm but to the data."""
    return command.name.split("|")[0] not in NEVER_SENT and not {BLOCKING, NO_AUTH} & {*command.flags}


class Pair:
    """A real Redis and the engine of final/, with an administrator and a client whose user changes."""

    def __init__(self, server: Server) -> None:
        self.admin, self.user = OverTheWire(server.connect()), OverTheWire(server.connect())
        self.ours = InProcess()
        self.our_admin, self.our_user = self.ours.client, self.ours.connect()
        self.refused = self.allowed = 0

    def ask(self, request: list[bytes], as_user: bool = False) -> tuple[bytes, bytes]:
        """Send a request to both; return our reply and that of Redis."""
        self.ours.client = self.our_user if as_user else self.our_admin
        (real,) = (self.user if as_user else self.admin).ask_all([request])
        return self.ours.sent(request), real

    def same(self, request: list[bytes], as_user: bool = False) -> bytes:
        """Send a request to both, and return the reply, which must be the same."""
        ours, real = self.ask(request, as_user)
        assert ours == real, f"{request}: {shown(ours)}, but Redis: {shown(real)}\n{self.rules()}"
        return ours

    def decided_alike(self, request: list[bytes]) -> None:
        """Send a request as the user: it is refused by both, in the same words, or by none."""
        ours, real = self.ask(request, as_user=True)
        denied = [each.startswith((b"-NOPERM", b"-ERR The user executing the script")) for each in (ours, real)]
        denied = [deny or b"insufficient ACL" in each for deny, each in zip(denied, (ours, real), strict=True)]
        assert ours == real or not any(denied), f"{request}: {shown(ours)}, but Redis: {shown(real)}\n{self.rules()}"
        self.refused += denied[0]
        self.allowed += not denied[0]

    def rules(self) -> str:
        """Return the rules of the user, for a message."""
        return str(self.admin.ask_all([[b"ACL", b"LIST"]])[0])

    def described_alike(self) -> None:
        """Compare ACL GETUSER and ACL LOG."""
        ours, real = (description(each) for each in self.ask([b"ACL", b"GETUSER", NAME]))
        assert ours == real, f"{ours}, but Redis: {real}\n{self.rules()}"
        ours, real = (logged(each) for each in self.ask([b"ACL", b"LOG", b"100"]))
        assert ours == real, f"{ours}, but Redis: {real}\n{self.rules()}"
        self.same([b"ACL", b"LOG", b"RESET"])


def description(reply: bytes) -> Any:
    """Return what ACL GETUSER says: the rules for single commands sorted, as Redis has them in a random order."""
    parsed: Any = wire.parse(reply)[0]
    if parsed is None:
        return None
    fields: dict[Any, Any] = wire.pairs(parsed)
    return [in_order(each) for each in (fields, *map(wire.pairs, fields.pop(b"selectors")))]


def in_order(fields: dict[Any, Any]) -> dict[Any, Any]:
    """Return the fields of a selector with the rules for its single commands sorted."""
    rules = fields[b"commands"].split(b" ")
    categories = [each for each in rules if each[1:2] == b"@"]
    return fields | {b"commands": [categories, sorted({*rules} - {*categories})]}


def logged(reply: bytes) -> list[dict[Any, Any]]:
    """Return the entries of ACL LOG without times, and without what it says of the client."""
    parsed: Any = wire.parse(reply)[0]
    passing = (b"age-seconds", b"client-info")
    return [{name: each[name] for name in each if name not in passing} for each in map(wire.pairs, parsed)]


def rounds(pair: Pair, chance: random.Random) -> Iterator[None]:
    """Change the user and try a request, again and again; an iteration is one request."""
    sent = [each for each in EVERY if may_be_sent(each)]
    while True:
        pair.same([b"ACL", b"SETUSER", NAME, *(rule.encode() for rule in some_rules(chance))])
        if chance.random() < 0.05:
            pair.same([b"ACL", b"SETUSER", NAME, *split_inline(b"reset +@all ~a* &a*")])
        if NAME not in pair.ours.engine.users.by_name:
            continue  # its first rules were wrong
        pair.described_alike()
        for _ in range(4):
            request = a_request(chance, chance.choice(EVERY))
            if not differs(request):
                pair.same([b"ACL", b"DRYRUN", NAME, *request])
            yield
        pair.same([b"ACL", b"SETUSER", NAME, b"on", b"nopass"])
        pair.same([b"AUTH", NAME, b"any"], as_user=True)
        for _ in range(6):
            pair.decided_alike(a_request_to_send(chance, sent))
            yield
        transaction(pair, chance, sent)
        yield


def a_request_to_send(chance: random.Random, commands: list[Command]) -> list[bytes]:
    """Return a request for one of these commands, some of them in a script."""
    while True:
        request = a_request(chance, chance.choice(commands))
        if HAS_LUA and chance.random() < 0.2:
            request = [b"EVAL", chance.choice([MAY_CALL, IN_SCRIPT]), b"0", *request]
        if not differs(request):
            return request


def transaction(pair: Pair, chance: random.Random, commands: list[Command]) -> None:
    """Queue requests, change the user's rules, and run what was queued."""
    pair.decided_alike([b"MULTI"])
    for _ in range(2):
        pair.decided_alike(a_request_to_send(chance, commands))
    pair.same([b"ACL", b"SETUSER", NAME, *(rule.encode() for rule in some_rules(chance))])
    ours, real = (re.findall(rb"-(?:NOPERM|EXECABORT)[^\r]*", each) for each in pair.ask([b"EXEC"], as_user=True))
    assert ours == real, f"EXEC: {ours}, but Redis: {real}\n{pair.rules()}"
    pair.ask([b"RESET"], as_user=True)


def main() -> None:
    """Run as many requests as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    print(compare(options.requests, options.seed))


def compare(requests: int, seed: int) -> str:
    """Try as many requests; return how many were refused and allowed, in words."""
    with redis_server() as server:
        pair = Pair(server)
        for _ in zip(range(requests), rounds(pair, random.Random(seed)), strict=False):
            pass
    return (
        f"{requests} requests; of those that were sent, {pair.refused} were refused and {pair.allowed} not, as by Redis"
    )


if __name__ == "__main__":
    main()
