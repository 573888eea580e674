"""The log at every byte: torn anywhere it is cut to what was complete, and damage anywhere is told, or is one word.

`ROUNDS=20 pytest tests/survival/test_log.py` puts twenty other bytes into each place, the eight with one bit flipped
among them; `SEED=…` repeats a run.
"""

from __future__ import annotations

import copy
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from final.log.read import CHUNK, CorruptLog, Progress, read_file
from final.restore import restore
from stages.harness.course import ROOT, stage_folder
from stages.harness.sandbox import answer
from stages.harness.server import NotStarted
from stages.harness.wire import Incomplete, parse, request
from tests.support.folders import await_rewrite, data_of, flush, log_in, opened, write_log
from tests.support.oracle import NOW, InProcess, OverTheWire, args_of, redis_server
from tests.support.rewriting import rewrite
from tests.support.server_log import messages

SEED = int(os.environ.get("SEED") or random.randrange(10**6))
ROUNDS = int(os.environ.get("ROUNDS", 1))
SPECIAL = b"0123456789*$#-+\r\n \x00\xffEMs"
pytestmark = pytest.mark.timeout(60 + 60 * ROUNDS)
Data = dict[int, dict[bytes, tuple[Any, int | None]]]

BEFORE = """
SET text "binary \\x00\\xff\\r\\n$1\\r\\n"
HSET hash field value "" empty
RPUSH list a b c d e f g h i j
SET soon v PXAT 1800000001000
XADD stream 1-1 field value
SELECT 3
SADD set x y z
""".strip().splitlines()

AFTER = """
ZADD sorted 1.5 a -inf b
EXPIRE sorted 100
MULTI; INCR count; APPEND text "*1\\r\\n$4\\r\\nEXEC\\r\\n"; DEL nothing; SADD set w; EXEC
SELECT 0
LPOP list
XADD events MAXLEN ~ 100 1-* field value
XGROUP CREATE readers group 0 MKSTREAM
INCRBYFLOAT float 0.1
HDEL hash field
SET long 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345
MULTI; SELECT 2; RPUSH list a; SELECT 0; SET text new; EXEC
PERSIST soon
INCR count
""".strip().splitlines()

# What is written, and where its units are


def say(peer: InProcess, lines: list[str]) -> list[tuple[int, Data]]:
    """Execute the lines, each a unit; give the size of the log, and the data, after each."""
    states = []
    for line in lines:
        peer.ask_all(map(args_of, line.split("; ")))
        states.append((flush(peer), copy.deepcopy(data_of(peer))))
    return states


@dataclass
class Written:
    """The folder of a log with every kind of record: its files, and the data after each unit of the last one."""

    folder: Path
    files: list[Path]
    states: list[tuple[int, Data]]  # the size of the last file, and the data then

    @property
    def contents(self) -> dict[str, bytes]:
        """What is in all files of the folder."""
        return {path.name: path.read_bytes() for path in (self.folder / "appendonlydir").iterdir()}


@pytest.fixture
def one(tmp_path: Path) -> Written:
    """One increment has it all."""
    peer = opened(tmp_path)
    states = say(peer, [*BEFORE, *AFTER])
    return Written(tmp_path, [log_in(tmp_path)], [(0, {}), *states])


@pytest.fixture
def two(tmp_path: Path) -> Written:
    """A base has what was before, an increment what came after it."""
    peer = opened(tmp_path)
    say(peer, BEFORE)
    rewrite(peer)
    before, size = copy.deepcopy(data_of(peer)), flush(peer)
    states = say(peer, AFTER)
    folder = tmp_path / "appendonlydir"
    files = [folder / "appendonly.aof.2.base.aof", folder / "appendonly.aof.2.incr.aof"]
    return Written(tmp_path, files, [(0, before), *((end - size, data) for end, data in states)])


@pytest.fixture(params=["one", pytest.param("two", marks=pytest.mark.slow)])
def written(request: pytest.FixtureRequest) -> Written:
    """The one, and the other."""
    found: Written = request.getfixturevalue(request.param)
    return found


@lru_cache(4)
def requests_in(log: bytes) -> list[tuple[int, int, list[bytes]]]:
    """The start, the end and the words of each request of a right log, as a client's side reads them."""
    found, end = [], 0
    while end < len(log):
        start = end
        args, end = parse(log, start)
        assert isinstance(args, list)
        found.append((start, end, args))
    return found


@lru_cache(4)
def units_in(log: bytes) -> list[tuple[int, int]]:
    """Where the units of a right log begin and end."""
    found, began = [], None
    for start, end, args in requests_in(log):
        if args == [b"MULTI"]:
            began = start
        elif args == [b"EXEC"] or began is None:
            found.append((start if began is None else began, end))
            began = None
    return found


# Torn


def test_torn_at_any_byte_it_is_cut_to_the_complete_units_and_goes_on(written: Written, capfd: Any) -> None:
    dice = random.Random(SEED)
    last = written.files[-1]
    log = last.read_bytes()
    assert len(written.states) > len(AFTER) and log.count(b"MULTI") >= 2
    for size in range(len(log) + 1):
        last.write_bytes(log[:size])
        peer = opened(written.folder)
        expected = next(data for end, data in reversed(written.states) if end <= size)
        assert data_of(peer) == expected, f"torn at {size}"
        assert last.read_bytes() == log[: max(end for _, end in [(0, 0), *units_in(log)] if end <= size)]
        said = capfd.readouterr().err
        assert (f"cut off at byte {last.stat().st_size}\n" in said) == (last.stat().st_size < size)
        if dice.random() < 0.2 * ROUNDS:
            peer.ask("SET after torn")
            flush(peer)
            assert data_of(opened(written.folder)) == data_of(peer), f"torn at {size}"


def test_a_base_torn_inside_a_request_stops_the_start(two: Written) -> None:
    base = two.files[0]
    log = base.read_bytes()
    between = {0, *(end for _, end in units_in(log))}
    for size in set(range(len(log))) - between:
        base.write_bytes(log[:size])
        before = two.contents
        with pytest.raises(CorruptLog, match="is not the last file"):
            opened(two.folder)
        assert two.contents == before


# Damaged


def others(dice: random.Random, byte: int) -> list[int]:
    """Some bytes to be put into the place of this one: with a bit flipped, and such as mean something in RESP."""
    possible = {byte ^ 1 << bit for bit in range(8)} | set(SPECIAL) - {byte}
    return dice.sample(sorted(possible), min(ROUNDS, len(possible)))


def replayed(requests: list[list[bytes]]) -> Data | None:
    """The data after these requests of a client, with the clock at zero; None where one is answered with an error."""
    peer = InProcess()
    peer.now = 0
    alone = sum(peer.sent(args) == b"-ERR EXEC without MULTI\r\n" for args in requests)  # in a log it changes nothing
    if peer.engine.counters.error_replies > alone:
        return None
    peer.now = NOW
    return data_of(peer)


def test_damage_at_any_byte_stops_the_start_or_is_one_other_word(written: Written) -> None:
    """What is asserted of a log with one byte changed, whichever it is:

    - inside a word: the log says what it would say had a client said that word. Where that is an error, the start
      stops; else the data are those of the same requests with this word, and nothing else differs but keys that
      the request names (SELECT names none: what follows it goes to another database);
    - anywhere else, in a length or at the end of a line: the start stops, and the place that it names is in the
      damaged unit, or behind it, no farther than a length leads now and a unit more. Two things cannot be told: the
      last unit of the last file may be cut off as torn; and a length may lead exactly to the end of a later request,
      so that the log is as right as another one.

    When the start stops, it names the place and the remedy, and no file is changed.
    """
    dice = random.Random(SEED)
    whole = data_of(opened(written.folder))
    for path in written.files:
        log = path.read_bytes()
        for place in range(len(log)):
            for byte in others(dice, log[place]):
                damaged = log[:place] + bytes([byte]) + log[place + 1 :]
                path.write_bytes(damaged)
                try:
                    check_damage(written, path, log, damaged, place, whole)
                except AssertionError as error:
                    raise AssertionError(f"SEED={SEED}: {path.name} with {byte} at byte {place}: {error}") from error
        path.write_bytes(log)
    assert data_of(opened(written.folder)) == whole


def check_damage(written: Written, path: Path, log: bytes, damaged: bytes, place: int, whole: Data) -> None:
    """Assert what a log with one byte changed must do."""
    before = written.contents
    units = units_in(log)
    index = next(index for index, (_, end) in enumerate(units) if place < end)
    leads = re.match(rb"\$(\d{1,3})\r", damaged[damaged.rfind(b"$", 0, place + 1) :])
    farthest = max(units[index][1], place + int(leads[1]) if leads else 0)
    reach = next((end for start, end in units if start >= farthest), len(log))
    try:
        found: Data | CorruptLog = data_of(opened(written.folder))
    except CorruptLog as error:
        found = error
        assert written.contents == before, "a file was changed"
        assert units[index][0] <= error.offset <= reach, str(error)
        assert f"at byte {error.offset}: " in str(error) and "Make a copy of the file; " in str(error)
    if (args := changed_words(log, damaged, place)) is not None:
        requests = [each for file in written.files for each in in_file(file, path, log, damaged)]
        expected = replayed(requests)
        if expected is None:
            assert isinstance(found, CorruptLog), "it means an error, and is taken"
        else:
            assert found == expected
            assert written.contents == before
            assert args[0].upper() == b"SELECT" or set(differences(whole, expected)) <= set(args)
    elif not isinstance(found, CorruptLog) and is_right(damaged):
        assert leads and found == replayed(
            [each for file in written.files for each in in_file(file, path, log, damaged)]
        )
    elif not isinstance(found, CorruptLog):
        assert path == written.files[-1] and index == len(units) - 1, "what is damaged is taken"
        assert found == written.states[-2][1] and path.read_bytes() == damaged[: units[-1][0]]


def changed_words(log: bytes, damaged: bytes, place: int) -> list[bytes] | None:
    """The words of the request that has another word, before and after; None where the byte is in no word."""
    for start, end, args in requests_in(log):
        if start <= place < end:
            position = start + len(b"*%d\r\n" % len(args))
            for arg in args:
                position += len(b"$%d\r\n" % len(arg))
                if position <= place < position + len(arg):
                    other: Any = parse(damaged, start)[0]
                    return [*args, *other]
                position += len(arg) + 2
    return None


def is_right(log: bytes) -> bool:
    """Whether all of it is requests, to a client's side."""
    try:
        return bool(requests_in(log))
    except (ValueError, Incomplete):
        return False


def in_file(file: Path, path: Path, log: bytes, damaged: bytes) -> list[list[bytes]]:
    """The requests in a file, read as if it had no damage but that a word is another one."""
    return [args for _, _, args in requests_in(damaged if file == path else file.read_bytes())]


def differences(one: Data, other: Data) -> list[bytes]:
    """The keys that have another value, another deadline, or are not there."""
    found = []
    for database in {*one, *other}:
        left, right = one.get(database, {}), other.get(database, {})
        found += [key for key in {*left, *right} if left.get(key) != right.get(key)]
    return found


def test_a_length_that_leads_beyond_the_end_is_no_torn_end_where_requests_follow(tmp_path: Path) -> None:
    value = b"x" * 1000
    good = request("SELECT", 0) + request("SET", "k", value)
    for follows, torn in (
        (request("SET", "l", "v"), False),
        (request("SET", "l", "v") + request("SET", "m", "v")[:-3], False),
        (request("MULTI") + request("SET", "l", "v") + request("EXEC"), False),
        (request("SET", "l", "v")[:-1], True),
        (b"", True),
    ):
        log = good.replace(b"$1000", b"$9000") + follows
        path = write_log(tmp_path / str(len(log)), incr1=log) / "appendonly.aof.1.incr.aof"
        if torn:
            assert data_of(opened(path.parent.parent)) == {}
        else:
            with pytest.raises(CorruptLog, match=r"at byte 23: the length 9000 leads beyond .*, 1000 would be right"):
                opened(path.parent.parent)
            assert path.read_bytes() == log


def test_a_length_that_leads_exactly_to_the_end_of_a_later_word_cannot_be_told(tmp_path: Path) -> None:
    later = request("SET", "l", "v")
    log = request("SET", "k", "v" * (90 - len(later))) + later
    write_log(tmp_path, incr1=re.sub(rb"k\r\n\$\d\d", b"k\r\n$90", log))
    assert list(data_of(opened(tmp_path))[0]) == [b"k"]


def test_a_lost_exec_is_no_torn_end_where_more_follows(tmp_path: Path) -> None:
    unit = request("MULTI") + request("SET", "a", 1)
    for lost in (request("EXEB"), request("E\x00EC"), b""):
        follows = request("FLUSHALL") if lost else unit + request("EXEC")
        path = write_log(tmp_path / repr(lost), incr1=unit + lost + follows) / "appendonly.aof.1.incr.aof"
        with pytest.raises(CorruptLog, match=rf"at byte {len(unit)}: .* found where EXEC is missing"):
            opened(path.parent.parent)
        assert path.read_bytes() == unit + lost + follows


def test_a_snapshot_damaged_or_torn_at_any_byte_stops_the_start(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with redis_server(data=tmp_path) as server:
        for line in BEFORE:
            server.connect().ask(*args_of(line))
        server.connect().ask("BGREWRITEAOF")
        await_rewrite(server.connect())
        server.stop()
    (path,) = (tmp_path / "appendonlydir").glob("*.rdb")
    log = path.read_bytes()
    damaged = [
        log[:place] + bytes([byte]) + log[place + 1 :] for place in range(len(log)) for byte in others(dice, log[place])
    ]
    for data in damaged + [log[:size] for size in range(1, len(log))]:
        path.write_bytes(data)
        with pytest.raises(CorruptLog, match="byte"):
            opened(tmp_path)
        assert path.read_bytes() == data, f"SEED={SEED}"
    path.write_bytes(log)
    assert len(data_of(opened(tmp_path))) == 1


def test_a_base_in_which_redis_has_written_only_a_remark_is_whole(tmp_path: Path) -> None:
    with redis_server("--aof-use-rdb-preamble", "no", "--aof-timestamp-enabled", "yes", data=tmp_path) as server:
        server.connect().ask("SET", "k", "v")
        server.stop()
    (base,) = (tmp_path / "appendonlydir").glob("*.base.aof")
    assert base.read_bytes().startswith(b"#TS:") and base.read_bytes().count(b"\r\n") == 1
    assert opened(tmp_path).ask("GET k") == "$1 v"


# Stage 05, whose promise is smaller


STAGE = """
from ast import literal_eval
from pathlib import Path
from aof import CorruptLog, restore
path, result = Path({path!r}), []
for data in literal_eval(path.with_name("variants").read_text()):
    path.write_bytes(data)
    applied = []
    try:
        restore(path, lambda args: applied.append(args) or "OK")
        end = path.stat().st_size
    except CorruptLog as error:
        end = str(error)
    assert path.read_bytes() == (data[:end] if isinstance(end, int) else data)
    result.append((end, applied))
"""


def by_stage(tmp_path: Path, variants: list[bytes]) -> list[tuple[int | str, list[list[bytes]]]]:
    """What stage 05 loads from each of these logs: how much of it is whole, or its complaint; and what it applied."""
    (tmp_path / "variants").write_text(repr(variants))
    found: Any = answer(STAGE.format(path=str(tmp_path / "log")), stage_folder(5), 60)[0]
    return list(found)


STAGE_LOG = b"".join(
    request(*args_of(line))
    for line in ('SET k "v\\r\\n\\x00"', "HSET h f v", f"SET long {'x' * 30}", "INCR n", "APPEND k w", "DEL h")
)


def test_stage_05_loads_the_complete_requests_of_a_log_torn_at_any_byte(tmp_path: Path) -> None:
    whole = requests_in(STAGE_LOG)
    for size, (end, applied) in enumerate(by_stage(tmp_path, [STAGE_LOG[:size] for size in range(len(STAGE_LOG) + 1)])):
        expected = [args for _, end, args in whole if end <= size]
        assert applied == expected and end == ([0] + [end for _, end, _ in whole if end <= size])[-1]


def test_stage_05_finds_damage_at_any_byte_or_it_is_one_other_word_or_looks_like_a_torn_end(tmp_path: Path) -> None:
    """Unlike final/, it takes any length that leads beyond the end of the log for a torn end, wherever it stands."""
    dice = random.Random(SEED)
    whole = requests_in(STAGE_LOG)
    places = [(place, byte) for place in range(len(STAGE_LOG)) for byte in others(dice, STAGE_LOG[place])]
    variants = [STAGE_LOG[:place] + bytes([byte]) + STAGE_LOG[place + 1 :] for place, byte in places]
    for (place, byte), variant, (end, applied) in zip(places, variants, by_stage(tmp_path, variants), strict=True):
        index = next(index for index, (_, end, _) in enumerate(whole) if place < end)
        said = f"SEED={SEED}: {byte} at byte {place}: {end}"
        if changed_words(STAGE_LOG, variant, place):
            assert applied == [args for _, _, args in requests_in(variant)] and end == len(variant), said
        elif isinstance(end, int):
            assert end == whole[index][0] and applied == [args for _, _, args in whole[:index]], said
            lengths = [int(number) for number in re.findall(rb"[*$](\d+)\r", variant[end : whole[index][1]])]
            assert index == len(whole) - 1 or max(lengths) > len(STAGE_LOG) - place, said
        else:
            found = re.search(r" at byte (\d+): ", end)
            assert found and whole[index][0] <= int(found[1]) <= whole[min(index + 1, len(whole) - 1)][1], said


# Long logs


def test_nothing_is_said_of_a_log_that_loads_at_once(one: Written, capfd: Any) -> None:
    opened(one.folder)
    assert capfd.readouterr().err == ""


def test_a_log_that_loads_for_long_says_each_second_how_far_it_is(
    tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_bytes(request("SET", "k", "v") * 50_000)
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = Progress(2 * path.stat().st_size)
    for _ in range(2):
        for number, _ in enumerate(read_file(path, progress), start=1):
            if number in (4, 16):  # of 21 chunks
                clock[0] += 1
    said = re.findall(r"loading the log: (\d+) requests, (\d+)%\n", capfd.readouterr().err)
    assert said == [("9709", "9"), ("38836", "38"), ("59709", "59"), ("88836", "88")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_told_to_stop_while_its_log_loads_ends_at_once_with_one_line(tmp_path: Path, number: int) -> None:
    with open(write_log(tmp_path, incr1=b"") / "appendonly.aof.1.incr.aof", "wb") as log:
        for _ in range(100):
            log.write(request("SET", "k", "v" * 100) * 10_000)
    command = [sys.executable, "-m", "final", "--port", "0", "--dir", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr and process.stdout
        assert messages(process.stderr.readline()).startswith("loading the log: ")
        process.send_signal(number)
        assert process.wait(20) == 0
        said = messages(process.stderr.read()).splitlines()
        said = [line for line in said if not line.startswith("loading the log: ")]
        assert said == ["told to stop while the data was loading"] and process.stdout.read() == ""


def test_words_of_any_size_are_read_whatever_the_pieces_in_which_the_file_is(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    sizes = [
        0,
        1,
        4095,
        4096,
        CHUNK - 30,
        CHUNK,
        3 * CHUNK + 1,
        *(dice.randrange(1 << dice.randrange(20)) for _ in range(99)),
    ]
    values = [dice.randbytes(size) if dice.random() < 0.5 else b"\r\n" * (size // 2) for size in sizes]
    dice.shuffle(values)
    (tmp_path / "log").write_bytes(b"".join(request("SET", "k", value) for value in values))
    reading = read_file(tmp_path / "log", Progress(1))
    found = [args for batch, _ in reading for args in batch]
    assert found == [[b"SET", b"k", value] for value in values], f"SEED={SEED}"


# Odd logs, beside a real Redis


FIRST, LAST = request("SET", "a", 1), request("SET", "z", 9)
ODD = {
    "EXEC alone": FIRST + request("EXEC") + LAST,
    "DISCARD alone": FIRST + request("DISCARD") + LAST,
    "MULTI, and DISCARD": FIRST + request("MULTI") + request("SET", "b", 1) + request("DISCARD"),
    "MULTI without EXEC": FIRST + request("MULTI") + request("SET", "b", 1) + LAST,
    "EXEC at once": FIRST + request("MULTI") + request("EXEC") + LAST,
    "lower case": request("set", "a", 1) + LAST,
    "no command": FIRST + request("NOSUCH", "a") + LAST,
    "a password": FIRST + request("AUTH", "secret") + LAST,
    "a rewrite": FIRST + request("DEBUG", "RELOAD") + LAST,
    "reads": FIRST + request("GET", "a") + request("PING") + request("WATCH", "a") + LAST,
    "an empty queue": FIRST + request("BLPOP", "q", 0) + LAST,
    "a script": FIRST + request("EVAL", "redis.call('set', 'e', '1')", 0) + LAST,
    "a blank line": FIRST + b"\r\n" + LAST,
    "inline": FIRST + b"SET b 2\r\n" + LAST,
    "an empty request": FIRST + b"*0\r\n" + LAST,
    "zeros at the end": FIRST + LAST + bytes(20),
    "a time": b"#TS:1700000000\r\n" + FIRST + LAST,
    "a time in a transaction": request("MULTI") + b"#TS:1700000000\r\n" + FIRST + request("EXEC") + LAST,
    "half a time": FIRST + LAST + b"#TS:17000",
    "half a word": FIRST + LAST[:-4],
    "half a header": FIRST + b"*",
}
STRICTER = {  # than Redis: PROMISES.md says why
    "SELECT of no database": FIRST + request("SELECT", 99) + LAST,
    "a type that is not there": FIRST + request("LPUSH", "a", "x") + LAST,
    "a number that is none": request("SET", "a", "x") + request("INCR", "a") + LAST,
    "a script that is not there": FIRST + request("EVALSHA", "0" * 40, 0) + LAST,
    "MULTI in MULTI": FIRST + 2 * request("MULTI") + LAST + request("EXEC"),
    "a leading zero": b"*03" + FIRST[2:] + LAST,
    "a remark without CR": FIRST + b"#hello\n" + LAST,
}
QUESTIONS = [b"DBSIZE", *(b"GET %c" % key for key in b"abez")]


def answers(folder: Path, log: bytes, target: Callable[[Path], Any]) -> list[bytes]:
    """What is held after a start on this log; nothing where there is no start."""
    shutil.rmtree(folder, ignore_errors=True)
    write_log(folder, incr1=log)
    return list(target(folder))


def theirs(folder: Path) -> list[bytes]:
    """What the real Redis holds."""
    try:
        with redis_server(data=folder) as server:
            return OverTheWire(server.connect()).ask_all(line.split() for line in QUESTIONS)
    except NotStarted:
        return []


def ours(folder: Path) -> list[bytes]:
    """What we hold."""
    try:
        return opened(folder).ask_all([line.split() for line in QUESTIONS])
    except CorruptLog:
        return []


@pytest.mark.parametrize("name", ODD)
def test_an_odd_log_is_loaded_or_refused_as_by_redis(tmp_path: Path, name: str) -> None:
    assert answers(tmp_path, ODD[name], ours) == answers(tmp_path, ODD[name], theirs)


@pytest.mark.parametrize("name", STRICTER)
def test_what_redis_loads_although_something_is_lost_is_refused(tmp_path: Path, name: str) -> None:
    assert answers(tmp_path, STRICTER[name], theirs) and not answers(tmp_path, STRICTER[name], ours)


def test_requests_of_one_form_are_told_apart_and_what_becomes_empty_is_gone(tmp_path: Path) -> None:
    lines = (
        "XGROUP CREATE s g 0 MKSTREAM; XGROUP CREATECONSUMER s g one; XGROUP DELCONSUMER s g one; "
        "xgroup createconsumer s g two; SADD set a; SREM set a; RPUSH list a; LPOP list; HSET h f v; HDEL h f"
    )
    requests = [request(*args_of(each)) for each in lines.split("; ")]
    write_log(tmp_path, incr1=b"".join(requests))
    peer = InProcess(appendonly="yes", dir=str(tmp_path))
    restore(peer.engine)
    (consumer,) = peer.engine.execute(peer.client, [b"XINFO", b"CONSUMERS", b"s", b"g"])
    assert consumer[b"name"] == b"two" and peer.engine.execute(peer.client, [b"KEYS", b"*"]) == [b"s"]
    peer.engine.execute(peer.client, [b"SADD", b"set", b"a"])
    assert peer.engine.unit.changes == 1  # what comes after the log is noted


# What is no data


NO_DATA = """
SHUTDOWN
SHUTDOWN NOSAVE
SHUTDOWN ABORT
MULTI; SHUTDOWN; EXEC
DEBUG SLEEP 100
DEBUG SET-ACTIVE-EXPIRE 0
CONFIG SET appendonly no
CONFIG SET requirepass secret
CONFIG REWRITE
CONFIG RESETSTAT
SUBSCRIBE channel
PSUBSCRIBE *
PUBLISH channel message
MONITOR
BLPOP nothing 0
CLIENT PAUSE 100000
CLIENT KILL TYPE normal
CLIENT UNBLOCK 1
CLIENT REPLY OFF
BGREWRITEAOF
QUIT
HELLO 3
WATCH before
""".strip().splitlines()


@pytest.mark.parametrize("line", NO_DATA)
def test_a_request_in_the_log_that_is_no_data_neither_ends_the_server_nor_changes_it(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError(line)

    monkeypatch.setattr(time, "sleep", never)
    requests = [request(*args_of(each)) for each in ("SET before v", *line.split("; "), "SET after v")]
    write_log(tmp_path, incr1=b"".join(requests))
    peer = InProcess(appendonly="yes", dir=str(tmp_path), enable_debug_command="yes")
    options, peer.engine.stop = vars(peer.engine.options).copy(), never
    restore(peer.engine)
    engine = peer.engine
    assert engine.log
    engine.log.close()
    assert set(data_of(peer)[0]) == {b"before", b"after"}
    assert vars(engine.options) == options and engine.active_expire and not engine.pause.until
    assert engine.rewriter.worker is None and not engine.rewriter.scheduled
    assert not (engine.pubsub.channels or engine.pubsub.patterns or engine.monitors.clients or engine.waiting.lines)
    assert b"after" in peer.engine.stores[0]


@pytest.mark.parametrize("damage", [b"*1\r\n\x1b[31m", request("NO\x1b[31m\nSUCH", "a\nb\x1b"), b"*1\r\n\n1\r\na\r\n"])
def test_what_is_said_of_damage_is_one_line_of_text(damage: bytes, tmp_path: Path) -> None:
    log = request("SET", "k", "v") + damage + request("SET", "k", "w") * 3
    write_log(tmp_path / "final", incr1=log)
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "appendonly.aof").write_bytes(log)
    where = stage_folder(5)
    for command, here in (
        ([sys.executable, "-B", "-m", "final", "--port", "0", "--dir", str(tmp_path / "final")], ROOT),
        ([sys.executable, "-B", "server.py", "--port", "0", "--appendonly", "yes", "--dir", str(stage)], where),
    ):
        done = subprocess.run(command, cwd=here, capture_output=True, timeout=60)
        assert done.returncode == 1 and b"damaged at byte" in done.stderr
        assert done.stderr.count(b"\n") == 1 and b"\x1b" not in done.stderr
