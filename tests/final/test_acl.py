"""Users and what each may do. More of it is in the transcripts and conversations, and in `tests/tools/access.py`."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from final.__main__ import parse_options
from final.config.options import Options
from final.engine.acl.categories import ABSENT, known
from final.engine.acl.file import begin, parse, save
from final.engine.acl.selector import Reason, Selector
from final.engine.acl.users import BadUsers, Users
from final.engine.command import COMMANDS
from stages.harness.course import ROOT
from stages.harness.server import Server
from stages.harness.wire import Client, request
from tests.support.oracle import InProcess, final_server, redis_server
from tests.support.server_log import messages
from tests.tools.access import compare

OK = b"+OK\r\n"
BOTH = pytest.mark.parametrize("start", [final_server, redis_server], ids=["final", "redis"])
FILE = """
user default on nopass ~* &* +@all

 user alice on >one  ~a* +get ( +set ~b ) \t
user bob off
"""
WRONG = """user alice on
user alice off
foo x
user
# a comment
user bob +@nosuch ~* ~x %z
user c\tc on
\tuser dan on "
user eve +nosuch +@nope
"""


def test_random_users_may_do_what_they_may_in_redis() -> None:
    assert " 0 " not in compare(150, seed=random.randrange(1 << 32))


@pytest.mark.slow
def test_many_random_users_may_do_what_they_may_in_redis() -> None:
    compare(3000, seed=random.randrange(1 << 32))


def test_a_user_who_may_do_more_than_in_redis_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Selector, "_may_use", lambda *_: True)
    with pytest.raises(AssertionError, match="but Redis"):
        compare(400, seed=1)


def test_rules_can_name_every_command_of_redis_and_none_that_is_twice() -> None:
    lines = Path(__file__).with_name("commands-of-redis-7.0.txt").read_text().splitlines()
    assert known().keys() == {line.partition(" ")[2] for line in lines}
    here = {each.name for entry in COMMANDS.values() for each in (entry, *entry.subcommands.values())}
    absent = " ".join(ABSENT.values()).split()
    assert not here & {*absent}, "these are here now: remove them from ABSENT"
    assert len(absent) == len({*absent})


@BOTH
def test_categories_have_the_commands_that_they_have_in_redis(start: Any) -> None:
    with start() as server:
        client = server.connect()
        for category in client.ask("ACL", "CAT"):
            found = {name.decode() for name in client.ask("ACL", "CAT", category)}
            assert found == {name for name, each in known().items() if category.decode() in each.categories}, category


# The file of the users


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "users.acl"
    path.write_text(FILE)
    return path


@BOTH
def test_users_are_loaded_from_a_file_and_saved_there(start: Any, path: Path) -> None:
    with start("--aclfile", str(path)) as server:
        admin = server.connect()
        assert [*admin.ask("ACL", "USERS")] == [b"alice", b"bob", b"default"]
        listed = admin.ask("ACL", "LIST")
        assert path.read_text() == FILE
        admin.check(request("ACL", "SETUSER", "eve", "on", "+@all", "-select"), OK)
        admin.check(request("ACL", "SAVE"), OK)
        saved = path.read_bytes().splitlines()
        assert saved == admin.ask("ACL", "LIST") and [each for each in saved if b" eve " not in each] == listed
        admin.ask("ACL", "DELUSER", "eve", "alice")
        admin.check(request("ACL", "LOAD"), OK)
        assert admin.ask("ACL", "LIST") == saved
        assert [each.name for each in path.parent.iterdir() if each.name.startswith("users")] == ["users.acl"]


@BOTH
def test_a_wrong_file_changes_nothing_and_all_that_is_wrong_is_told(start: Any, path: Path) -> None:
    with start("--aclfile", str(path)) as server:
        admin = server.connect()
        before = admin.ask("ACL", "LIST")
        path.write_text(WRONG)
        unknown = "Unknown command or category name in ACL. "
        admin.check(
            request("ACL", "LOAD"),
            (
                "-ERR WARNING: Duplicate user 'alice' found on line 2. "
                f"{path}:3 should start with user keyword followed by the username. "
                f"{path}:4 should start with user keyword followed by the username. "
                f"{path}:5 should start with user keyword followed by the username. "
                f"{path}:6: Error in applying operation '+@nosuch': {unknown}"
                f"{path}:6: Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not "
                "have any effect. Try 'resetkeys' to start with an empty list of patterns. "
                f"'{path}:7: username 'c\tc' contains invalid characters. "
                f"{path}:8: Syntax error. "
                f"{path}:9: Error in applying operation '+nosuch': {unknown}"
                f"{path}:9: Error in applying operation '+@nope': {unknown}"
                "WARNING: ACL errors detected, no change to the previously active ACL rules was performed\r\n"
            ).encode(),
        )
        assert admin.ask("ACL", "LIST") == before
        path.unlink()
        error = f"-ERR Error loading ACLs, opening file '{path}': No such file or directory\r\n"
        admin.check(request("ACL", "LOAD"), error.encode())
        path.mkdir()
        said = "There was an error trying to save the ACLs. Please check the server logs for more information"
        admin.check(request("ACL", "SAVE"), f"-ERR {said}\r\n".encode())
        assert [each.name for each in path.parent.iterdir() if each.name.startswith("users")] == ["users.acl"]


@BOTH
def test_loading_disconnects_all_but_the_clients_of_default(start: Any, path: Path) -> None:
    with start("--aclfile", str(path)) as server:
        admin, alice, bob = server.connect(), server.connect(), server.connect()
        alice.check(request("AUTH", "alice", "one"), OK)
        admin.check(request("ACL", "SETUSER", "bob", "on", "nopass", "+@all"), OK)
        bob.check(request("AUTH", "bob", "x"), OK)
        bob.check(request("ACL", "LOAD"), OK)
        bob.expect_closed()
        alice.expect_closed()
        admin.check(request("PING"), b"+PONG\r\n")


def test_who_may_read_the_file_does_not_change(path: Path) -> None:  # it has digests of passwords
    users = Users(Options(aclfile=str(path)))
    path.chmod(0o640)
    save(users)
    assert path.stat().st_mode & 0o777 == 0o640
    path.unlink()
    save(users)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == "user default on nopass ~* &* +@all\n"


def test_a_parenthesis_that_is_not_closed_is_an_error_of_its_line() -> None:  # Redis 7.0 crashes
    with pytest.raises(BadUsers, match=r"^users:1: Unmatched parenthesis in selector definition\.WARNING"):
        parse(Users(Options()), b"user alice on (+get", "users")


@BOTH
def test_a_file_without_the_default_user_lets_it_do_everything(start: Any, path: Path) -> None:
    path.write_text("user alice on\n")
    with start("--aclfile", str(path), "--requirepass", "secret") as server:
        assert server.connect().ask("ACL", "LIST")[1] == b"user default on nopass ~* &* +@all"


# Users of the command line


@BOTH
def test_users_are_defined_on_the_command_line(start: Any) -> None:
    users = [
        "--user",
        "alice",
        "on",
        ">pw",
        "~a*",
        "+get",
        "(+set",
        "~b)",
        "--user",
        "default",
        "on",
        "nopass",
        "+@all",
    ]
    with start(*users, "~*", "--maxclients", "77") as server:
        client = server.connect()
        assert client.ask("CONFIG", "GET", "maxclients") == [b"maxclients", b"77"]
        alice, default = client.ask("ACL", "LIST")
        assert alice.startswith(b"user alice on #") and alice.endswith(b"-@all +get (~b resetchannels -@all +set)")
        assert default == b"user default on nopass sanitize-payload ~* resetchannels +@all"
        client.check(request("AUTH", "alice", "pw"), OK)
        client.check(request("DEL", "a"), b"-NOPERM this user has no permissions to run the 'del' command\r\n")


def test_the_definition_of_default_comes_after_requirepass() -> None:
    users = Users(Options(requirepass="old"))
    assert users.authenticate(b"default", b"old") and not users.authenticate(b"default", b"new")
    begin(users, [[b"default", b"on", b">new"]])
    assert users.authenticate(b"default", b"new") and not users.authenticate(b"default", b"old")


@pytest.mark.parametrize(
    ("definitions", "said"),
    [
        ([b""], "a name is missing"),
        ([b"a foo"], "ACL rule 'foo' for the user named 'a': Syntax error"),
        ([b"a (+get"], "a: Unmatched parenthesis in selector '(+get'"),
        ([b"a", b"b", b"a"], "a: Duplicate user found. A user can only be defined once in config files"),
        ([b"a\tb"], "Spaces not allowed in ACL usernames"),
    ],
)
def test_wrong_users_cannot_be_used(definitions: list[bytes], said: str) -> None:
    with pytest.raises(BadUsers) as raised:
        begin(Users(Options()), [each.split(b" ") if each else [] for each in definitions])
    assert str(raised.value) == said


def test_wrong_users_stop_the_start(tmp_path: Path) -> None:
    args = [sys.executable, "-m", "final", "--port", "0", "--dir", str(tmp_path), "--aclfile", "a", "--user", "b"]
    done = subprocess.run(args, capture_output=True, text=True, cwd=ROOT, timeout=60)
    said = "they are defined in an ACL file or by --user, but not both"
    assert (done.returncode, messages(done.stderr)) == (1, f"cannot use the users: {said}\n")


def test_a_file_that_is_not_there_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(BadUsers, match="Error loading ACLs, opening file 'nosuch': No such file or directory"):
        begin(Users(Options(aclfile="nosuch", dir=str(tmp_path))), [])


def test_users_are_defined_in_the_command_line_and_in_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("user a on >pw ~*\nhz 7\n")
    options = parse_options([str(path), "--timeout", "5", "--user", "b", "-@all", "--user", "c", "--port", "1"])
    assert options.users == [[b"a", b"on", b">pw", b"~*"], [b"b", b"-@all"], [b"c"]]
    assert (options.hz, options.timeout, options.port) == (7, 5, 1)


# Clients and replicas


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with final_server() as server:
        yield server


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_manages_users_and_is_one(server: Server, protocol: int) -> None:
    with redis_py.Redis(port=server.port, protocol=protocol, decode_responses=True) as admin:
        assert admin.acl_setuser("ann", enabled=True, passwords=["+pw"], categories=["+@read"], keys=["a*"])
        assert admin.acl_getuser("ann")["enabled"]
        assert "ann" in admin.acl_users() and admin.acl_whoami() == "default"
        assert admin.acl_dryrun("ann", "set", "a", "1") == "This user has no permissions to run the 'set' command"
        with redis_py.Redis(port=server.port, protocol=protocol, username="ann", password="pw") as ann:
            assert ann.get("a") is None
            with pytest.raises(redis_py.exceptions.NoPermissionError):
                ann.set("a", "1")
        assert admin.acl_log()[0]["reason"] == "command"
        assert admin.acl_deluser("ann") == 1


def test_a_client_is_shown_with_its_user(server: Server) -> None:
    admin, ann = server.connect(), server.connect()
    admin.check(request("ACL", "SETUSER", "ann", "on", "nopass", "+client"), OK)
    ann.check(request("AUTH", "ann", "x"), OK)
    assert b" user=ann " in bytes_of(ann, "CLIENT", "INFO") and b" user=default " in bytes_of(admin, "CLIENT", "INFO")
    admin.ask("ACL", "DELUSER", "ann")


def bytes_of(client: Client, *args: str) -> bytes:
    answer = client.ask(*args)
    assert isinstance(answer, bytes)
    return answer


def test_who_loses_a_channel_by_its_own_rule_is_told_ok_and_disconnected(server: Server) -> None:  # Redis 7.0 crashes
    client = server.connect()
    client.ask("ACL", "SETUSER", "ann", "on", "nopass", "+@all", "allchannels")
    client.ask("HELLO", 3, "AUTH", "ann", "x")
    client.ask("SUBSCRIBE", "c")
    client.check(request("ACL", "SETUSER", "ann", "resetchannels"), OK)
    client.expect_closed()
    server.connect().ask("ACL", "DELUSER", "ann")


def test_a_user_with_few_rights_suffices_for_a_replica() -> None:
    rights = ["--user", "copy", "on", ">pw", "+psync", "+replconf", "+ping"]
    now = ("--repl-diskless-sync-delay", "0")
    secrets = ("--masteruser", "copy", "--masterauth", "pw")
    with final_server(*rights, *now) as primary, final_server(*secrets) as replica:
        client, other = primary.connect(), replica.connect()
        other.check(request("REPLICAOF", "127.0.0.1", primary.port), OK)
        client.check(request("SET", "k", "v"), OK)
        while other.ask("GET", "k") != b"v":
            pass


def test_what_costs_nothing_while_default_may_do_everything() -> None:
    peer = InProcess()
    users = peer.engine.users
    peer.ask("ACL SETUSER ann on nopass +@all")
    assert users.default.unlimited and not users.by_name[b"ann"].unlimited
    assert [peer.ask(f"ACL SETUSER ann {rule}") for rule in ("~*", "&*")] == ["+OK"] * 2
    assert users.by_name[b"ann"].unlimited
    for rule in "-get", "resetkeys", "resetchannels", "-@all":
        peer.ask("ACL SETUSER ann +@all ~* &*")
        peer.ask(f"ACL SETUSER ann {rule}")
        assert not users.by_name[b"ann"].unlimited, rule
    peer.ask('ACL SETUSER ann "(+@all ~* &*)"')
    assert users.by_name[b"ann"].unlimited


def test_genpass_answers_with_as_many_digits_as_the_bits_need() -> None:
    peer = InProcess()
    for bits, digits in ((None, 64), (1, 1), (4, 1), (5, 2), (4096, 1024)):
        password = peer.answer([b"ACL", b"GENPASS", *([b"%d" % bits] if bits else [])])
        assert len(password) == digits and int(password, 16) >= 0
        assert bits == 1 or password != peer.answer([b"ACL", b"GENPASS"])


def test_a_request_that_is_too_short_may_be_asked_about() -> None:  # by redis.acl_check_cmd, which checks no arity
    users = InProcess().engine.users
    user = users.changed(users.new(b"ann"), [b"+@all", b"~a"])
    for command in COMMANDS.values():
        for each in (command, *command.subcommands.values()):
            args = each.name.encode().split(b"|")
            for more in range(4):
                assert user.denial(each, args + [b"a"] * more) in (None, (Reason.CHANNEL, 1))
