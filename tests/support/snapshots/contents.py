"""The contents of the recorded snapshots: requests that make keys of every type in each of its encodings."""

from __future__ import annotations

import random
from typing import Any

Args = list[Any]

INTEGERS = sorted({sign * (1 << bits) + more for bits in range(63) for sign in (1, -1) for more in (-1, 0, 1)})
LENGTHS = [
    0,
    1,
    62,
    63,
    64,
    65,
    126,
    127,
    128,
    129,
    253,
    254,
    255,
    256,
    4094,
    4095,
    4096,
    16370,
    16377,
    16378,
    16379,
    16390,
]
SCORES = ["0", "1", "-1", "1.5", "0.1", "1e300", "-2.5e-300", "inf", "-inf", "12345678901", "3.0000000000000004"]


def texts() -> list[bytes]:
    """Return texts that compress well, with repetitions of many lengths; always the same ones."""
    chance = random.Random(7)
    made = [b"a" * length for length in (19, 20, 21, 263, 264, 265, 10_000)]
    for _ in range(150):
        text = b""
        while len(text) < chance.randrange(20, 3000):
            piece = chance.randbytes(chance.randrange(1, 40))
            text += piece * chance.randrange(1, 12) + text[chance.randrange(len(text) + 1) :][:300]
        made.append(text)
    made.append(chance.randbytes(9000) + b"far" + chance.randbytes(9000))
    return made


CONTENTS: list[Args] = [
    *(["SET", f"integer {number}", number] for number in INTEGERS),
    *(["SET", f"text {number}", text] for number, text in enumerate(texts())),
    *(["SET", b"k" * length, b"v" * length] for length in (0, 1, 63, 64, 16383, 16384, 20_000)),
    ["SET", bytes(range(256)), bytes(range(256))],
    ["SET", "0123", "+1"],
    ["RPUSH", "list of integers", *INTEGERS],
    ["RPUSH", "list of texts", *(b"x" * length for length in LENGTHS)],
    ["RPUSH", "long list", *range(20_000)],
    ["RPUSH", "list of long texts", b"a" * 70_000, b"between", random.Random(7).randbytes(70_000)],
    ["SADD", "16 bits", -32768, 32767, 0],
    ["SADD", "32 bits", 32768, -5],
    ["SADD", "64 bits", *INTEGERS],
    ["SADD", "texts", "a", "", "b" * 100, 1],
    ["SADD", "short texts", "a", "", 1],
    ["SADD", "many", *range(600), "x"],
    ["ZADD", "few scores", *(arg for number, score in enumerate(SCORES) for arg in (score, f"m{number}"))],
    ["ZADD", "integer members", *(arg for number in INTEGERS[:60] for arg in (number % 7, number))],
    ["ZADD", "many scores", *(arg for number in range(200) for arg in (number / 7, f"m{number}")), *(["inf", "end"])],
    ["HSET", "few fields", "f", "v", "", "", "n", 12345, "negative", -1, "x" * 64, "y" * 64],
    ["HSET", "many fields", *(arg for number in range(600) for arg in (f"f{number}", number))],
    ["HSET", "long value", "f", b"long" * 1000],
    ["SET", "to the millisecond", "v"],
    ["PEXPIREAT", "to the millisecond", 4_000_000_000_123],
    ["RPUSH", "list with deadline", "a"],
    ["PEXPIREAT", "list with deadline", 4_000_000_000_456],
    ["SELECT", 9],
    ["SET", "elsewhere", "v"],
]
FEW: list[Args] = [
    ["SET", "text", "some text, some text, some text, some text"],
    ["SET", "deadline", 7],
    ["PEXPIREAT", "deadline", 4_000_000_000_123],
    ["RPUSH", "list", "a", 1, -1000],
    ["SADD", "integers", 1, 2, 100_000],
    ["SADD", "set", "a", "b"],
    ["ZADD", "sorted set", "1", "a", "2.5", "b"],
    ["HSET", "hash", "f", "v", "n", 300],
]
STREAM: list[Args] = [["SET", "k", "v"], ["XADD", "the stream", "1-1", "f", "v"]]
AT = 1_700_000_000_000
STREAMS: list[Args] = [  # entries of every form, and groups with all that they may have
    *(["XADD", "long", f"{number}-{number % 3 + 1}", "name", f"v{number}", "n", number] for number in range(1, 500)),
    ["XDEL", "long", "7-2", "8-3", "100-2", "499-2"],
    ["XTRIM", "long", "MINID", "5"],
    *(["XADD", "integers", f"{number}-1", number, -number] for number in range(300)),
    *(["XADD", "integers", f"1000-{1 << bits}", 1 << bits, -1 << bits] for bits in range(63)),
    *(["XADD", "sizes", f"{at}-1", b"f" * length, b"v" * length] for at, length in enumerate(LENGTHS)),
    ["XADD", "ids", "0-1", "first", ""],
    ["XADD", "ids", "18446744073709551615-18446744073709551615", "last", ""],
    ["XADD", "deleted", "5-5", "f", "v"],
    ["XDEL", "deleted", "5-5"],
    ["XGROUP", "CREATE", "deleted", "group", "0"],
    ["XADD", "trimmed", "5-5", "f", "v"],
    ["XTRIM", "trimmed", "MAXLEN", "0"],
    ["XGROUP", "CREATE", "new", "group", "3-3", "MKSTREAM"],
    *(["XGROUP", "CREATE", "long", f"group{id}", id] for id in ("0", "$", "5-3", "50-1", "5000-1")),
    ["XGROUP", "CREATE", "long", "told", "50", "ENTRIESREAD", "40"],
    ["XGROUP", "CREATECONSUMER", "long", "group0", "idle"],
    ["XCLAIM", "long", "group0", "alice", "0", "5-3", "6-1", "9-1", "TIME", AT, "RETRYCOUNT", "3", "FORCE"],
    ["XCLAIM", "long", "group0", "bob", "0", "10-2", "300-1", "TIME", AT + 1, "FORCE", "LASTID", "300-1"],
    ["XDEL", "long", "6-1", "300-1"],
    ["XTRIM", "long", "MINID", "9"],
    ["XSETID", "long", "600-1"],
]
