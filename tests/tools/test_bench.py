"""The bench works: each section can be measured, stored and drawn. No test asserts a speed."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from final.protocol.writer import encode
from stages.harness.course import ROOT
from tests.support.oracle import redis_target
from tests.tools.bench import load, own, pictures, quoted, report
from tests.tools.bench.__main__ import KEPT, SECTIONS
from tests.tools.bench.load import Load, loads
from tests.tools.bench.results import Results, Row
from tests.tools.bench.servers import FINAL, REDIS, one, targets
from tests.tools.bench.targets import Target


def bench(*args: str) -> str:
    """Run `python3 -m tests.tools.bench …`; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.tools.bench", *args], cwd=ROOT, capture_output=True, text=True, timeout=290
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "section", [pytest.param(name, marks=[] if name == "latency" else pytest.mark.slow) for name in SECTIONS]
)
def test_a_section_is_measured_stored_and_reported(section: str, tmp_path: Path) -> None:
    redis_target()
    page = bench("--short", section.replace(" ", "-"), "--out", str(tmp_path))
    kept = json.loads((tmp_path / "speed.json").read_text())
    assert {row[0] for row in kept["rows"]} == {section}
    assert {FINAL, REDIS} <= {row[1] for row in kept["rows"]}
    assert all(row[3] > 0 for row in kept["rows"] if row[4] in ("requests/s", "s", "ms"))
    assert f"### {section}" in page and page == (tmp_path / "speed.md").read_text()


@pytest.mark.slow
def test_earlier_measurements_are_kept_and_can_be_drawn_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    bench("--short", "memory", "--out", str(tmp_path))
    page = bench("--short", "latency", "clients", "--out", str(tmp_path))
    assert all(f"### {section}" in page for section in ("memory", "latency", "clients"))
    picture = tmp_path / "speed-clients.png"
    picture.unlink()
    assert page == bench("--redraw", "--out", str(tmp_path))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "](speed-clients.png)" in page


def test_every_picture_is_shown_on_the_page() -> None:
    page = (KEPT / "speed.md").read_text()
    assert sorted(path.name for path in KEPT.glob("*.png")) == sorted(re.findall(r"\]\((\S+\.png)\)", page))
    assert page == report.page(Results.read(KEPT / "speed.json"))


@pytest.mark.parametrize("name", quoted.PAGES)
def test_the_figures_that_a_page_quotes_are_those_that_were_measured(name: str) -> None:
    text = (KEPT.parent / name).read_text()
    assert text.count(quoted.BEGIN) == text.count(quoted.END) == 1
    assert text == quoted.quoting(text, quoted.PAGES[name](Results.read(KEPT / "speed.json")))


def test_a_ratio_is_taken_within_a_round() -> None:
    rates = [(100.0, 200.0), (10.0, 40.0), (1.0, 2.0)]
    rows = [
        Row("s", name, "GET", value, "requests/s", number)
        for number, pair in enumerate(rates)
        for name, value in zip(("one", "other"), pair, strict=True)
    ]
    results = Results(rows, {})
    assert results.ratio("s", ("one", "GET"), ("other", "GET")) == 0.5
    assert results.median("s", "one", "GET") == 10
    assert results.ratio("s", ("one", "GET"), ("absent", "GET")) is results.median("s", "one", "SET") is None


def test_a_target_is_reported_as_met_or_not() -> None:
    lines = list(report.wanted([Target("a", 0.6, 0.5), Target("b", 0.6, 0.5, at_least=False), Target("c", None, 1)]))
    assert lines[2:] == ["| a | 0.60 | ≥ 0.5 | met |", "| b | 0.60 | ≤ 0.5 | **not met** |"]
    assert not any(doctest.testmod(each).failed for each in (report, pictures, quoted))


@pytest.mark.parametrize("name", loads())
def test_our_own_load_sends_the_same_requests_as_redis_benchmark(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with one(FINAL, targets()[FINAL]) as server:
        before = int(server.info("stats")["total_commands_processed"])
        measured = load.ask(server, loads()[name].but(clients=3, pipeline=4), 48)
        asked = int(server.info("stats")["total_commands_processed"]) - before - 1
        assert asked == 48 and measured and measured.rate > 0
        assert server.info("stats")["total_error_replies"] == "0"


def test_a_server_that_does_not_reply_counts_as_stalled() -> None:
    with one(FINAL, targets()[FINAL]) as server:
        assert own.ask(server.port, Load("wait", ("BLPOP", "nothing", "0"), clients=1), 1, seconds=0.1) is None


def test_only_complete_replies_are_counted() -> None:
    data = b"".join(encode(value) for value in (b"a\r\nb", [1, [b"x"]], "OK"))
    assert own.replies_in(data) == (3, b"")
    assert own.replies_in(data[:-1]) == (2, b"+OK\r")
