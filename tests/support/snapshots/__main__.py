"""Records snapshots of real servers for `tests/final/test_rdb.py`.

    python3 -m tests.support.snapshots REDIS-SERVER

The name of a file is the server's version and the option or type that the snapshot is for.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis

from stages.harness.ports import free_port
from tests.support.snapshots.contents import CONTENTS, FEW, STREAM, STREAMS, Args

FOLDER = Path(__file__).parent
BIG = ["--list-max-ziplist-size", "-5"]  # pieces of 64 KB


def record(program: str, name: str, contents: list[Args], *options: str) -> None:
    """Start a server with these options, send it the requests of `contents`, and store its snapshot under `name`."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        args = [program, "--port", str(port), "--save", "", "--dir", folder, *options]
        server = subprocess.Popen(args, stdout=subprocess.DEVNULL)
        try:
            client = await_ready(port)
            info = client.info()
            version = f"valkey-{info['valkey_version']}" if "valkey_version" in info else info["redis_version"]
            for request in contents:
                client.execute_command(*request)  # type: ignore[no-untyped-call]
            client.save()
            data = Path(folder, "dump.rdb").read_bytes()
        finally:
            server.kill()
            server.wait()
    (FOLDER / f"{version}{name}.rdb").write_bytes(data)
    print(f"{version}{name}.rdb: {len(data)} bytes, {data[:9].decode()}")


def await_ready(port: int) -> redis.Redis:
    """Wait until a server answers; return a client of it."""
    deadline = time.monotonic() + 10
    while True:
        try:
            client = redis.Redis(port=port, single_connection_client=True, protocol=2)
            client.ping()
            return client
        except redis.ConnectionError:
            assert time.monotonic() < deadline, "the server does not start"


def main() -> None:
    """Record all snapshots of the server that the command line names."""
    program = sys.argv[1]
    record(program, "", CONTENTS, *BIG)
    record(program, "-lru", FEW, "--maxmemory-policy", "allkeys-lru")
    bare = ["--rdbcompression", "no", "--rdbchecksum", "no"]
    record(program, "-lfu", FEW, "--maxmemory-policy", "allkeys-lfu", *bare)
    record(program, "-stream", STREAM)
    try:
        record(program, "-streams", STREAMS)
    except redis.ResponseError:
        print("this server does not know how much groups have read")  # before 7.0
    try:
        function = "#!lua name=library\nredis.register_function('f', function() return 1 end)"
        record(program, "-function", [["FUNCTION", "LOAD", function]])
    except redis.ResponseError:
        print("this server has no functions")


if __name__ == "__main__":
    main()
