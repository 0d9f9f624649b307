"""Pairs of sides on empty databases: files in one folder for SQLite, two databases of one server elsewhere."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.floor_sqlite import SQLiteFloor
from benchmarks.package import Package
from benchmarks.sides import Side
from benchmarks.workloads import WRITERS, Arena, Opener, Scale
from langswarm_memory import PostgresBackend, SQLiteBackend

SYNCHRONOUS = {"sqlite-normal": "NORMAL", "sqlite-full": "FULL"}
ALIASES = {"sqlite": ("sqlite-normal", "sqlite-full")}
ALL = ("postgres", *SYNCHRONOUS, "redis", "mongodb")
LEFT_OUT = {
    "redis": {"append-hop", "storage"},
    # Another engine stands for MongoDB: what it takes to list many sessions, or on disk, says nothing of MongoDB.
    "mongodb": {"append-hop", "list", "growth", "storage"},
}
"""Workloads that are not measured on a store."""


def scale_of(store: str, scale: Scale) -> Scale:
    """Return how much of everything is measured on a store: fewer operations where each takes milliseconds."""
    if store != "mongodb":
        return scale
    return replace(
        scale,
        rounds=min(scale.rounds, 9),
        appends=scale.appends // 4,
        appends_each=scale.appends_each // 5,
        batches=max(scale.batches // 3, 1),
        reads=scale.reads // 4,
        histories=max(scale.histories // 4, 1),
    )


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
class Server:
    """A running server."""

    url: str
    version: str


@contextmanager
def server_of(store: str) -> Iterator[Server | None]:
    """Use the server that the environment names, or start one of our own; None: the store needs none."""
    if store == "postgres":
        with _postgres() as server:
            yield server
    elif store == "redis":
        with _redis() as server:
            yield server
    elif store == "mongodb":
        with _mongodb() as server:
            yield server
    else:
        yield None


@contextmanager
def _postgres() -> Iterator[Server]:
    """A server that keeps its promises about the disk."""
    from tests.services.postgres import REMEDY, PostgresServer, find_binaries, service_from_environment

    given = service_from_environment()
    if given is not None:
        yield Server(given.url, given.version())
        return
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit(f"no PostgreSQL: {REMEDY}")
    with PostgresServer(binaries, DURABLE, on_disk=True) as server:
        yield Server(server.url, server.service.version())


@contextmanager
def _redis() -> Iterator[Server]:
    from tests.services import recipes
    from tests.services.redis import RedisServer, service_from_environment

    given = service_from_environment()
    if given is not None:
        yield Server(given.url, given.version())
        return
    if remedy := recipes.missing("redis"):
        raise SystemExit(f"no Redis: {remedy}")
    with RedisServer() as server:
        yield Server(server.url, server.version)


@contextmanager
def _mongodb() -> Iterator[Server]:
    from tests.services import recipes
    from tests.services.mongodb import MongoServer, service_from_environment

    given = service_from_environment()
    if given is not None:
        yield Server(given.url, given.version())
        return
    if remedy := recipes.missing("mongodb"):
        raise SystemExit(f"no MongoDB: {remedy}")
    with MongoServer(on_disk=True) as server:
        yield Server(server.url, server.version)


@contextmanager
def arena(store: str, scale: Scale, folder: Path, server: Server | None = None) -> Iterator[Arena]:
    """Return where the workloads of a store run; `folder` says which disk its files lie on."""
    place = Path(tempfile.mkdtemp(prefix=f"{store}-", dir=folder))
    try:
        if store == "postgres":
            assert server is not None
            yield Arena(store, _postgres_pair(server), scale)
        elif store == "redis":
            assert server is not None
            yield Arena(store, _redis_pair(server), scale)
        elif store == "mongodb":
            assert server is not None
            yield Arena(store, _mongodb_pair(server), scale)
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
        path = folder / "package.db"
        package = Package(SQLiteBackend(db_path=str(path), synchronous=synchronous), path=path)
        async with _opened(floor, package) as sides:
            yield sides
        shutil.rmtree(folder)  # at once: the disk should not fill up with what was measured

    return pair


def _postgres_pair(server: Server) -> Opener:
    from benchmarks.floor_postgres import PostgresFloor
    from tests.services.postgres import PostgresService

    @asynccontextmanager
    async def pair(*, hop: bool = False) -> AsyncIterator[tuple[Side, Side]]:
        service = PostgresService(server.url)
        with service.fresh_database() as floor_url, service.fresh_database() as package_url:
            package = Package(PostgresBackend(url=package_url), url=package_url)
            async with _opened(PostgresFloor(floor_url, WRITERS), package) as sides:
                yield sides

    return pair


def _redis_pair(server: Server) -> Opener:
    from redis import Redis

    from benchmarks.floor_redis import RedisFloor
    from langswarm_memory import RedisBackend

    base = server.url.rpartition("/")[0]

    @asynccontextmanager
    async def pair(*, hop: bool = False) -> AsyncIterator[tuple[Side, Side]]:
        with Redis.from_url(server.url) as client:
            client.flushall()
        package = Package(RedisBackend(url=f"{base}/1", max_connections=WRITERS))
        async with _opened(RedisFloor(f"{base}/2", WRITERS), package) as sides:
            yield sides

    return pair


def _mongodb_pair(server: Server) -> Opener:
    from benchmarks.floor_mongodb import MongoFloor
    from langswarm_memory import MongoDBBackend
    from tests.services.mongodb import MongoService

    @asynccontextmanager
    async def pair(*, hop: bool = False) -> AsyncIterator[tuple[Side, Side]]:
        service = MongoService(server.url)
        with service.fresh_database() as floor_url, service.fresh_database() as package_url:
            async with _opened(MongoFloor(floor_url), Package(MongoDBBackend(package_url, text_search=False))) as sides:
                yield sides

    return pair
