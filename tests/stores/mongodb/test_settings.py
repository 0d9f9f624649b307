"""Every option does what it says, and a wrong one is refused before anything is connected."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import ReadPreference

from langswarm_memory.backends.mongodb import MongoDBBackend, MongoDBSession
from langswarm_memory.errors import MemoryConfigurationError, NotConnectedError, UnsupportedOperationError
from langswarm_memory.interfaces.records import SessionMetadata
from langswarm_memory.repository.mongodb.connection import Target, target
from langswarm_memory.settings import MongoDBSettings
from tests.services.mongodb import MongoService
from tests.stores.mongodb.conftest import DATABASE, Database

pytestmark = pytest.mark.store("mongodb")

URI = "mongodb://ada:pa%2Fss@localhost:1/"


async def driver_options(**options: Any) -> Any:
    """Return the options of a client that was made and has connected to nothing."""
    where = target(MongoDBSettings(**options))
    client = where.connect()
    client.close()
    return client.delegate.options


@pytest.mark.parametrize(
    "options",
    [
        {"uri": "redis://localhost"},
        {"uri": "mongodb://"},
        {"uri": "mongodb://localhost:port"},
        {"uri": "mongodb://localhost/?noSuchOption=1"},
        {"uri": "mongodb://ada:se/cret@localhost"},
        {"uri": "mongodb://localhost/?w=0"},
        {"uri": 7},
        {"database": "a b"},
        {"database": ""},
        {"collection_prefix": "a$"},
        {"collection_prefix": "system."},
        {"transactions": "yes"},
        {"text_search": "auto"},
        {"max_pool_size": 0},
        {"timeout": 0},
        {"client": "a client"},
        {"collection": "c"},
    ],
    ids=str,
)
def test_wrong_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(MemoryConfigurationError) as caught:
        MongoDBBackend(**options)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("options", "database"),
    [
        ({}, "langswarm_memory"),
        ({"uri": URI}, "langswarm_memory"),
        ({"uri": f"{URI}mine"}, "mine"),
        ({"uri": f"{URI}mine?w=1"}, "mine"),
        ({"uri": f"{URI}mine", "database": "yours"}, "yours"),
        ({"uri": "mongodb+srv://ada:secret@cluster.example.net/mine"}, "mine"),
    ],
    ids=str,
)
def test_database_is_the_option_or_that_of_the_uri(options: dict[str, Any], database: str) -> None:
    assert target(MongoDBSettings(**options)).database == database


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        (f"{URI}mine?appname=secret", "mongodb://localhost:1"),
        ("mongodb://a:secret@h1:1,h2:2/?replicaSet=r", "mongodb://h1:1,h2:2"),
        ("mongodb+srv://ada:secret@cluster.example.net/mine?w=1", "mongodb+srv://cluster.example.net"),
    ],
)
def test_address_holds_no_secret(uri: str, address: str) -> None:
    assert target(MongoDBSettings(uri=uri)).address == address


def test_settings_do_not_print_the_uri() -> None:
    assert "pa%2Fss" not in repr(MongoDBSettings(uri=URI))


def test_text_is_the_uri() -> None:
    assert MongoDBBackend("mongodb://localhost:1/mine").settings.uri == "mongodb://localhost:1/mine"


async def test_timeout_bounds_every_wait() -> None:
    options = await driver_options(timeout=1.5)
    pool = options.pool_options
    assert options.server_selection_timeout == 1.5
    assert (pool.connect_timeout, pool.socket_timeout, pool.wait_queue_timeout) == (1.5, 1.5, 1.5)


async def test_option_of_the_uri_wins() -> None:
    options = await driver_options(uri=f"{URI}?socketTimeoutMS=7000&maxPoolSize=3", timeout=1, max_pool_size=9)
    assert (options.pool_options.socket_timeout, options.pool_options.max_pool_size) == (7.0, 3)


async def test_pool_is_as_large_as_asked() -> None:
    assert (await driver_options(max_pool_size=9)).pool_options.max_pool_size == 9


async def test_driver_repeats_reads_and_writes() -> None:
    options = await driver_options()
    assert (options.retry_reads, options.retry_writes) == (True, True)


def test_features_before_opening_promise_the_least() -> None:
    features = MongoDBBackend(transactions=True).features
    promised = (features.atomic_batches, features.gapless_seq, features.commit_ordered)
    assert promised == (False, False, False)
    assert (features.read_your_writes, features.cancel_safe) == (False, False)


async def test_features_say_whether_there_are_transactions(backend: MongoDBBackend, mode: str) -> None:
    features, has = backend.features, mode == "mongodb-transactions"
    assert (features.atomic_batches, features.gapless_seq, features.commit_ordered) == (has, has, has)
    assert (features.read_your_writes, features.persistent, features.cancel_safe) == (True, True, False)


async def test_transactions_are_used_where_the_server_has_them(options: dict[str, Any], mode: str) -> None:
    async with MongoDBBackend(uri=options["uri"]) as backend:
        assert backend.features.atomic_batches == (mode == "mongodb-transactions")


async def test_transactions_can_be_turned_off(mongodb_transactions_url: str) -> None:
    async with MongoDBBackend(mongodb_transactions_url, transactions=False) as backend:
        assert not backend.features.atomic_batches


async def test_transactions_that_the_server_has_not_are_refused(mongodb_server: MongoService) -> None:
    if mongodb_server.has_transactions():
        pytest.skip("this server has them")
    backend = MongoDBBackend(mongodb_server.url, database=DATABASE, transactions=True)
    with pytest.raises(UnsupportedOperationError, match="replica set"):
        await backend.connect()


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_prefix_begins_the_names_of_the_collections(options: dict[str, Any], raw: Database) -> None:
    async with MongoDBBackend(options, collection_prefix="my.") as backend:
        await backend.create_session(SessionMetadata("s"))
        assert backend.get_collection_name("messages") == "my.messages"
        assert await raw["my.sessions"].distinct("_id") == ["s"]
        await backend.delete_session("s")
    assert await raw.sessions.count_documents({}) == 0


async def test_stores_of_different_prefixes_do_not_meet(mongodb_url: str) -> None:
    async with (
        MongoDBBackend(mongodb_url, collection_prefix="a_") as one,
        MongoDBBackend(mongodb_url, prefix="b_") as two,
    ):
        await one.create_session(SessionMetadata("s"))
        assert await two.get_session("s") is None


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_client_that_is_given_stays_open(options: dict[str, Any]) -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(options["uri"])
    async with MongoDBBackend(client=client) as backend:
        assert backend.get_db().name == DATABASE
    assert (await client.admin.command("ping"))["ok"] == 1
    client.close()


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_client_that_reads_from_secondaries_may_not_see_its_writes(options: dict[str, Any]) -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
        options["uri"], read_preference=ReadPreference.SECONDARY_PREFERRED
    )
    async with MongoDBBackend(client=client) as backend:
        assert not backend.features.read_your_writes
    client.close()


async def test_client_that_is_not_told_of_failures_is_refused() -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(w=0)
    with pytest.raises(MemoryConfigurationError, match="w=0"):
        MongoDBBackend(client=client)
    client.close()


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_database_is_handed_out_while_connected(backend: MongoDBBackend) -> None:
    session = await backend.create_session(SessionMetadata("s"))
    assert isinstance(backend.get_db(), AsyncIOMotorDatabase)
    assert isinstance(session, MongoDBSession)
    assert await backend.get_db()[backend.get_collection_name("sessions")].count_documents({}) == 1
    await backend.disconnect()
    with pytest.raises(NotConnectedError):
        backend.get_db()


async def test_health_names_the_server_and_the_database(backend: MongoDBBackend, mode: str) -> None:
    await backend.create_session(SessionMetadata("s"))
    health = await backend.health_check()
    assert (health["status"], health["session_count"]) == ("healthy", 1)
    assert health["uri"].startswith("mongodb://127.0.0.1:")
    assert (health["database"], health["transactions"]) == (DATABASE, mode == "mongodb-transactions")


async def test_size_is_that_of_the_collections_on_disk(backend: MongoDBBackend) -> None:
    assert (await backend.get_usage_stats()).storage_size_bytes > 10_000


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_client_of_the_caller_is_described_by_its_hosts(options: dict[str, Any]) -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(options["uri"])
    async with MongoDBBackend(client=client) as backend:
        described = await backend.repository.describe()
    assert described["uri"] == options["uri"].partition(f"/{DATABASE}")[0]
    client.close()


def test_target_of_the_default_settings_is_this_machine() -> None:
    where = target(MongoDBSettings())
    assert isinstance(where, Target)
    assert (where.address, where.database, where.owned) == ("mongodb://localhost:27017", "langswarm_memory", True)


WITHOUT_MOTOR = """
import sys
sys.modules["motor"] = None
try:
    import langswarm_memory.backends.mongodb
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_missing_driver_is_told_with_the_command_that_brings_it() -> None:
    told = subprocess.run([sys.executable, "-c", WITHOUT_MOTOR], capture_output=True, text=True, check=True)
    assert "MissingDependencyError" in told.stdout
    assert "pip install 'langswarm-memory[mongodb]'" in told.stdout
