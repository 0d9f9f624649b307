"""Backends on databases of their own, with and without transactions, and what the driver sends for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import MongoClient, monitoring

from langswarm_memory.backends.mongodb import MongoDBBackend
from langswarm_memory.repository.mongodb.repository import SHORTEST_LEASE_SECONDS, MongoDBRepository
from tests.services.mongodb import MongoService

DATABASE = "stores"  # of all tests, one after the other: to make one takes longer than most of them
MODES = ("mongodb", "mongodb-transactions")

Database = AsyncIOMotorDatabase[dict[str, Any]]


class Commands(monitoring.CommandListener):
    """The commands a client sends, in order; and what to do when one is about to be sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.before: dict[str, Callable[[], None]] = {}
        self.steps: dict[int, Callable[[], None]] = {}
        """By place among the commands sent, from 0."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.sent.append({**event.command, "$name": event.command_name})
        for hook in (self.before.pop(event.command_name, None), self.steps.pop(len(self.sent) - 1, None)):
            if hook is not None:
                hook()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass

    @property
    def names(self) -> list[str]:
        """The names of the commands sent."""
        return [command["$name"] for command in self.sent]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """One of MODES; asked for by tests that hold in both."""
    name: str = request.param
    return name


@pytest.fixture
def options(mode: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of a backend in this mode, on a database that holds no documents."""
    service: MongoService = request.getfixturevalue(f"{mode.replace('-', '_')}_server")
    uri = service.url_for(DATABASE)
    with MongoClient[dict[str, Any]](uri) as client:
        for name in ("sessions", "messages", "summaries"):
            client.get_default_database()[name].delete_many({})
    return {"uri": uri, "transactions": mode == "mongodb-transactions"}


@pytest.fixture
async def backend(options: dict[str, Any]) -> AsyncIterator[MongoDBBackend]:
    async with MongoDBBackend(options) as backend:
        yield backend


@pytest.fixture
def repository(backend: MongoDBBackend) -> MongoDBRepository:
    return backend.repository


@pytest.fixture
async def raw(options: dict[str, Any]) -> AsyncIterator[Database]:
    """The database, by a client of the test's own."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(options["uri"], tz_aware=True)
    yield client.get_default_database()
    client.close()


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
async def watched(options: dict[str, Any], commands: Commands) -> AsyncIterator[MongoDBRepository]:
    """A repository whose commands are seen."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(options["uri"], event_listeners=[commands])
    async with MongoDBBackend(client=client, transactions=options["transactions"]) as backend:
        commands.sent.clear()
        yield backend.repository
    client.close()


async def ended(client: AsyncIOMotorClient[dict[str, Any]]) -> None:
    """Close a client behind a proxy, and wait for the threads in which its driver connects to a server anew."""
    await asyncio.to_thread(client.close)  # it says good-bye to the server, and the proxy has to pass that on
    for thread in threading.enumerate():
        if thread.name.startswith("pymongo_server"):
            await asyncio.to_thread(thread.join, 1)


async def past_the_lease(raw: Database) -> None:
    """Make the mark of every append, whether finished or torn, older than the lease."""
    old = datetime.now(UTC) - timedelta(seconds=SHORTEST_LEASE_SECONDS + 1)
    await raw.sessions.update_many({}, {"$set": {"writing.$[].at": old}})
