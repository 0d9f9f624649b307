"""The benchmarks do the work they claim to measure. How fast they find it is nobody's business here."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import report, stores
from benchmarks.contest import Contest, Figure, WrongResult
from benchmarks.package import Package
from benchmarks.sides import Append
from benchmarks.workloads import TITLES, WORKLOADS, Arena, Scale

TINY = Scale(
    rounds=2,
    appends=3,
    appends_each=2,
    batches=1,
    reads=2,
    histories=1,
    long=60,
    short=10,
    history=20,
    sessions=40,
    turns=(5, 10),
    lag_seconds=0.01,
)

pytestmark = pytest.mark.store("sqlite")


@pytest.fixture(autouse=True)
def small_heap() -> Iterator[None]:
    # A contest collects garbage before each block; without this it would search all of the test-suite each time.
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    with stores.arena("sqlite-normal", TINY, tmp_path) as found:
        yield found


@pytest.mark.parametrize("name", WORKLOADS)
async def test_workload_measures_both_sides_doing_the_same(name: str, arena: Arena) -> None:
    # Each workload compares what both sides stored and read, and raises WrongResult where it is not the same.
    outcomes = await WORKLOADS[name](arena)
    assert outcomes
    for outcome in outcomes:
        if isinstance(outcome, Figure):
            assert outcome.value > 0
        else:
            assert len(outcome.ratios) == TINY.rounds
            assert min(outcome.ratios) > 0


async def test_a_lost_message_fails_the_measurement(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    appender = Package.appender

    async def forgetful(self: Package, session_id: str, writer: int) -> Append:
        store, calls = await appender(self, session_id, writer), [0]

        async def append(item: Any) -> None:
            calls[0] += 1
            if calls[0] != 4:
                await store(item)

        return append

    monkeypatch.setattr(Package, "appender", forgetful)
    with pytest.raises(WrongResult):
        await WORKLOADS["append"](arena)


async def test_a_window_of_other_messages_fails_the_measurement(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    use = Package.use
    monkeypatch.setattr(Package, "use", lambda self, messages: use(self, messages)[::-1])
    with pytest.raises(WrongResult):
        await WORKLOADS["last"](arena)


def test_ratio_is_the_median_of_the_rounds() -> None:
    contest = Contest("append", "sqlite-full", 1)
    contest.floor = [Seconds(1.0), Seconds(1.0), Seconds(9.0)]  # type: ignore[list-item]
    contest.package = [Seconds(2.0), Seconds(4.0), Seconds(3.0)]  # type: ignore[list-item]
    assert (contest.ratio, contest.best_ratio) == (0.5, 0.5)


@dataclass
class Seconds:
    seconds: float
    cpu: float = 0.0


def measured(ratio: float, store: str = "sqlite-full") -> Contest:
    contest = Contest("append", store, 1)
    contest.floor, contest.package = [Seconds(ratio)], [Seconds(1.0)]  # type: ignore[list-item]
    return contest


@pytest.mark.parametrize(("ratio", "verdict"), [(0.54, "MISSED"), (0.56, "ok"), (0.61, "aim")])
def test_a_miss_is_marked(ratio: float, verdict: str) -> None:
    assert report.as_text([measured(ratio)]).splitlines()[-1].endswith(verdict)


def test_every_workload_has_a_title() -> None:
    contests = [measured(1.0) for _ in TITLES]
    for contest, name in zip(contests, TITLES, strict=True):
        contest.workload = name
    assert all(title in report.as_text(contests) for title in TITLES.values())


def test_docs_keep_what_stands_around_the_table(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    report.write_docs(page, "new")
    assert page.read_text() == f"before\n{report.START}\n\nnew\n\n{report.END}\nafter\n"


def test_docs_page_is_made_when_absent(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    report.write_docs(page, report.as_markdown([measured(1.0)], {"processors": "2"}))
    assert "| append, 1 writer |" in page.read_text()


def test_command_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "QUICK", TINY)
    file = tmp_path / "out.json"
    arguments = ["--quick", "--only", "append", "--stores", "sqlite", "--json", str(file), "--folder", str(tmp_path)]
    assert command.main(arguments) == 0
    assert "append, 1 writer" in capsys.readouterr().out
    outcomes: Sequence[dict[str, Any]] = json.loads(file.read_text())["outcomes"]
    assert [outcome["store"] for outcome in outcomes] == ["sqlite-normal", "sqlite-full"]


@pytest.mark.parametrize(
    "arguments", [["--only", "nonsense"], ["--stores", "nonsense"], ["--rounds", "0"], ["--write-docs", "--quick"]]
)
def test_command_refuses(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        command.main(arguments)
    assert refusal.value.code == 2
    assert capsys.readouterr().err
