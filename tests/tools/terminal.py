"""Draws the animated terminal in README.md from a real run of `python3 -m final`: `python3 -m tests.tools.terminal`.

A bash in a pseudo-terminal runs COMMANDS, with redis-cli as the client. The picture shows what was typed and printed,
except three things that differ from run to run: the server's port, which is shown as the default one, process ids, and
times. It is an SVG file with CSS animations. It has the colours of the reader's light or dark theme, and it shows the
last frame where there are no animations, or where the reader has switched them off.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from final.config.options import Options
from stages.harness.course import ROOT
from stages.harness.ports import free_port
from tests.support.machine import within

PICTURE = ROOT / "final" / "pictures" / "terminal.svg"
COMMANDS = (  # each with a text in the last line that it prints
    ("python3 -m final &", "listening on"),
    ('redis-cli SET name "RedisClone"', "OK"),
    ("kill -9 %1", "Killed"),
    ("python3 -m final &", "listening on"),
    ("redis-cli GET name", "RedisClone"),
)
PROMPT = "ready> "  # of the bash; the picture shows `$ `
NOT_SHOWN = r"\[1\] \d+$"  # the process id that bash prints when it starts a job

TYPING, LATENCY, THINKING, READING = 0.05, 0.3, 1.0, 6.0  # seconds: a character, a reply, a pause, the last frame
REPEATS = 3
FONT_SIZE, LINE, MARGIN, CHARACTER = 15, 23, 20, 9.1  # pixels


@dataclass(frozen=True)
class Step:
    """A command, and the lines that it printed."""

    command: str
    printed: Sequence[str]


@dataclass(frozen=True)
class Line:
    """A line of the picture, and the seconds at which it begins and ends to appear."""

    text: str
    is_typed: bool
    begin: float
    end: float


class Shell:
    """A bash in a pseudo-terminal that does not echo what is typed; it looks for programs in `tools` first."""

    def __init__(self, folder: Path, *tools: Path) -> None:
        self.master, terminal = os.openpty()
        settings = termios.tcgetattr(terminal)
        settings[1] &= ~termios.OPOST  # no \r before \n
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(terminal, termios.TCSANOW, settings)
        path = os.pathsep.join([*map(str, tools), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "--noediting", "-i"],
            cwd=folder,
            env={
                "PATH": path,
                "PYTHONPATH": str(ROOT),
                "PS1": PROMPT,
                "PS2": "",
                "LC_ALL": "C",
                "TERM": "dumb",
                "HISTFILE": "",
            },
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # without it, bash has no jobs
        )
        os.close(terminal)
        self.read_until(PROMPT)

    def run(self, command: str, last: str) -> list[str]:
        """Type a command; return the lines printed until the prompt and a whole line with `last` have appeared."""
        os.write(self.master, command.encode() + b"\n")
        printed = self.read_until(PROMPT, f"{last}.*\n").replace(PROMPT, "")
        return [line for line in printed.splitlines() if not re.match(NOT_SHOWN, line)]

    def read_until(self, *patterns: str) -> str:
        """Read until all the patterns are found in what was printed; raise TimeoutError when nothing comes any more."""
        printed = ""
        while not all(re.search(pattern, printed) for pattern in patterns):
            if not select.select([self.master], [], [], within(20))[0]:
                raise TimeoutError(f"no {patterns} in {printed!r}")
            printed += os.read(self.master, 4096).decode()
        return printed

    def close(self) -> None:
        """Kill the server and end the bash."""
        os.write(self.master, b"kill -9 %1; exit\n")
        self.process.wait()
        os.close(self.master)


def record(folder: Path) -> list[Step]:
    """Run COMMANDS in a folder; return what was typed and printed."""
    port, default = free_port(), Options().port
    shell = Shell(folder)
    try:
        return [
            Step(shown, [without_port(line, port, default) for line in shell.run(with_port(shown, port), last)])
            for shown, last in COMMANDS
        ]
    finally:
        shell.close()


def with_port(command: str, port: int) -> str:
    """Return the command to type for a command to show.

    bash says `Killed` before the prompt only if the job has ended by then, and after a `wait` not always.
    """
    typed = command.replace("-m final", f"-m final --port {port}").replace("redis-cli", f"redis-cli -p {port}")
    return f"{typed}; while kill -0 %1 2>/dev/null; do :; done" if typed.startswith("kill") else typed


def without_port(line: str, port: int, default: int) -> str:
    """Return a printed line as it would be on the default port."""
    return line.replace(f" --port {port}", "").replace(f":{port}", f":{default}")


def render(steps: Sequence[Step]) -> str:
    """Return the SVG file: without an animation, all lines are shown."""
    lines = list(moments(steps))
    width = round(2 * MARGIN + CHARACTER * max(len(line.text) for line in lines))
    height = 2 * MARGIN + LINE * len(lines) - (LINE - FONT_SIZE)
    story = "; ".join(f"{step.command} prints {' '.join(step.printed)}" for step in steps)
    rules = "\n".join(animation(number, line, duration(steps)) for number, line in enumerate(lines))
    texts = "\n".join(
        f'<text id="l{number}" class="{"typed" if line.is_typed else "printed"}" xml:space="preserve" '
        f'x="{MARGIN}" y="{MARGIN + FONT_SIZE - 3 + LINE * number}">{escape(line.text)}</text>'
        for number, line in enumerate(lines)
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>A terminal: a value is set, the server is killed, and the value is there after a restart</title>
<desc>{escape(story)}</desc>
<style>
rect {{ fill: #f6f8fa; stroke: #d1d9e0 }}
text {{ font: {FONT_SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }}
.typed {{ font-weight: 600; fill: #1f2328 }}
.printed {{ fill: #59636e }}
@media (prefers-color-scheme: dark) {{
rect {{ fill: #151b23; stroke: #3d444d }}
.typed {{ fill: #f0f6fc }}
.printed {{ fill: #9198a1 }}
}}
@media (prefers-reduced-motion: no-preference) {{
{rules}
}}
</style>
<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>
{texts}
</svg>
"""


def animation(number: int, line: Line, length: float) -> str:
    """Return the CSS of a line: what is typed appears one character after the other, what is printed at once."""
    begin, end = (f"{100 * moment / length:.2f}%" for moment in (line.begin, line.end))
    if line.is_typed:
        hidden, shown = "clip-path: inset(-9px 100% -9px 0)", "clip-path: inset(-9px 0)"
        timing = f"steps({len(line.text)})"
    else:
        hidden, shown, timing = "opacity: 0", "opacity: 1", "step-end"
    return (
        f"@keyframes k{number} {{ 0%, {begin} {{ {hidden}; animation-timing-function: {timing} }} "
        f"{end}, 100% {{ {shown} }} }}\n"
        f"#l{number} {{ animation: k{number} {length:.2f}s {REPEATS} both }}"
    )


def moments(steps: Sequence[Step]) -> Iterator[Line]:
    """Yield each line, with the seconds at which it begins and ends to appear."""
    now = 0.0
    for step in steps:
        end = now + TYPING * len(step.command)
        yield Line(f"$ {step.command}", True, now, end)
        for line in step.printed:
            yield Line(line, False, end + LATENCY, end + LATENCY + 0.01)
        now = end + THINKING


def duration(steps: Sequence[Step]) -> float:
    """Return the length of the animation in seconds."""
    return sum(TYPING * len(step.command) + THINKING for step in steps) + READING


def main() -> None:
    """Run the commands, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_text(render(record(Path(folder))))


if __name__ == "__main__":
    main()
