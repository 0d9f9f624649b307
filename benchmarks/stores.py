"""Pairs of sides on empty databases: files in one folder for SQLite, two databases of one server for PostgreSQL."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.floor_sqlite import SQLiteFloor
from benchmarks.package import Package
from benchmarks.sides import Side
from benchmarks.workloads import WRITERS, Arena, Opener, Scale

SYNCHRONOUS = {"sqlite-normal": "NORMAL", "sqlite-full": "FULL"}
ALIASES = {"sqlite": ("sqlite-normal", "sqlite-full")}
ALL = ("postgres", *SYNCHRONOUS)
DURABLE = {"fsync": "on", "full_page_writes": "on"}  # the tests turn both off


def resolve(names: list[str]) -> list[str]:
    """Return the stores of a list of names; ``sqlite`` means both degrees of durability.

    Raises:
        ValueError: An unknown name.
    """
    found = [store for name in names for store in ALIASES.get(name, (name,))]
    unknown = sorted(set(found) - set(ALL))
    if unknown:
        raise ValueError(f"no store {unknown[0]!r}; there are {', '.join(('sqlite', *ALL))}")
    return [store for store in ALL if store in found]


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server."""

    url: str
    version: str


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Use the server that the environment names, or start one of our own that keeps its promises about the disk."""
    from tests.services.postgres import REMEDY, PostgresServer, find_binaries, service_from_environment

    given = service_from_environment()
    if given is not None:
        yield Postgres(given.url, given.version())
        return
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit(f"no PostgreSQL: {REMEDY}")
    with PostgresServer(binaries, DURABLE, on_disk=True) as server:
        yield Postgres(server.url, server.service.version())


@contextmanager
def arena(store: str, scale: Scale, folder: Path, server: Postgres | None = None) -> Iterator[Arena]:
    """Return where the workloads of a store run; `folder` says which disk its files lie on."""
    place = Path(tempfile.mkdtemp(prefix=f"{store}-", dir=folder))
    try:
        if store == "postgres":
            assert server is not None
            yield Arena(store, _postgres_pair(server), scale)
        else:
            yield Arena(store, _sqlite_pair(place, SYNCHRONOUS[store]), scale)
    finally:
        shutil.rmtree(place)


@asynccontextmanager
async def _opened(floor: Side, package: Side) -> AsyncIterator[tuple[Side, Side]]:
    await floor.open()
    try:
        await package.open()
        try:
            yield floor, package
        finally:
            await package.close()
    finally:
        await floor.close()


def _sqlite_pair(place: Path, synchronous: str) -> Opener:
    @asynccontextmanager
    async def pair(*, hop: bool = False) -> AsyncIterator[tuple[Side, Side]]:
        folder = Path(tempfile.mkdtemp(dir=place))
        floor = SQLiteFloor(folder / "floor.db", synchronous, hop=hop)
        async with _opened(floor, Package(path=folder / "package.db", synchronous=synchronous)) as sides:
            yield sides
        shutil.rmtree(folder)  # at once: the disk should not fill up with what was measured

    return pair


def _postgres_pair(server: Postgres) -> Opener:
    from benchmarks.floor_postgres import PostgresFloor
    from tests.services.postgres import PostgresService

    @asynccontextmanager
    async def pair(*, hop: bool = False) -> AsyncIterator[tuple[Side, Side]]:
        service = PostgresService(server.url)
        with service.fresh_database() as floor_url, service.fresh_database() as package_url:
            async with _opened(PostgresFloor(floor_url, WRITERS), Package(url=package_url)) as sides:
                yield sides

    return pair
