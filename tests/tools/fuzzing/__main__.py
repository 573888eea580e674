"""Fuzz final/ with mutated conversations, one for each seed; with --coverage guided by atheris.

python3 -m tests.tools.fuzzing --seconds 60 --seed 7
python3 -m tests.tools.fuzzing --only 123456      only the conversation that a failure named
python3 -m tests.tools.fuzzing --coverage --seconds 60      needs `pip install atheris`
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from functools import partial
from random import Random
from typing import Any

from tests.tools.fuzzing import mutations, target


def play(seed: int) -> int:
    """Run the conversation of a seed; return its size in bytes."""
    random = Random(seed)
    pieces = mutations.conversation(random)
    target.check(pieces, partial(mutations.cut, random))
    return sum(len(data) for _, data in pieces)


def run(seconds: float, seed: int) -> int:
    """Run one conversation after the other for `seconds`; return the number of failures."""
    end, size, broken, number = time.monotonic() + seconds, 0, 0, 0
    while time.monotonic() < end:
        try:
            size += play(seed + number)
        except Exception:
            broken += 1
            print(f"--only {seed + number}:\n{traceback.format_exc(limit=-4)}", flush=True)
        number += 1
    print(f"{number} conversations from --seed {seed} on, {size} bytes, each sent whole and in chunks: {broken} failed")
    return broken


def run_guided(seconds: int, seed: int) -> None:
    """Let atheris mutate the bytes that reach new code. It ends the process."""
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

    names = [name for name in sys.modules if name.startswith("final.")]
    for name in names:
        for value in vars(sys.modules[name]).values():
            if callable(value) and getattr(value, "__module__", "") == name and hasattr(value, "__code__"):
                value.__code__ = atheris.instrument_func(value).__code__

    def one(data: bytes) -> None:
        target.check([mutations.Piece(0, data)], lambda data: [data[:7], data[7:]])

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        other = b"".join(data for _, data in mutations.conversation(random))
        place = random.randint(0, len(data))
        return (data[:place] + other + data[place:] if random.random() < 0.5 else other)[:most]

    options = [f"-max_total_time={seconds}", f"-seed={seed or 1}", "-max_len=4096", "-timeout=60", "-rss_limit_mb=2048"]
    setup: Any = atheris.Setup
    setup([sys.argv[0], *options], one, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> None:
    """Fuzz; the status is 1 if a check failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the first conversation; the next is +1")
    parser.add_argument("--only", type=int, metavar="SEED", help="one conversation only")
    parser.add_argument("--coverage", action="store_true", help="guided by atheris")
    options = parser.parse_args()
    if options.only is not None:
        for piece in mutations.conversation(Random(options.only)):
            print(f"client {piece.client}: {piece.data!r}"[:2000])
        play(options.only)
    elif options.coverage:
        run_guided(options.seconds, options.seed)
    else:
        sys.exit(run(options.seconds, options.seed) > 0)


if __name__ == "__main__":
    main()
