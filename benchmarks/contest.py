"""Two sides by turns: both do a block of the same work in every round, and a round's ratio is theirs alone.

A machine that becomes slower during the run slows both blocks of a round, so the ratio of the two keeps its meaning
where a comparison of two separate runs would not.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Block = Callable[[], Awaitable[object]]
"""A number of operations, with everything they need at hand."""

Prepare = Callable[[], Awaitable[Block]]
"""Makes the next block; not measured."""

WARM_UP = 2  # blocks of each side before counting: caches, prepared statements, threads


class WrongResult(Exception):
    """What was measured did not do the work."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One block: seconds on the clock and of the processor (of this process, all threads), for each operation."""

    seconds: float
    cpu: float


@dataclass(slots=True)
class Contest:
    """The rounds of one workload on one store.

    Args:
        workload: Its key.
        store: Which store, with its durability.
        operations: How many a block holds.
    """

    workload: str
    store: str
    operations: int
    floor: list[Timing] = field(default_factory=list)
    package: list[Timing] = field(default_factory=list)

    async def run(self, floor: Prepare, package: Prepare, rounds: int) -> Contest:
        """Measure so many rounds; who begins changes from one to the next."""
        for _ in range(WARM_UP):
            await self._timed(floor)
            await self._timed(package)
        for number in range(rounds):
            if number % 2:
                self.package.append(await self._timed(package))
                self.floor.append(await self._timed(floor))
            else:
                self.floor.append(await self._timed(floor))
                self.package.append(await self._timed(package))
        return self

    async def _timed(self, prepare: Prepare) -> Timing:
        block = await prepare()
        gc.collect()  # neither side pays for the other's rubbish
        clock, cpu = time.perf_counter(), time.process_time()
        await block()
        return Timing((time.perf_counter() - clock) / self.operations, (time.process_time() - cpu) / self.operations)

    @property
    def ratios(self) -> list[float]:
        """How much of the floor's speed was reached, round by round; 1 is as fast."""
        return [f.seconds / p.seconds for f, p in zip(self.floor, self.package, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the rounds: what counts."""
        return statistics.median(self.ratios)

    @property
    def best_ratio(self) -> float:
        """The floor's fastest block over the package's fastest: what is left when nothing disturbed either."""
        return min(t.seconds for t in self.floor) / min(t.seconds for t in self.package)

    @property
    def floor_us(self) -> float:
        """Median microseconds of the floor for each operation."""
        return statistics.median(t.seconds for t in self.floor) * 1e6

    @property
    def package_us(self) -> float:
        """Median microseconds of the package for each operation."""
        return statistics.median(t.seconds for t in self.package) * 1e6

    @property
    def package_cpu_us(self) -> float:
        """Median microseconds of processor time that the package takes in this process for each operation."""
        return statistics.median(t.cpu for t in self.package) * 1e6


@dataclass(frozen=True, slots=True)
class Figure:
    """A single number with a bound of its own, where a ratio to the floor would say nothing.

    Args:
        workload: Its key.
        store: Which store, or "" where none is involved.
        title: What the number is.
        value: The number.
        unit: Of the number; "" for a ratio.
        bound: It should be below this. None: no bound was set.
        note: What to compare it with, in words.
    """

    workload: str
    store: str
    title: str
    value: float
    unit: str
    bound: float | None
    note: str = ""
