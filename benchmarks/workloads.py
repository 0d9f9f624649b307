"""What is measured. Each workload fills both sides with the same data, times them by turns, then checks the outcome."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from benchmarks.contest import WARM_UP, Block, Contest, Figure, WrongResult
from benchmarks.data import Writer, plans
from benchmarks.sides import Read, Side
from benchmarks.targets import BYTES_PER_BYTE, GROWTH, LAG_MS

WRITERS = 16
BATCH = 100
WINDOW = 50
BUDGET = 4_000
PAGE = 100


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    rounds: int = 25
    appends: int = 200
    appends_each: int = 25
    batches: int = 6
    reads: int = 100
    histories: int = 10
    long: int = 10_000
    """Messages of a long session."""
    short: int = 100
    """Messages of the session that a long one is compared with."""
    history: int = 1_000
    sessions: int = 20_000
    turns: tuple[int, int] = (200, 2_000)
    lag_seconds: float = 2.0


FULL_SCALE = Scale()
QUICK = replace(FULL_SCALE, rounds=7, long=2_000, sessions=2_000, lag_seconds=1.0)

Opener = Callable[..., AbstractAsyncContextManager[tuple[Side, Side]]]


@dataclass(frozen=True, slots=True)
class Arena:
    """Where workloads run: a store, and how to get a pair of sides on empty databases of it.

    Args:
        store: Its name, with its durability.
        pair: Opens (floor, package); ``hop=True``: a floor whose appends go to a thread.
        scale: How much.
    """

    store: str
    pair: Opener
    scale: Scale


Outcome = Contest | Figure
_session_numbers = count(1)


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise WrongResult(what)


async def _check_stored(side: Side, session_id: str, wanted: list[str], *, in_order: bool = True) -> None:
    stored = await side.stored(session_id)
    _expect([seq for seq, _ in stored] == list(range(1, len(wanted) + 1)), f"{session_id}: seqs have gaps")
    ids = [message_id for _, message_id in stored]
    _expect(ids == wanted if in_order else sorted(ids) == sorted(wanted), f"{session_id}: not what was appended")


# --- appending ------------------------------------------------------------------------------------------------------


class _Appending:
    """Blocks of appends by some writers; remembers what must be stored afterwards."""

    def __init__(self, side: Side, sessions: Sequence[str], each: int, seed: int) -> None:
        self._side, self._sessions, self._each = side, sessions, each
        self._draft = Writer(seed)
        self._appends: list[Callable[[Any], Awaitable[Any]]] = []
        self.wanted: dict[str, list[str]] = {session_id: [] for session_id in sessions}

    async def open(self) -> None:
        for session_id in dict.fromkeys(self._sessions):
            await self._side.add_session(session_id)
        self._appends = [await self._side.appender(s, number) for number, s in enumerate(self._sessions)]

    async def block(self) -> Block:
        jobs = []
        for append, session_id in zip(self._appends, self._sessions, strict=True):
            drafts = self._draft.drafts(self._each)
            self.wanted[session_id] += [draft.message_id for draft in drafts]
            jobs.append((append, self._side.prepare(drafts)))

        async def write(append: Callable[[Any], Awaitable[Any]], items: list[Any]) -> None:
            for item in items:
                await append(item)

        if len(jobs) == 1:
            return lambda: write(*jobs[0])

        async def all_writers() -> None:
            await asyncio.gather(*[write(append, items) for append, items in jobs])

        return all_writers

    async def check(self) -> None:
        in_order = len(set(self._sessions)) == len(self._sessions)
        for session_id, ids in self.wanted.items():
            await _check_stored(self._side, session_id, ids, in_order=in_order)


async def _append(arena: Arena, workload: str, sessions: Sequence[str], each: int, *, hop: bool = False) -> Contest:
    async with arena.pair(hop=hop) as pair:
        floor, package = (_Appending(side, sessions, each, seed=1) for side in pair)
        for side in (floor, package):
            await side.open()
        contest = Contest(workload, arena.store, each * len(sessions))
        await contest.run(floor.block, package.block, arena.scale.rounds)
        for side in (floor, package):
            await side.check()
        return contest


async def append(arena: Arena) -> list[Outcome]:
    """One writer appends to one session."""
    return [await _append(arena, "append", ["alone"], arena.scale.appends)]


async def append_hop(arena: Arena) -> list[Outcome]:
    """The same, and the floor goes to a thread and back for each append."""
    if arena.store == "postgres":
        return []
    return [await _append(arena, "append-hop", ["alone"], arena.scale.appends, hop=True)]


async def append_16(arena: Arena) -> list[Outcome]:
    """Sixteen writers append, each to its own session."""
    sessions = [f"writer-{number}" for number in range(WRITERS)]
    return [await _append(arena, "append-16", sessions, arena.scale.appends_each)]


async def append_16_one(arena: Arena) -> list[Outcome]:
    """Sixteen writers append to one session, each over a handle of its own."""
    return [await _append(arena, "append-16-one", ["shared"] * WRITERS, arena.scale.appends_each)]


async def batch(arena: Arena) -> list[Outcome]:
    """One writer appends batches of 100."""

    class Batches:
        def __init__(self, side: Side) -> None:
            self._side, self._draft, self.wanted = side, Writer(2), list[str]()

        async def block(self) -> Block:
            if not self.wanted:
                await self._side.add_session("batches")
            store = await self._side.batcher("batches")
            drafts = [self._draft.drafts(BATCH) for _ in range(arena.scale.batches)]
            self.wanted += [draft.message_id for batch in drafts for draft in batch]
            batches = [self._side.prepare(batch) for batch in drafts]

            async def write() -> None:
                for items in batches:
                    await store(items)

            return write

    async with arena.pair() as pair:
        floor, package = (Batches(side) for side in pair)
        contest = Contest("batch", arena.store, arena.scale.batches)
        await contest.run(floor.block, package.block, arena.scale.rounds)
        for side, batches in zip(pair, (floor, package), strict=True):
            await _check_stored(side, "batches", batches.wanted)
        return [contest]


# --- reading --------------------------------------------------------------------------------------------------------


async def _long_session(side: Side, session_id: str, messages: int) -> None:
    writer = Writer(3)
    await side.add_session(session_id)
    await side.load(session_id, [writer.system(), *writer.drafts(messages - 1)])
    await side.settle()


async def _read(
    arena: Arena, workload: str, pair: tuple[Side, Side], reads: tuple[Read, Read], times: int, *, use: bool = False
) -> Contest:
    def prepare(side: Side, read: Read) -> Callable[[], Awaitable[Block]]:
        async def plain() -> None:
            for _ in range(times):
                await read()

        async def used() -> None:
            for _ in range(times):
                side.use(await read())

        async def block() -> Block:
            return used if use else plain

        return block

    floor, package = (prepare(side, read) for side, read in zip(pair, reads, strict=True))
    return await Contest(workload, arena.store, times).run(floor, package, arena.scale.rounds)


async def _same(pair: tuple[Side, Side], reads: tuple[Read, Read], rows: int, what: str) -> None:
    ours, theirs = [
        [(str(getattr(role, "value", role)), text) for role, text in side.use(await read())]
        for side, read in zip(pair, reads, strict=True)
    ]
    _expect(ours == theirs, f"{what}: the sides read different messages")
    _expect(len(ours) == rows, f"{what}: {len(ours)} messages instead of {rows}")


async def last(arena: Arena) -> list[Outcome]:
    """The newest 50 messages of a long session, over an open handle."""
    scale = arena.scale
    async with arena.pair() as pair:
        for side in pair:
            await _long_session(side, "long", scale.long)
        reads = (await pair[0].last("long", WINDOW), await pair[1].last("long", WINDOW))
        await _same(pair, reads, min(WINDOW, scale.long), "last")
        return [
            await _read(arena, "last", pair, reads, scale.reads),
            await _read(arena, "last-used", pair, reads, scale.reads, use=True),
        ]


async def history(arena: Arena) -> list[Outcome]:
    """All 1,000 messages of a session."""
    scale = arena.scale
    async with arena.pair() as pair:
        for side in pair:
            await _long_session(side, "whole", scale.history)
        reads = (await pair[0].history("whole"), await pair[1].history("whole"))
        await _same(pair, reads, scale.history, "history")
        return [
            await _read(arena, "history", pair, reads, scale.histories),
            await _read(arena, "history-used", pair, reads, scale.histories, use=True),
        ]


async def opening(arena: Arena) -> list[Outcome]:
    """A session that nobody holds a handle on, and its newest 50 messages."""
    scale = arena.scale
    async with arena.pair() as pair:
        for side in pair:
            await _long_session(side, "closed", scale.long)
        two = (await pair[0].opening("closed", WINDOW), await pair[1].opening("closed", WINDOW))
        one = (await pair[0].opening_at_once("closed", WINDOW), await pair[1].opening_at_once("closed", WINDOW))
        for reads in (two, one):
            await _same(pair, reads, min(WINDOW, scale.long), "open")
        return [
            await _read(arena, "open", pair, two, scale.reads),
            await _read(arena, "open-at-once", pair, one, scale.reads),
        ]


async def context(arena: Arena) -> list[Outcome]:
    """The newest messages within 4,000 tokens, of a long session."""
    scale = arena.scale
    async with arena.pair() as pair:
        for side in pair:
            await _long_session(side, "long", scale.long)
        reads = (await pair[0].context("long", BUDGET), await pair[1].context("long", BUDGET))
        floor, package = [side.use(await read()) for side, read in zip(pair, reads, strict=True)]
        # Ours counts the system message against the budget and returns it as well, which the floor does not.
        tail = package[1:] if len(package) < scale.long else package
        _expect(len(tail) > 1, "context: next to nothing was read")
        _expect([text for _, text in floor[-len(tail) :]] == [text for _, text in tail], "context: another window")
        _expect(0 <= len(floor) - len(tail) <= 2, "context: a window of another length")
        return [
            await _read(arena, "context", pair, reads, scale.reads),
            await _read(arena, "context-used", pair, reads, scale.reads, use=True),
        ]


async def listing(arena: Arena) -> list[Outcome]:
    """A user's newest 100 sessions among 20,000."""
    scale = arena.scale
    async with arena.pair() as pair:
        for side in pair:
            await side.add_sessions(plans(scale.sessions))
            await side.settle()
        reads = (await pair[0].listing("user-7", PAGE), await pair[1].listing("user-7", PAGE))
        floor, package = [side.ids(await read()) for side, read in zip(pair, reads, strict=True)]
        wanted = [plan.session_id for plan in reversed(plans(scale.sessions)) if plan.user_id == "user-7"][:PAGE]
        _expect(floor == package == wanted, "list: other sessions, or in another order")
        return [await _read(arena, "list", pair, reads, scale.reads)]


# --- the package by itself ------------------------------------------------------------------------------------------


async def growth(arena: Arena) -> list[Outcome]:
    """An append to a session of 10,000 messages against one to a session of 100, by turns."""
    scale = arena.scale
    outcomes: list[Outcome] = []
    async with arena.pair() as pair:
        for side, name in zip(pair, ("raw driver", "package"), strict=True):
            long = _Grown(side, "long", scale.long, scale.appends)
            await long.open()
            # The short one grows too; a fresh one in each round keeps it short.
            contest = await Contest("growth", arena.store, scale.appends).run(
                _fresh(side, scale.short, scale.appends), long.block, scale.rounds
            )
            await _check_stored(side, "long", long.wanted)
            outcomes.append(
                Figure(
                    "growth",
                    arena.store,
                    f"append at message {scale.long:,} over one at {scale.short:,}, {name}",
                    statistics.median(1 / ratio for ratio in contest.ratios),
                    "",
                    GROWTH if name == "package" else None,
                    f"{contest.package_us:,.0f} over {contest.floor_us:,.0f} µs",
                )
            )
    return outcomes[::-1]


class _Grown:
    """Blocks of appends to one session that has messages already."""

    def __init__(self, side: Side, session_id: str, messages: int, appends: int) -> None:
        self._side, self._session, self._messages, self._appends = side, session_id, messages, appends
        self._draft, self.wanted = Writer(4), list[str]()

    async def open(self) -> None:
        await self._side.add_session(self._session)
        drafts = self._draft.drafts(self._messages)
        self.wanted += [draft.message_id for draft in drafts]
        await self._side.load(self._session, drafts)

    async def block(self) -> Block:
        store = await self._side.appender(self._session, 0)
        drafts = self._draft.drafts(self._appends)
        self.wanted += [draft.message_id for draft in drafts]
        items = self._side.prepare(drafts)

        async def write() -> None:
            for item in items:
                await store(item)

        return write


def _fresh(side: Side, messages: int, appends: int) -> Callable[[], Awaitable[Block]]:
    async def block() -> Block:
        short = _Grown(side, f"short-{next(_session_numbers)}", messages, appends)
        await short.open()
        return await short.block()

    return block


async def lag(arena: Arena) -> list[Outcome]:
    """How late a ticker of 1 ms is while sixteen writers append: what everything else in the program feels."""
    scale = arena.scale
    sessions = [f"writer-{number}" for number in range(WRITERS)]
    async with arena.pair() as pair:
        worst: list[float] = []
        for side in pair:
            writers = _Appending(side, sessions, scale.appends_each, seed=5)
            await writers.open()
            for _ in range(WARM_UP):
                await (await writers.block())()
            worst.append(await _lateness(writers, scale.lag_seconds))
            await writers.check()
        idle = await _lateness(None, scale.lag_seconds / 2)
    floor, package = worst
    note = f"raw driver {floor:,.1f} ms, idle loop {idle:,.1f} ms"
    title = "p99 lateness of a 1 ms ticker under 16 writers"
    return [Figure("lag", arena.store, title, package, "ms", LAG_MS, note)]


async def _lateness(writers: _Appending | None, seconds: float) -> float:
    late: list[float] = []
    deadline = time.perf_counter() + seconds

    async def tick() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - start - 0.001)

    while time.perf_counter() < deadline:
        block = await writers.block() if writers is not None else None
        gc.collect()
        ticker = asyncio.create_task(tick())
        await asyncio.sleep(0)  # it has started before the writers have
        await (block() if block is not None else asyncio.sleep(seconds))
        await asyncio.sleep(0.002)  # a ticker that was held up the whole time says so now
        ticker.cancel()
        await asyncio.gather(ticker, return_exceptions=True)
    late.sort()
    return late[min(len(late) - 1, int(len(late) * 0.99))] * 1e3


async def storage(arena: Arena) -> list[Outcome]:
    """Bytes on disk for each byte of text, in a conversation of 200 and one of 2,000 turns."""
    outcomes: list[Outcome] = []
    for turns in arena.scale.turns:
        async with arena.pair() as pair:
            drafts = Writer(6).drafts(turns * 2)
            text = sum(len(draft.content.encode()) for draft in drafts)
            grown, whole = [], []
            for side in pair:
                empty = await side.stored_bytes()
                await side.add_session("stored")
                store = await side.appender("stored", 0)
                for item in side.prepare(drafts):
                    await store(item)
                await _check_stored(side, "stored", [draft.message_id for draft in drafts])
                size = await side.stored_bytes()
                grown.append((size - empty) / text)
                whole.append(size / text)
            note = f"raw driver {grown[0]:.2f}; with the empty tables {whole[1]:.2f} and {whole[0]:.2f}"
            title = f"bytes stored for each byte of text, {turns:,} turns"
            outcomes.append(Figure("storage", arena.store, title, grown[1], "", BYTES_PER_BYTE, note))
    return outcomes


WORKLOADS: dict[str, Callable[[Arena], Coroutine[Any, Any, list[Outcome]]]] = {
    "append": append,
    "append-hop": append_hop,
    "append-16": append_16,
    "append-16-one": append_16_one,
    "batch": batch,
    "last": last,
    "history": history,
    "open": opening,
    "context": context,
    "list": listing,
    "growth": growth,
    "lag": lag,
    "storage": storage,
}

TITLES = {
    "append": "append, 1 writer",
    "append-hop": "append, 1 writer, raw driver on a thread",
    "append-16": "append, 16 writers, 16 sessions",
    "append-16-one": "append, 16 writers, one session",
    "batch": "batch of 100",
    "last": "last 50 of 10,000",
    "last-used": "… role and text looked at",
    "history": "whole history of 1,000",
    "history-used": "… role and text looked at",
    "open": "nothing cached: get_session + last 50",
    "open-at-once": "nothing cached: open_session(limit=50)",
    "context": "4,000-token context of 10,000 messages",
    "context-used": "… role and text looked at",
    "list": "list 100 of 20,000 sessions",
}
