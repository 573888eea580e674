"""Sequences of requests for Hypothesis: all commands for data, on a few keys, so that each affects the others."""

from __future__ import annotations

import os

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from final import commands  # noqa: F401  (fills the table)
from final.engine.command import COMMANDS

EXAMPLES = int(os.environ.get("EXAMPLES", "100"))  # the number of sequences that a test tries

KEYS = st.sampled_from([b"a", b"b", b"c", b""])
INTEGERS = st.sampled_from([0, 1, -1, 7, -12, 2**63 - 1, -(2**63), 2**63]).map(b"%d".__mod__)
FLOATS = st.decimals(-1000, 1000, places=3).map(str).map(str.encode) | st.sampled_from(
    [b"1e3", b"0x1p3", b"-5.0e-3", b"inf", b"nan", b"x", b"", b"1e17", b"0.1"]
)
SECONDS = st.sampled_from([b"100000", b"500000", b"0", b"-1", b"x", b"9223372036854775807"])
AT = st.sampled_from([b"4000000000", b"4000000001", b"4000000002", b"1", b"-1"])
AT_MS = st.sampled_from([b"4000000000000", b"4000000000999", b"4000000001000", b"1"])
ARGUMENTS: dict[str, SearchStrategy[bytes]] = {
    "key": KEYS,
    "field": st.sampled_from([b"f", b"g", b"h", b""]),
    "value": st.binary(max_size=6) | INTEGERS | FLOATS,
    "integer": INTEGERS | st.just(b"x"),
    "float": FLOATS,
    "place": st.integers(-8, 8).map(b"%d".__mod__),
    "seconds": SECONDS,
    "at": AT,
    "at-ms": AT_MS,
    "which": st.sampled_from([b"NX", b"XX", b"get", b"KEEPTTL"]),
    "condition": st.sampled_from([b"NX", b"XX", b"GT", b"LT"]),
    "pattern": st.sampled_from([b"*", b"[ab]", b"?", b"", b"[^a]*"]),
    "count": st.sampled_from([b"0", b"1", b"2", b"3", b"-1", b"-2", b"x"]),
    "end": st.sampled_from([b"LEFT", b"RIGHT"]),
    "side": st.sampled_from([b"BEFORE", b"AFTER"]),
    "score": st.sampled_from([b"0", b"-0", b"1", b"2", b"3", b"-1", b"0.5", b"3.3", b"1e3", b"inf", b"-inf"])
    | st.sampled_from([b"(2", b"x"]),
    "bytes": st.sampled_from([b"-", b"+", b"[f", b"(f", b"[g", b"(h", b"[", b"x"]),
    "how": st.sampled_from([b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"]),
    "min": st.sampled_from([b"MIN", b"MAX"]),
    "rev": st.sampled_from([b"REV", b"WITHSCORES"]),
    "aggregate": st.sampled_from([b"SUM", b"MIN", b"MAX"]),
    "bit": st.sampled_from([b"0", b"1", b"2"]),
    "offset": st.sampled_from([b"0", b"1", b"7", b"8", b"23", b"100", b"-1", b"#2", b"x"]),
    "unit": st.sampled_from([b"BIT", b"BYTE", b"bit", b"x"]),
    "operation": st.sampled_from([b"AND", b"or", b"XOR", b"NOT"]),
    "width": st.sampled_from([b"u1", b"i1", b"u4", b"i5", b"u8", b"i16", b"u63", b"i64", b"u64"]),
    "overflow": st.sampled_from([b"WRAP", b"SAT", b"FAIL"]),
    "element": st.integers(0, 2000).map(b"%d".__mod__),
    "longitude": st.sampled_from([b"0", b"13.361389", b"15.087269", b"-180", b"179.9999", b"181", b"x"]),
    "latitude": st.sampled_from([b"0", b"38.115556", b"37.502669", b"85.05", b"-80.5", b"86"]),
    "distance": st.sampled_from([b"0", b"1", b"200", b"12000", b"-1", b"x"]),
    "length": st.sampled_from([b"m", b"km", b"KM", b"ft", b"mi", b"yd"]),
    "order": st.sampled_from([b"ASC", b"DESC"]),
    "shows": st.sampled_from([b"WITHCOORD", b"WITHDIST", b"WITHHASH"]),
    "database": st.sampled_from([b"0", b"1"]),
    "new": st.sampled_from([b"1-1", b"1-2", b"1-*", b"2-0", b"2-*", b"2-3", b"3", b"3-1", b"4-*", b"5-5", b"9-9"]),
    "id": st.sampled_from([b"0", b"1-1", b"1-2", b"2-0", b"2-1", b"3", b"4-0", b"5-5", b"9-9", b"99", b"x"]),
    "start": st.sampled_from([b"-", b"0", b"1-1", b"(1-1", b"(1-2", b"2", b"3-1", b"9-9", b"+", b"(", b"x"]),
    "stop": st.sampled_from([b"+", b"9-9", b"(5-5", b"4", b"(2-0", b"1-2", b"1-1", b"-", b"x"]),
    "sign": st.sampled_from([b"=", b"~"]),
    "group": st.sampled_from([b"g", b"h"]),
    "consumer": st.sampled_from([b"alice", b"bob"]),
    "idle": st.sampled_from([b"0", b"0", b"0", b"100000000", b"-1", b"x"]),
    "newest": st.sampled_from([b"$", b"0", b"1-1", b">"]),
    "unread": st.sampled_from([b">", b">", b">", b"0", b"1-1", b"$"]),
    "claiming": st.sampled_from([b"FORCE", b"JUSTID", b"x"]),
}
REQUESTS = """
    GET key | SET key value | SET key value which | SET key value which which | SET key value EX seconds which
    SET key value PX seconds | SET key value EXAT at | SET key value PXAT at-ms which | SETNX key value
    SETEX key seconds value | PSETEX key seconds value | GETSET key value | GETDEL key | GETEX key
    GETEX key EX seconds | GETEX key PX seconds | GETEX key EXAT at | GETEX key PXAT at-ms | GETEX key PERSIST
    MGET key key | MSET key value key value | MSETNX key value key value | APPEND key value | STRLEN key
    GETRANGE key place place | SETRANGE key place value | INCR key | DECR key | INCRBY key integer
    DECRBY key integer | INCRBYFLOAT key float
    SETBIT key offset bit | GETBIT key offset | BITCOUNT key | BITCOUNT key place place | BITCOUNT key place place unit
    BITPOS key bit | BITPOS key bit place | BITPOS key bit place place unit | BITOP operation key key
    BITOP operation key key key | BITFIELD key GET width offset | BITFIELD key SET width offset integer
    BITFIELD key OVERFLOW overflow INCRBY width offset integer GET width offset
    BITFIELD key INCRBY width offset integer OVERFLOW overflow SET width offset integer | BITFIELD_RO key GET width 0
    PFADD log element element element | PFADD key element | PFADD key | PFCOUNT log | PFCOUNT key log | PFCOUNT key
    PFMERGE key log | PFMERGE log key key | PFDEBUG TODENSE log
    HSET key field value | HSET key field value field value | HMSET key field value | HSETNX key field value
    HGET key field | HMGET key field field | HDEL key field | HDEL key field field | HGETALL key | HKEYS key
    HVALS key | HLEN key | HEXISTS key field | HSTRLEN key field | HINCRBY key field integer
    HINCRBYFLOAT key field float | HSCAN key 0 MATCH pattern
    RPUSH key field field field | LPUSH key field | LPUSH key field field field | RPUSHX key field | LPUSHX key value
    LPOP key | RPOP key | LPOP key count | RPOP key count | LLEN key | LINDEX key place | LSET key place field
    LRANGE key place place | LREM key count field | LREM key integer field | LTRIM key place place
    LINSERT key side field value | LPOS key field | LPOS key field RANK place COUNT count MAXLEN count
    LMOVE key key end end | RPOPLPUSH key key | LMPOP 1 key end COUNT count | LMPOP 2 key key end
    ZADD key score field | ZADD key 1 field 2 field 3 field | ZADD key how score field score field
    ZADD key how how score field | ZADD same 0 field 0 value | ZREM key field field | ZINCRBY key score field
    ZSCORE key field | ZMSCORE key field field | ZRANK key field | ZREVRANK key field | ZCARD key
    ZRANGE key place place | ZRANGE key place place rev rev | ZREVRANGE key place place WITHSCORES
    ZRANGE key score score BYSCORE rev | ZRANGE key score score BYSCORE LIMIT count count | ZCOUNT key score score
    ZRANGEBYSCORE key score score LIMIT count count | ZREVRANGEBYSCORE key score score WITHSCORES
    ZRANGE same bytes bytes BYLEX rev | ZRANGEBYLEX same bytes bytes LIMIT count count | ZLEXCOUNT same bytes bytes
    ZRANGEBYLEX key bytes bytes LIMIT count count | ZREVRANGEBYLEX key bytes bytes | ZREMRANGEBYLEX key bytes bytes
    ZREVRANGEBYLEX same bytes bytes | ZREMRANGEBYLEX same bytes bytes | ZRANGESTORE key same bytes bytes BYLEX
    ZRANGESTORE key key place place | ZRANGESTORE key key score score BYSCORE LIMIT count count
    ZREMRANGEBYRANK key place place | ZREMRANGEBYSCORE key score score | ZPOPMIN key | ZPOPMAX key count
    ZMPOP 1 key min COUNT count | ZMPOP 2 key key min | BZPOPMIN same key key 0.001 | BZMPOP 0.001 2 same key min
    ZUNION 2 key key WITHSCORES | ZUNION 2 key key WEIGHTS score score AGGREGATE aggregate WITHSCORES
    ZINTER 2 key key WITHSCORES | ZINTER 2 key key WEIGHTS score score AGGREGATE aggregate WITHSCORES
    ZINTER 3 key key key WEIGHTS 1 2 -1 AGGREGATE aggregate WITHSCORES
    ZDIFF 2 key key WITHSCORES | ZDIFF 3 key key key | ZINTERCARD 2 key key LIMIT count | ZDIFFSTORE key 2 key key
    ZUNIONSTORE key 2 key key WEIGHTS 2 score | ZINTERSTORE key 2 key key AGGREGATE aggregate
    ZRANDMEMBER key 0 | ZSCAN same 0 MATCH pattern
    GEOADD key longitude latitude field longitude latitude field | GEOADD key how longitude latitude field
    GEOPOS key field field | GEODIST key field field length | GEOHASH key field
    GEOSEARCH key FROMLONLAT longitude latitude BYRADIUS distance length order shows
    GEOSEARCH key FROMMEMBER field BYBOX distance distance length COUNT count order
    GEOSEARCHSTORE key key FROMLONLAT longitude latitude BYBOX distance distance length STOREDIST
    GEOSEARCHSTORE key key FROMMEMBER field BYRADIUS distance length COUNT count ANY
    GEORADIUS key longitude latitude distance length STORE key | GEORADIUSBYMEMBER key field distance length shows
    SADD key field field | SADD key value integer | SREM key field | SREM key field field value | SISMEMBER key field
    SMISMEMBER key field value | SMEMBERS key | SCARD key | SMOVE key key field | SPOP key 100 | SRANDMEMBER key 100
    SINTER key key | SUNION key key | SDIFF key key | SINTERSTORE key key key | SUNIONSTORE key key key
    SDIFFSTORE key key key | SINTERCARD 2 key key | SINTERCARD 2 key key LIMIT count | SSCAN key 0 COUNT 1000
    XADD key new field value | XADD key new field value field value | XADD same new field field
    XADD key MAXLEN sign count new field value | XADD key MINID id new field value | XADD key NOMKSTREAM new field value
    XADD key MAXLEN ~ count LIMIT count new field value | XADD key MINID ~ id new field value | XLEN key
    XRANGE key start stop | XREVRANGE key stop start COUNT count | XRANGE same - + COUNT count | XREVRANGE same + -
    XREAD STREAMS key id | XREAD COUNT count STREAMS key key id newest | XREAD BLOCK 1 STREAMS key newest
    XDEL key id | XDEL key id id | XTRIM key MAXLEN count | XTRIM key MINID id | XTRIM key MAXLEN sign count
    XTRIM key MINID sign id LIMIT count | XSETID key id | XSETID key id ENTRIESADDED count MAXDELETEDID id
    XGROUP CREATE key group id MKSTREAM | XGROUP CREATE key group $ | XGROUP CREATE key group id ENTRIESREAD count
    XGROUP SETID key group id | XGROUP SETID key group $ ENTRIESREAD count | XGROUP DESTROY key group
    XGROUP CREATECONSUMER key group consumer | XGROUP DELCONSUMER key group consumer
    XREADGROUP GROUP group consumer STREAMS key unread | XREADGROUP GROUP group consumer COUNT 1 STREAMS key >
    XREADGROUP GROUP group consumer NOACK STREAMS key unread | XREADGROUP GROUP g alice COUNT count STREAMS key unread
    XREADGROUP GROUP group consumer BLOCK 1 COUNT count STREAMS key key unread unread | XACK key group id id
    XPENDING key group | XPENDING key group start stop count | XPENDING key group IDLE idle start stop 9 consumer
    XCLAIM key group consumer idle id id | XCLAIM key group consumer 0 id claiming claiming
    XCLAIM key group consumer 0 id IDLE count RETRYCOUNT count claiming | XCLAIM key group consumer 0 id LASTID id
    XAUTOCLAIM key group consumer idle start | XAUTOCLAIM key group consumer 0 start COUNT count JUSTID
    XINFO STREAM key | XINFO STREAM key FULL COUNT count | XINFO GROUPS key | XINFO CONSUMERS key group
    DEL key | DEL key key | UNLINK key key | EXISTS key key | TOUCH key | TYPE key | KEYS pattern
    SCAN 0 COUNT 1000 | SCAN 0 COUNT 1000 TYPE hash | RENAME key key | RENAMENX key key | DBSIZE | SELECT database
    COPY key key | COPY key key DB database | COPY key key REPLACE | MOVE key database | SWAPDB 0 1
    SORT key ALPHA LIMIT count count | SORT key ALPHA | SORT key ALPHA DESC STORE key | SORT key GET nosuch_*
    SORT key STORE key | SORT_RO key LIMIT place place | LCS key key | LCS key key IDX WITHMATCHLEN
    FLUSHDB | EXPIRE key seconds | PEXPIRE key seconds NX | EXPIREAT key at condition | PEXPIREAT key at-ms
    PEXPIREAT key at-ms condition condition | TTL key | PTTL key | EXPIRETIME key | PEXPIRETIME key | PERSIST key
"""


def request(template: str, arguments: dict[str, SearchStrategy[bytes]] = ARGUMENTS) -> SearchStrategy[list[bytes]]:
    """Return a strategy for requests of one shape: an argument in lower case is replaced by any of `arguments`."""
    return st.tuples(*(arguments.get(arg, st.just(arg.encode())) for arg in template.split())).map(list)


def shapes(table: str) -> list[str]:
    """Return the shapes in a table."""
    return [template for line in table.strip().splitlines() for template in line.split("|")]


SHAPES = shapes(REQUESTS)
ABOUT_ENCODINGS = """
    SET k long | SET k n | SET k f | SETEX k 1000 n | APPEND k f | APPEND k n | SETRANGE k 0 n | SETRANGE k 2 f | INCR k
    SETBIT k 7 1 | INCRBYFLOAT k 1 | GETSET k n | BITOP NOT k k | BITFIELD k SET u8 0 9 | PFCOUNT k | PFMERGE k k
    BITFIELD k OVERFLOW FAIL INCRBY u8 0 999 | PFADD k n | SET k n KEEPTTL | HSET k f long | HSET k f n | HSET k long f
    HSET k f n long f | HDEL k long | HDEL k f | HSET k f long f n | HINCRBYFLOAT k f 1 | SADD k n n f | SADD k n n
    SREM k f | SREM k n | SMOVE k k f | SMOVE k k n | SINTERSTORE k k k | SUNIONSTORE k k k | SDIFFSTORE k k k
    SPOP k 100 | ZADD k 1 long 2 f | ZADD k 1 f | ZREM k long | ZPOPMIN k | ZUNIONSTORE k 2 k k | RENAME k k
    RENAMENX k k | COPY k k REPLACE | COPY k k DB d REPLACE | MOVE k d | SELECT d | SWAPDB 0 1 | FLUSHDB | DEL k
    PEXPIREAT k 1 | RPUSH k f | LPOP k | XADD k 9-9 f v | SADD k n w | SADD k w | SREM k w | SREM k n w | SMOVE k k w
    SDIFFSTORE k k k k | HSET k f w | ZADD k w f | ZADD k inf n | ZADD k -inf long | ZINCRBY k 0.1 f | LPUSH k f n w
    RPUSH k long f w n | LINSERT k BEFORE f w | LSET k 0 w | LREM k 0 f | LTRIM k 1 2 | RPOP k | HDEL k n
    SADD k n w f 3 4 | SADD c 1 2 3 4 5 w | SDIFFSTORE k c k k k
"""
ABOUT_LIMITS = """
    CONFIG SET hash-max-listpack-entries few | CONFIG SET hash-max-ziplist-value short | SADD k n 7 8 | SADD k 9
    CONFIG SET zset-max-listpack-entries few | CONFIG SET zset-max-ziplist-value short | SORT k | HSET k f 1
    CONFIG SET set-max-intset-entries few | ZADD k 1 f 2 n 3 long | HSET k f 1 n 2 | HINCRBY k n 1 | HINCRBY k long 1
    SMOVE k a 9 | CONFIG SET list-max-listpack-size size
"""
DEFAULT_LIMITS = (
    b"CONFIG SET hash-max-listpack-entries 512 hash-max-listpack-value 64 zset-max-listpack-entries 128 "
    b"zset-max-listpack-value 64 set-max-intset-entries 512 list-max-listpack-size -2 rdbcompression no"
).split()
NARROW = {"k": st.sampled_from([b"a", b"b"]), "n": st.sampled_from([b"1", b"2"]), "d": ARGUMENTS["database"]}
NARROW["few"] = st.sampled_from([b"0", b"1", b"2", b"3", b"512"])
NARROW["short"] = st.sampled_from([b"0", b"1", b"64", b"65"])
NARROW["size"] = st.sampled_from([b"-1", b"-2", b"-9"])
NARROW["w"] = st.sampled_from([b"%d" % (1 << bits) for bits in (7, 12, 15, 23, 31, 62)] + [b"-32769", b"0.5", b"1e-7"])
NARROW["long"] = st.sampled_from([b"y" * 64, b"y" * 65, b"y" * 65])
ABOUT_DEADLINES = [shape for shape in SHAPES if "at" in shape or "EX" in shape or "PERSIST" in shape]
ANY = st.sampled_from(SHAPES).flatmap(request)


def mostly(group: str, longest: int = 20) -> SearchStrategy[list[list[bytes]]]:
    """Return a strategy for sequences of requests, most of them of one family."""
    family = [shape for shape in SHAPES if COMMANDS[shape.split()[0].lower().encode()].group.name == group]
    return st.lists(st.sampled_from(family).flatmap(request) | ANY, max_size=longest)


ENCODINGS = st.lists(st.sampled_from(shapes(ABOUT_ENCODINGS)).flatmap(lambda each: request(each, NARROW)), max_size=30)
LIMITED = st.lists(
    st.sampled_from(shapes(ABOUT_ENCODINGS) + 3 * shapes(ABOUT_LIMITS)).flatmap(lambda each: request(each, NARROW)),
    max_size=30,
)
SEQUENCES = {
    "all commands": st.lists(ANY, max_size=30),
    "mostly deadlines": st.lists(ANY | st.sampled_from(ABOUT_DEADLINES).flatmap(request), max_size=15),
    "mostly lists": mostly("list"),
    "mostly sets": mostly("set"),
    "mostly sorted sets": mostly("sorted-set"),
    "mostly places": mostly("geo"),
    "mostly bitmaps": mostly("bitmap"),
    "mostly HyperLogLog": mostly("hyperloglog"),
    "mostly streams": mostly("stream", 40),
}
