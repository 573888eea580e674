"""COMMAND DOCS and HELP: the facts are those of the real Redis, the sentences our own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from final.commands.syntax import parse
from stages.harness.wire import Client
from tests.support.oracle import InProcess, final_server, redis_server

Docs = dict[str, dict[str, Any]]
FACTS = ("since", "group", "doc_flags", "deprecated_since", "arguments")
# Redis 7.0 tells no arguments of the first four, and not what is optional in the next four.
OTHER_ARGUMENTS = """
command|getkeys command|getkeysandflags debug replconf geohash geopos pfmerge psync cluster|setslot
"""
WITHOUT_CLUSTER = "cluster|"  # here these commands answer with an error at once


@pytest.fixture(scope="module")
def pair() -> Iterator[list[Client]]:
    """A client of ours and one of the real Redis, both with RESP3."""
    with ExitStack() as stack:
        starts = final_server, redis_server
        servers = [stack.enter_context(start("--enable-debug-command", "yes")) for start in starts]
        clients = [server.connect() for server in servers]
        for client in clients:
            client.ask("HELLO", 3)
        yield clients


@pytest.fixture(scope="module")
def docs(pair: list[Client]) -> list[Docs]:
    """What both tell of the commands that both have."""
    ours, theirs = (dict(documented(readable(client.ask("COMMAND", "DOCS")))) for client in pair)
    assert ours.keys() - theirs.keys() == {"client|setinfo"}  # of Redis 7.2
    assert theirs.keys() - ours.keys() == {"script|debug"}
    return [{name: each[name] for name in ours.keys() & theirs.keys()} for each in (ours, theirs)]


def documented(docs: Docs) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the commands, and their subcommands."""
    for name, told in docs.items():
        yield name, told
        yield from documented(told.get("subcommands", {}))


def readable(reply: Any) -> Any:
    """A reply with texts in place of bytes."""
    if isinstance(reply, dict):
        return {readable(key): readable(value) for key, value in reply.items()}
    if isinstance(reply, list):
        return [readable(each) for each in reply]
    return reply.decode() if isinstance(reply, bytes) else reply


def test_the_facts_are_those_of_the_real_redis(docs: list[Docs]) -> None:
    ours, theirs = ({name: facts(told) for name, told in each.items()} for each in docs)
    for name in OTHER_ARGUMENTS.split():
        assert ours[name].pop("arguments") != theirs[name].pop("arguments", None)
    address = theirs["client|kill"]["arguments"][0]["arguments"][0]
    assert address.pop("deprecated_since") == "2.8.12"  # `CLIENT KILL ip:port`; ours does not tell
    assert ours == theirs


def facts(told: dict[str, Any]) -> dict[str, Any]:
    """What of a command's documentation is not a sentence; of the history, the releases."""
    kept = {field: value for field, value in told.items() if field in FACTS}
    return kept | {"history": [release for release, _ in told.get("history", [])]}


def test_each_field_comes_where_the_real_redis_has_it(docs: list[Docs]) -> None:
    ours, theirs = ({name: [f for f in told if f != "arguments"] for name, told in each.items()} for each in docs)
    assert ours == theirs


def test_the_complexity_is_that_of_the_real_redis(docs: list[Docs]) -> None:
    ours, theirs = ({name: classes(told.get("complexity", "")) for name, told in each.items()} for each in docs)
    own = {name for name in ours if not ours[name] or name.startswith(WITHOUT_CLUSTER)}
    differing = {name: (ours[name], theirs[name]) for name in ours.keys() - own if not ours[name] <= theirs[name]}
    assert differing == {}
    assert {name for name in own if theirs[name] and not name.startswith(WITHOUT_CLUSTER)} == set()


def classes(complexity: str) -> set[str]:
    """The classes in a text, written in one way."""
    text = complexity.replace(" ", "").replace("logN", "log(N)").replace("Mlog", "M*log").replace(")log", ")*log")
    return set(re.findall(r"O\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", text))


def test_the_sentences_are_our_own(docs: list[Docs]) -> None:
    ours, theirs = ({name: set(sentences(told)) for name, told in each.items()} for each in docs)
    assert {name: same for name in ours if (same := ours[name] & theirs[name])} == {}


def sentences(told: dict[str, Any]) -> Iterator[str]:
    """The texts of a command's documentation, but short ones such as O(1) and `GETRANGE`."""
    changes = [sentence for _, sentence in told.get("history", [])]
    for text in (told["summary"], told.get("complexity", ""), told.get("replaced_by", ""), *changes):
        if len(text.split()) > 2:
            yield text


CONTAINERS = [
    "ACL",
    "CLIENT",
    "COMMAND",
    "CONFIG",
    "FUNCTION",
    "LATENCY",
    "MEMORY",
    "MODULE",
    "OBJECT",
    "PUBSUB",
    "SCRIPT",
]
CONTAINERS += ["SLOWLOG", "XGROUP", "XINFO"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_help_has_the_lines_of_the_real_redis(container: str, pair: list[Client]) -> None:
    ours, theirs = (lines(client, container) for client in pair)
    if container == "CLIENT":
        at = ours.index("SETINFO attribute value")  # of Redis 7.2; its docstring says what it does
        assert "library" in ours[at + 1]
        del ours[at : at + 2]
    if container == "SCRIPT":
        at = theirs.index("DEBUG (YES|SYNC|NO)")  # not here
        del theirs[at : at + 2]
    assert list(map(skeleton, ours)) == list(map(skeleton, theirs))
    copied = [line for line in ours if line in theirs and line.startswith("    ") and len(line.split()) > 3]
    assert copied == []


def lines(client: Client, container: str) -> list[str]:
    """The lines of HELP."""
    answer = client.ask(container, "HELP")
    assert isinstance(answer, list)
    return [str(each) for each in answer]


def test_help_of_debug_has_the_lines_of_what_is_here(pair: list[Client]) -> None:
    ours, theirs = (re.split(r"\n(?=\S)", "\n".join(lines(client, "DEBUG"))) for client in pair)
    counts = {each.split("\n")[0]: each.count("\n") for each in theirs}
    for each in ours:
        assert each.count("\n") == counts[each.split("\n")[0]], each


def skeleton(line: str) -> str:
    """A line of HELP: what it says of the syntax; of a sentence, only that there is one."""
    sentence = re.fullmatch(r"( {4}\* [A-Z]+ ).*|( {4,6})[A-Za-z<`*(].*", line)
    return line if sentence is None else sentence[1] or sentence[2]


def test_a_cluster_has_no_help_where_there_is_none() -> None:
    assert InProcess().ask("CLUSTER HELP") == "-ERR This instance has cluster support disabled"


def test_a_token_takes_the_values_behind_it() -> None:
    [streams] = parse("STREAMS key [key ...] id [id ...]")
    assert (streams.type, streams.token) == ("block", "STREAMS")
    assert [(each.name, each.multiple) for each in streams.arguments] == [("key", True), ("id", True)]


def test_an_argument_that_is_repeated_with_its_token_says_so() -> None:
    [plain, with_token] = parse("[WEIGHTS weight [weight ...]] [GET pattern [GET pattern ...]]")
    assert (plain.multiple, plain.token_repeated) == (True, False)
    assert (with_token.multiple, with_token.token_repeated) == (True, True)
