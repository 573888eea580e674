"""Records a folder of the present release: `python3 -m tests.support.releases`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from final.log.rdb.write import dump
from tests.support.folders import await_rewrite, fill
from tests.support.oracle import final_server
from tests.support.releases import FOLDER, keys_of, present
from tests.support.snapshots.contents import FEW, Args

AT = 4_000_000_000_000  # a deadline far ahead, in milliseconds
BASE: list[Args] = [
    *FEW,
    *(["SET", f"{length} bytes", b"v" * length] for length in (0, 1, 63, 64, 16383, 16384)),
    ["SET", bytes(range(256)), bytes(range(256))],
    ["MSET", "zero", 0, "large", 2**63 - 1, "negative", -(2**63), "no integer", "+1"],
    ["SETBIT", "bits", 700, 1],
    ["PFADD", "few visitors", *range(50)],
    ["PFADD", "many visitors", *range(5000)],
    ["RPUSH", "long list", *range(200), b"x" * 5000],
    ["SADD", "large set", *range(200), "text"],
    ["ZADD", "scores", "inf", "a", "-inf", "b", "1e300", "c", "-2.5e-300", "d", "3.0000000000000004", "e", "0.1", "f"],
    ["GEOADD", "places", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"],
    ["HSET", "large hash", *(arg for number in range(100) for arg in (f"f{number}", "v" * number))],
    *(["XADD", "stream", f"{number}-{number % 3}", "name", f"v{number}", "n", number] for number in range(1, 120)),
    ["XADD", "stream", "500-1", "other", "fields"],
    ["XDEL", "stream", "7-1", "500-1"],
    ["XGROUP", "CREATE", "stream", "readers", "3-0"],
    ["XGROUP", "CREATECONSUMER", "stream", "readers", "idle"],
    ["XCLAIM", "stream", "readers", "alice", 0, "5-2", "6-0", "TIME", AT, "RETRYCOUNT", 3, "FORCE"],
    ["XDEL", "stream", "6-0"],
    ["SELECT", 9],
    ["SET", "elsewhere", "v", "PXAT", AT],
    ["SELECT", 0],
]
INCREMENT: list[Args] = [  # each command that changes data
    ["SELECT", 7],
    ["SET", "k", "v"],
    ["FLUSHDB"],
    ["SWAPDB", 0, 5],
    ["SELECT", 5],
    *(["COPY", key, key, "DB", 0] for key in ("text", "list", "set", "sorted set", "hash", "stream", "scores")),
    ["MOVE", "zero", 0],
    ["SELECT", 0],
    ["MULTI"],
    ["APPEND", "text", "!"],
    ["INCR", "zero"],
    ["SELECT", 3],
    ["SETEX", "soon", 1_000_000_000, "v"],
    ["EXEC"],
    ["SELECT", 0],
    ["PSETEX", "later", AT, "v"],
    ["DECR", "zero"],
    ["INCRBY", "zero", 5],
    ["DECRBY", "zero", 3],
    ["INCRBYFLOAT", "float", "0.1"],
    ["SETNX", "new", "v"],
    ["MSET", "a", "1", "b", "2"],
    ["MSETNX", "one", 1, "two", 2],
    ["GETSET", "one", "first"],
    ["GETEX", "two", "PXAT", AT],
    ["GETDEL", "new"],
    ["SETRANGE", "text", 3, "xyz"],
    ["SETBIT", "bits", 7, 1],
    ["BITFIELD", "bits", "SET", "u8", 8, 200, "INCRBY", "i5", 100, 1],
    ["BITOP", "NOT", "inverted", "bits"],
    ["PFADD", "visitors", "a", "b"],
    ["PFMERGE", "visitors", "visitors", "visitors"],
    ["EXPIREAT", "text", AT // 1000],
    ["PEXPIREAT", "list", AT],
    ["EXPIRE", "hash", 1_000_000_000],
    ["PEXPIRE", "hash", AT // 2],
    ["PERSIST", "list"],
    ["RPUSH", "list", *"abcdefghij"],
    ["LPUSH", "list", 1, 2],
    ["RPUSHX", "list", "k"],
    ["LPUSHX", "list", 3],
    ["LINSERT", "list", "BEFORE", "c", "between"],
    ["LSET", "list", 0, "three"],
    ["LREM", "list", 1, "d"],
    ["LTRIM", "list", 0, 10],
    ["LPOP", "list"],
    ["RPOP", "list", 2],
    ["LMOVE", "list", "other", "LEFT", "RIGHT"],
    ["RPOPLPUSH", "list", "other"],
    ["LMPOP", 1, "list", "LEFT"],
    ["BLPOP", "list", 1],
    ["SADD", "set", "c", "d", "e"],
    ["SREM", "set", "c"],
    ["SPOP", "set"],
    ["SMOVE", "set", "moved", "a"],
    ["SADD", "numbers", 1, 2, 3],
    ["SUNIONSTORE", "union", "numbers", "moved"],
    ["SINTERSTORE", "intersection", "numbers", "union"],
    ["SDIFFSTORE", "difference", "union", "moved"],
    ["SORT", "numbers", "DESC", "STORE", "sorted"],
    ["ZINCRBY", "scores", "0.3", "f"],
    ["ZADD", "scores", *(arg for number in range(20) for arg in (number, f"m{number}"))],
    ["ZREM", "scores", "m3"],
    ["ZPOPMIN", "scores", 2],
    ["ZPOPMAX", "scores"],
    ["BZPOPMIN", "scores", 1],
    ["ZMPOP", 1, "scores", "MAX"],
    ["ZREMRANGEBYRANK", "scores", 0, 1],
    ["ZREMRANGEBYSCORE", "scores", 18, 19],
    ["ZRANGESTORE", "range", "scores", 2, 8],
    ["ZADD", "letters", *(arg for letter in "abcdef" for arg in (0, letter))],
    ["ZREMRANGEBYLEX", "letters", "[b", "(d"],
    ["ZUNIONSTORE", "zunion", 2, "range", "letters", "WEIGHTS", 2, 3],
    ["ZINTERSTORE", "zinter", 2, "range", "zunion"],
    ["ZDIFFSTORE", "zdiff", 2, "zunion", "letters"],
    ["GEOADD", "places", 13.361389, 38.115556, "Palermo"],
    ["GEOSEARCHSTORE", "near", "places", "FROMMEMBER", "Palermo", "BYRADIUS", 1, "km"],
    ["HSET", "hash", "a", 1, "b", 2, "c", 3],
    ["HMSET", "hash", "d", 4],
    ["HSETNX", "hash", "e", 5],
    ["HDEL", "hash", "b"],
    ["HINCRBY", "hash", "a", 10],
    ["HINCRBYFLOAT", "hash", "c", "0.5"],
    ["XADD", "stream", "MAXLEN", 100, "1000-1", "f", "v"],
    ["XADD", "stream", "1001-1", "f", "v"],
    ["XDEL", "stream", "1001-1"],
    ["XGROUP", "CREATE", "stream", "more", "20-2"],
    ["XREADGROUP", "GROUP", "more", "bob", "COUNT", 5, "STREAMS", "stream", ">"],
    ["XREADGROUP", "GROUP", "more", "bob", "COUNT", 2, "NOACK", "STREAMS", "stream", ">"],
    ["XACK", "stream", "more", "22-1"],
    ["XAUTOCLAIM", "stream", "more", "carol", 0, "23-2", "COUNT", 2],
    ["XCLAIM", "stream", "more", "dave", 0, "25-1", "TIME", AT],
    ["XGROUP", "CREATECONSUMER", "stream", "more", "idle"],
    ["XGROUP", "DELCONSUMER", "stream", "more", "idle"],
    ["XGROUP", "CREATE", "stream", "gone", "$"],
    ["XGROUP", "DESTROY", "stream", "gone"],
    ["XGROUP", "SETID", "stream", "readers", "40-1"],
    ["XTRIM", "stream", "MINID", "24"],
    ["XSETID", "stream", "2000-1"],
    ["RENAME", "moved", "renamed"],
    ["RENAMENX", "renamed", "renamed again"],
    ["RESTORE", "restored", 0, dump(b"42", compressed=False)],
    ["DEL", "one"],
    ["UNLINK", "zinter"],
]


def main() -> None:
    """Record the folder, once: another server must not write into it later."""
    folder = FOLDER / present()
    if folder.exists():
        sys.exit(f"{folder} exists: a release is recorded once")
    with tempfile.TemporaryDirectory() as place, final_server(data=Path(place)) as server:
        client = server.connect()
        fill(client, BASE)
        client.ask("BGREWRITEAOF")
        await_rewrite(client)
        fill(client, INCREMENT)
        client.ask("SAVE")
        lines = keys_of(client)
        server.stop()
        shutil.copytree(place, folder)
    (folder / "keys.txt").write_text("".join(f"{line}\n" for line in lines))
    print(f"{folder}: {len(lines)} keys")


if __name__ == "__main__":
    main()
