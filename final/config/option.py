"""What is known of an option besides its value: how it is declared, and how a text becomes its value."""

import re
from collections.abc import Callable
from dataclasses import Field, field
from typing import Any

from ..protocol.numeric import parse_memory


def option(default: Any, help: str, *, choices: tuple[str, ...] = (), settable: bool = False, protected: bool = False,
           memory: bool = False, least: int = 0, most: int = 2**63 - 1, clamp: tuple[int, int] | None = None,
           read: Callable[[str, Any], Any] | None = None, alias: str = "") -> Any:  # fmt: skip
    """Declare an option: its default, a line of help, its possible values, and whether CONFIG SET may change it.

    `protected`: CONFIG SET refuses it as protected. `memory`: the value is a size with a unit, such as 64mb. `clamp`:
    the least and the greatest number that are kept, of all that are accepted. `read` returns the value for a text and
    the old value, or raises ValueError. `alias`: its name in older releases.
    """
    metadata = {"help": help, "choices": choices, "settable": settable, "protected": protected, "read": read}
    metadata |= {"memory": memory, "least": least, "most": most, "clamp": clamp, "alias": alias}
    return field(default=default, metadata=metadata)


def parse_value(declared: Field[Any], value: str, now: Any = None) -> Any:
    """Parse the value of an option; `now` is its current value. Raises ValueError with Redis's text."""
    meta = declared.metadata
    if meta["choices"]:
        if value.lower() not in meta["choices"]:
            if meta["choices"] == ("yes", "no"):
                raise ValueError("argument must be 'yes' or 'no'")
            raise ValueError(f"argument(s) must be one of the following: {', '.join(meta['choices'])}")
        return value.lower()
    if meta["read"]:
        return meta["read"](value, declared.default if now is None else now)
    if declared.type is str:
        return value
    if meta["memory"]:
        size = parse_memory(value)
        if size is None:
            raise ValueError("argument must be a memory value")
        number = size
    else:
        if not re.fullmatch("0|-?[1-9][0-9]{0,18}", value) or not -(2**63) <= int(value) < 2**63:
            raise ValueError("argument couldn't be parsed into an integer")
        number = int(value)
    if not meta["least"] <= number <= meta["most"]:
        raise ValueError(f"argument must be between {meta['least']} and {meta['most']} inclusive")
    fewest, greatest = meta["clamp"] or (number, number)
    return min(max(number, fewest), greatest)
