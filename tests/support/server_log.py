"""The lines of the server log."""

import re

HEADING = re.compile(r"^\d+:[MSC] \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3} [.*#-] ", re.M)


def messages(text: str) -> str:
    """Return what was logged, without the process id, the time and the level of each line; each line must have them."""
    assert all(HEADING.match(line) for line in text.splitlines()), text
    return HEADING.sub("", text)
