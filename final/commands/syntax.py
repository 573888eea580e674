"""The syntax in the docstring of a command, such as `key [count [WITHSCORES]]`, as the arguments of COMMAND DOCS."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

TRIM = "<MAXLEN | MINID> [= | ~] threshold [LIMIT count]"
# How Redis calls a group of arguments, or a token. The others are called after what they consist of: `field value` is
# `field_value`, `HARD | SOFT` is `hard_soft`.
NAMES = {
    "*": "auto_id",
    "* | id": "id_or_auto",
    "=": "equal",
    "= | ~": "operator",
    "~": "approximately",
    "$": "new_id",
    "id | $": "id",
    '""': "empty_string",
    'key | ""': "key_or_empty_string",
    "ALPHA": "sorting",
    "arg": "args",
    "[AUTH password] | [AUTH2 username password]": "authentication",
    "ASC | DESC": "order",
    "ASYNC | SYNC": "async",
    "BEFORE | AFTER": "where",
    "BYBOX width height <M | KM | FT | MI>": "box",
    "BYRADIUS radius <M | KM | FT | MI>": "circle",
    "BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>": "by",
    "BYSCORE | BYLEX": "sortby",
    "BYTE | BIT": "index_unit",
    "CH": "change",
    "client-id [client-id ...]": "id",
    "[COUNT count]": "full",
    "COUNT count [ANY]": "count",
    "count | RESET": "operation",
    "count [WITHSCORES]": "options",
    "count [WITHVALUES]": "options",
    "end [BYTE | BIT]": "end_index",
    "EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL": "expiration",
    "EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST": "expiration",
    "FLUSH | APPEND | REPLACE": "policy",
    "FORCE | TAKEOVER": "options",
    "FROMMEMBER member | FROMLONLAT longitude latitude": "from",
    "GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] "
    "<SET encoding offset value | INCRBY encoding offset increment>": "operation",
    "GT | LT": "comparison",
    "host port": "host-port",
    "host port | NO ONE": "args",
    "host port [FORCE]": "target",
    "[IDLE min-idle-time] start end count [consumer]": "filters",
    "[ID client-id] | [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] | [USER username] | [ADDR ip:port] "
    "| [LADDR ip:port] | [SKIPME yes/no]": "new-format",
    "ip:port | <[ID client-id] | [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] | [USER username] "
    "| [ADDR ip:port] | [LADDR ip:port] | [SKIPME yes/no] ...>": "filter",
    "IMPORTING node-id | MIGRATING node-id | NODE node-id | STABLE": "subcommand",
    "INCR": "increment",
    "key [key ...] id [id ...]": "streams",
    "LEFT | RIGHT": "where",
    "M | KM | FT | MI": "unit",
    "MAXLEN | MINID": "strategy",
    TRIM: "trim",
    "MIN | MAX": "where",
    "MODULE module-name | ACLCAT category | PATTERN pattern": "filterby",
    "name value": "configs",
    "NO ONE": "no-one",
    "NORMAL | MASTER | SLAVE | REPLICA | PUBSUB": "normal_master_slave_pubsub",
    "NX | XX": "condition",
    "NX | XX | GT | LT": "condition",
    "ON | OFF": "status",
    "[OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset increment>": "write",
    "protover [AUTH username password] [SETNAME clientname]": "arguments",
    "SET encoding offset value | INCRBY encoding offset increment": "write_operation",
    "start end [BYTE | BIT]": "index",
    "start [end [BYTE | BIT]]": "index",
    "start-slot end-slot": "start-slot_end-slot",
    "SUM | MIN | MAX": "aggregate",
    "WRITE | ALL": "mode",
    "YES | NO": "mode",
}  # fmt: skip
TYPES = {
    name: kind
    for kind, names in {
        "key": "key key1 key2 source destination newkey destkey sourcekey dst src",
        "pattern": "pattern",
        "integer": """
            bit bits client-id cluster_bus_port config-epoch count cursor db decrement destination-db end end-slot
            entries_added entries_read frequency increment index index1 index2 len limit milliseconds ms num-matches
            numkeys numreplicas offset port protover rank seconds slot start start-slot stop timeout ttl version weight
        """,
        "double": "height latitude longitude max min radius score width",
        "unix-time": "unix-time-seconds unix-time-milliseconds",
    }.items()
    for name in names.split()
}
# The names of the choices of these commands, which are called otherwise elsewhere.
CHOICES = {
    "blmove": ("wherefrom", "whereto"),
    "client|no-evict": ("enabled",),
    "lmove": ("wherefrom", "whereto"),
}
# Types that an argument of this name has in these commands only.
TYPES_IN = [
    ("timeout", "double", "blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin"),
    ("increment", "double", "incrbyfloat hincrbyfloat"),
    ("start", "string", "xautoclaim xpending xrange xrevrange zrange"),
    ("end", "string", "xpending xrange xrevrange"),
    ("stop", "string", "zrange"),
    ("min", "string", "zlexcount zrangebylex zrangestore zremrangebylex zrevrangebylex"),
    ("max", "string", "zlexcount zrangebylex zrangestore zremrangebylex zrevrangebylex"),
    ("value", "integer", "bitfield setbit"),
    ("min-idle-time", "integer", "xpending"),
    ("key", "string", "cluster|keyslot"),
]
# Where Redis has a group that nothing in the syntax shows.
GROUPED = {
    "client|list": ("client-id [client-id ...]", "(client-id [client-id ...])"),
    "config|get": ("parameter [parameter ...]", "(parameter ...)"),
    "failover": ("host port [FORCE]", "(host port [FORCE])"),
    "module|loadex": ("arg [arg ...]", "(arg ...)"),
    "psubscribe": ("pattern [pattern ...]", "(pattern ...)"),
    "xinfo|stream": ("FULL [COUNT count]", "FULL ([COUNT count])"),
    "xtrim": (TRIM, f"({TRIM})"),
}
CLOSED_BY = {"[": "]", "<": ">", "(": ")"}


@dataclass
class Argument:
    """One argument, or a group of them. `text` is what it looks like in the syntax."""

    text: str
    name: str
    type: str
    token: str | None = None
    optional: bool = False
    multiple: bool = False
    token_repeated: bool = False
    arguments: list["Argument"] = field(default_factory=list)


@cache
def parse(syntax: str, command: str = "") -> list[Argument]:
    """Parse the syntax of a command.

    Words in capitals are tokens, others values. `[…]` may be missing, `<a | b>` is a choice, and `a [a ...]` may be
    repeated. A token takes the values that follow it.

    >>> [(each.name, each.type, each.optional) for each in parse("key <LEFT | RIGHT> [COUNT count]")]
    [('key', 'key', False), ('where', 'oneof', False), ('count', 'integer', True)]
    """
    if command in GROUPED:
        syntax = syntax.replace(*GROUPED[command])
    found = sequence(re.findall(r"[][<>()|]|[^][<>()| ]+", syntax))
    special = {name: kind for name, kind, commands in TYPES_IN if command in commands.split()}
    for each in walk(found):
        each.type = special.get(each.name, each.type)
    choices = [each for each in found if each.type == "oneof"]
    for choice, name in zip(choices, CHOICES.get(command, ()), strict=False):
        choice.name = name
    return found


def sequence(words: list[str]) -> list[Argument]:
    """Parse arguments that follow each other."""
    found: list[Argument] = []
    while words:
        word, *words = words
        if word in CLOSED_BY:
            inner, words = enclosed(word, words)
            if inner[-1] == "..." and repeats(found, inner[:-1]):
                continue
            made = group(inner, apart=word == "(")
            made = replace(made, optional=True) if word == "[" else made
        elif is_token(word):
            made, words = with_token(word, words)
        else:
            made = Argument(word, word, TYPES.get(word, "string"))
        found.append(made)
    return found


def is_token(word: str) -> bool:
    """Return whether a word that is no bracket is a token; else it is the name of a value."""
    return word == word.upper()


def enclosed(opening: str, words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words up to the bracket that closes this one, and those after it."""
    depth, closing = 1, CLOSED_BY[opening]
    for at, word in enumerate(words):
        depth += (word == opening) - (word == closing)
        if not depth:
            return words[:at], words[at + 1 :]
    raise ValueError(f"{opening} is not closed")


def written(words: list[str]) -> str:
    """Return words as a syntax has them."""
    return re.sub(r"(?<=[\[<(]) | (?=[\]>)])", "", " ".join(words))


def repeats(found: list[Argument], words: list[str]) -> bool:
    """Note that the last arguments can be repeated, if these words are the same again; return whether they are."""
    text = written(words)
    for count in range(1, len(found) + 1):
        same = found[-count:]
        if " ".join(each.text for each in same) == text:
            repeated = block(same, text) if count > 1 else same[0]
            found[-count:] = [replace(repeated, multiple=True, token_repeated=repeated.token is not None)]
            return True
    return False


def group(words: list[str], apart: bool = False) -> Argument:
    """Make one argument of the words between two brackets: a choice, a block, or what they are alone.

    With `apart`, a single argument is a block, too.
    """
    multiple = words[-1] == "..."
    words = words[:-1] if multiple else words
    choices: list[list[str]] = [[]]
    depth = 0
    for word in words:
        depth += (word in CLOSED_BY) - (word in CLOSED_BY.values())
        if word == "|" and not depth:
            choices.append([])
        else:
            choices[-1].append(word)
    if len(choices) == 1:
        arguments = sequence(words)
        made = arguments[0] if len(arguments) == 1 and not apart else block(arguments, written(words))
    else:
        made = grouped("oneof", [group(each) for each in choices], written(words))
    return replace(made, multiple=True) if multiple else made


def block(arguments: list[Argument], text: str) -> Argument:
    """Make one argument of several that follow each other."""
    first = arguments[0]
    if (
        first.token and first.type == "block" and not first.optional
    ):  # `BYBOX width height unit`: not a block in a block
        arguments = [replace(first.arguments[0], token=first.token), *first.arguments[1:], *arguments[1:]]
    return grouped("block", arguments, text)


def grouped(kind: str, arguments: list[Argument], text: str) -> Argument:
    """Make one argument of several; `kind` is block or oneof."""
    return Argument(text, NAMES.get(text, "_".join(each.name for each in arguments)), kind, arguments=arguments)


def with_token(token: str, words: list[str]) -> tuple[Argument, list[str]]:
    """Return a token with the values that it takes, and the words after them."""
    taken: list[str] = []
    apart = words[:1] == ["("]
    if words and words[0] in "<(":
        taken, words = enclosed(words[0], words[1:])
    while words and not apart and words[0] not in "[]<>()|" and not is_token(words[0]):
        taken.append(words[0])
        words = words[1:]
        if words[:1] == ["["]:
            inner, rest = enclosed("[", words[1:])
            if inner[-1] == "..." and inner[:-1] == taken[1 - len(inner) :]:
                taken, words = [*taken, "[", *inner, "]"], rest
    if not taken:
        return Argument(token, NAMES.get(token, token.lower()), "pure-token", token.strip('"')), words
    made = group(taken, apart)
    return replace(made, token=token, text=f"{token} {written(taken)}"), words


def walk(arguments: Iterable[Argument]) -> Iterator[Argument]:
    """Yield these arguments, and those in them."""
    for each in arguments:
        yield each
        yield from walk(each.arguments)
