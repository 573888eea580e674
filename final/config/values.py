"""Values of options that are more than a number or a text, and checks of texts."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..protocol.numeric import parse_float, parse_memory

MOST_ADDRESSES = 16  # in `bind` (CONFIG_BINDADDR_MAX)
NAME_MAX = 255  # bytes in a file name
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
CLASSES = {"normal": "normal", "slave": "replica", "replica": "replica", "pubsub": "pubsub"}


@dataclass(frozen=True)
class Limit:
    """A client with unread replies is disconnected above `hard` bytes, or after `seconds` above `soft` bytes."""

    hard: int  # 0: no limit
    soft: int  # 0: no limit
    seconds: int


@dataclass(frozen=True)
class Limits:
    """The limits of the client classes; None: no limit.

    >>> print(Limits().changed("pubsub 10mb 5mb 10"))
    normal 0 0 0 slave 268435456 67108864 60 pubsub 10485760 5242880 10
    """

    normal: Limit | None = None
    replica: Limit | None = Limit(256 << 20, 64 << 20, 60)
    pubsub: Limit | None = Limit(32 << 20, 8 << 20, 60)

    def changed(self, text: str) -> "Limits":
        """A copy with the limits of the classes in `text` replaced. Raises ValueError with Redis's text."""
        args = text.split(" ") if text else []
        if len(args) % 4:
            raise ValueError("Wrong number of arguments in buffer limit configuration.")
        limits = self
        for name, *numbers in zip(*(args[place::4] for place in range(4)), strict=True):
            if name.lower() not in CLASSES:
                raise ValueError("Invalid client class specified in buffer limit configuration.")
            hard, soft, seconds = parse_memory(numbers[0]), parse_memory(numbers[1]), numbers[2]
            if hard is None or soft is None or not re.fullmatch(r"[0-9]{1,18}", seconds):
                raise ValueError("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
            limit = Limit(hard, soft, int(seconds)) if hard or soft else None
            limits = replace(limits, **{CLASSES[name.lower()]: limit})
        return limits

    def __str__(self) -> str:
        each = (("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub))
        return " ".join(f"{name} {it.hard} {it.soft} {it.seconds}" if it else f"{name} 0 0 0" for name, it in each)


USUAL = Limits()


OF_REDIS = "3600 1 300 100 60 10000"  # the save points of a Redis that is not told others


class SavePoints(tuple[tuple[int, int], ...]):
    """Seconds and changes: a snapshot is written when these seconds have passed and there were this many changes.

    >>> print(SavePoints.parse("900 1 60 10000"), len(SavePoints.parse("900 1 60 10000")), len(SavePoints.parse("")))
    900 1 60 10000 2 0
    """

    @classmethod
    def parse(cls, text: str) -> "SavePoints":
        """Raises ValueError with Redis's text."""
        numbers = [int(arg) if re.fullmatch("[+-]?[0-9]{1,18}", arg) else -1 for arg in text.split(" ")] if text else []
        seconds, changes = numbers[::2], numbers[1::2]
        if len(numbers) % 2 or min(seconds, default=1) < 1 or min(changes, default=0) < 0:
            raise ValueError("Invalid save parameters")
        return cls(zip(seconds, changes, strict=True))

    def __str__(self) -> str:
        return " ".join(f"{seconds} {changes}" for seconds, changes in self)


class Percentiles(tuple[float, ...]):
    """Percentages, from 0 to 100.

    >>> print(Percentiles.parse("50 99.9 0x10"))
    50 99.9 16
    """

    @classmethod
    def parse(cls, text: str) -> "Percentiles":
        """Raises ValueError with Redis's text."""
        numbers = [parse_float(arg.encode(errors="replace")) for arg in text.split(" ")] if text else []
        if None in numbers:
            raise ValueError("Invalid latency-tracking-info-percentiles parameters")
        if any(number is None or not 0 <= number <= 100 for number in numbers):
            raise ValueError("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
        return cls(number for number in numbers if number is not None)

    def __str__(self) -> str:
        return " ".join(map(percentage, self))


def percentage(number: float) -> str:
    """Format a percentage with six decimals at most."""
    return f"{number:f}".rstrip("0").rstrip(".")


def parse_replicaof(text: str) -> tuple[str, int]:
    """The host and port of a primary. Raises ValueError with Redis's text."""
    host, _, port = text.partition(" ")
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= 65535:
        raise ValueError("Invalid master port")
    return host, int(port)


def read_replicaof(text: str, _: Any) -> str:
    """Return the value of `replicaof` as it is kept; empty: no one. Raises ValueError with Redis's text."""
    return "" if text.lower() in ("", "no one") else "{} {}".format(*parse_replicaof(text))


def check_name(option: str, name: str) -> str:
    """Return `name` if the log's files, its folder or the snapshot can have it. Raises ValueError with Redis's text."""
    what = "dirname" if option == "appenddirname" else "filename"
    room = len(".9999999999.incr.aof") if option == "appendfilename" else 0
    if not name:
        raise ValueError(f"{option} can't be empty")
    if any(sign in name for sign in "/\\\0") or (name in (".", "..") and not room):
        raise ValueError(f"{option} can't be a path, just a {what}")
    if len(os.fsencode(name)) + room > NAME_MAX:
        raise ValueError(f"{option} is too long")
    return name


def not_empty(text: str) -> str:
    """Return `text`. Raises ValueError if it is empty: that would mean all addresses, or the current folder."""
    if not text:
        raise ValueError("argument must not be empty")
    return text


def addresses(text: str) -> str:
    """Return addresses to listen on, in `text`. Raises ValueError if there are none, or too many."""
    if len(text.split(" ")) > MOST_ADDRESSES:
        raise ValueError("Too many bind addresses specified.")
    return not_empty(text)


def parse_octal(text: str) -> "Octal":
    """Return permissions. Raises ValueError with Redis's text."""
    if not re.fullmatch("[0-7]{1,4}", text):
        raise ValueError("argument couldn't be parsed as an octal number")
    return Octal(text, 8)


class Octal(int):
    """A number that is shown as an octal one."""

    def __str__(self) -> str:
        return f"{int(self):o}"


def parse_share(text: str, _: Any) -> str:
    """Return a size in bytes, or a percentage, as it is shown. Raises ValueError with Redis's text."""
    if re.fullmatch("[1-9][0-9]*%|0%", text):
        if int(text[:-1]) > 100:
            raise ValueError("percentage argument must be less or equal to 100")
        return text
    size = parse_memory(text)
    if size is None or size >= 2**63:
        raise ValueError("argument must be a memory or percent value")
    return str(size)


def parse_adjustments(text: str, _: Any) -> str:
    """Return the three values of oom-score-adj-values as they are shown. Raises ValueError with Redis's text."""
    args = text.split(" ")
    if len(args) != 3:
        raise ValueError("wrong number of arguments")
    if not all(re.fullmatch("[+-]?[0-9]{1,18}|", arg) and -2000 <= int(arg or 0) <= 2000 for arg in args):
        raise ValueError("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
    return " ".join(str(int(arg or 0)) for arg in args)


def parse_title(text: str, _: Any) -> str:
    """Return a template for the title of the process as it is. Raises ValueError with Redis's text."""
    rest = re.sub("{title}", "", text.replace("{{", "x"))
    rest = re.sub("{(?:listen-addr|server-mode|port|tls-port|unixsocket|config-file)}", "x", rest)
    if "{" in rest or not rest.strip():
        raise ValueError("template format is invalid or contains unknown variables")
    return text


def parse_hostname(text: str, _: Any) -> str:
    """Return the name of a host as it is. Raises ValueError with Redis's text."""
    if len(text) >= 256:
        raise ValueError("Hostnames must be less than 256 characters")
    if not re.fullmatch("[a-zA-Z0-9.-]*", text):
        raise ValueError("Hostnames may only contain alphanumeric characters, hyphens or dots")
    return text


def not_here(only: str) -> Callable[[str, Any], str]:
    """Return a reader of an option that can only be turned off. It raises ValueError."""

    def read(text: str, _: Any) -> str:
        if text != only:
            raise ValueError(f"argument must be {only}: this server does not have what it turns on")
        return text

    return read
