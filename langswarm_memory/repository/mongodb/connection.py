"""The driver: clients, collections and what its errors mean. The only module that imports it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ...errors import (
    InvalidInputError,
    LangSwarmMemoryError,
    MemoryBackendError,
    MemoryConfigurationError,
    NotConnectedError,
    StorageFullError,
    StorageReadOnlyError,
)
from ...errors import MissingDependencyError as _Missing
from ...settings import MongoDBSettings
from ..translate import Translating

try:
    from bson.codec_options import CodecOptions
    from bson.errors import BSONError, InvalidDocument
    from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
    from pymongo import (
        ASCENDING,
        DESCENDING,
        IndexModel,
        ReadPreference,
        ReturnDocument,
        UpdateMany,
        UpdateOne,
        errors,
    )
    from pymongo.uri_parser import parse_uri
except ModuleNotFoundError as exc:
    raise _Missing("motor", extra="mongodb") from exc

__all__ = [
    "ASCENDING",
    "DESCENDING",
    "Collections",
    "Connection",
    "IndexModel",
    "Refused",
    "ReturnDocument",
    "Target",
    "UpdateMany",
    "UpdateOne",
    "errors",
    "is_settled",
    "target",
    "why_refused",
]

Client = AsyncIOMotorClient[dict[str, Any]]
Database = AsyncIOMotorDatabase[dict[str, Any]]

NAME = "mongodb"
DEFAULT_DATABASE = "langswarm_memory"
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)  # whatever the caller's client says

DUPLICATE_KEY = 11000
# Met another write, and may be tried again at once: LockTimeout, WriteConflict, and how DocumentDB says that PostgreSQL
# found a deadlock (40P01, packed six bits a character).
CLASHES = {24, 112, 16908292}
TOO_LARGE = {10334, 17419, 17420}
FULL = {14031}
REFUSED = {11, 13, 18, 8000}  # UserNotFound, Unauthorized, AuthenticationFailed, Atlas' own
READ_ONLY = {10107, 13435}  # NotWritablePrimary, NotPrimaryNoSecondaryOk
# MaxTimeMSExpired, NetworkTimeout, LockBusy, ShutdownInProgress, NoSuchTransaction, TransactionTooOld,
# NetworkInterfaceExceededTimeLimit, InterruptedAtShutdown, Interrupted, InterruptedDueToReplStateChange.
PASSING = CLASHES | {50, 89, 46, 91, 251, 225, 202, 11600, 11601, 11602}


class Target(NamedTuple):
    """Which server and which database: what the settings say."""

    connect: Callable[[], Client]
    """Makes a client: a client belongs to one event loop, and stays closed once it was."""
    database: str
    owned: bool
    """Whether the client is ours to close."""
    address: str
    """The URI without user, password and options. Empty for a client of the caller's."""


def target(settings: MongoDBSettings) -> Target:
    """Read settings; nothing is connected.

    Raises:
        MemoryConfigurationError: The URI cannot be read, or it asks for writes that are not acknowledged.
    """
    if settings.client is not None:
        client = settings.client
        if not isinstance(client, AsyncIOMotorClient):
            raise MemoryConfigurationError(
                f"client must be a motor.motor_asyncio.AsyncIOMotorClient, not {type(client).__name__}", NAME
            )
        _require_acknowledged(client.write_concern.acknowledged)
        named_database: str = client.get_default_database(DEFAULT_DATABASE).name
        return Target(lambda: client, settings.database or named_database, False, "")
    parts = urlsplit(settings.uri)
    hosts = parts.netloc.rpartition("@")[2]
    named = {key.lower(): value for key, value in parse_qsl(parts.query)}
    if not hosts:
        raise MemoryConfigurationError("uri names no host", NAME)
    if parts.scheme == "mongodb":  # to read a mongodb+srv:// is to ask the name server
        try:
            parse_uri(settings.uri)
        except (errors.PyMongoError, ValueError):
            # Not chained: the driver's text quotes what may be a password.
            raise MemoryConfigurationError("uri is not a MongoDB URI, or has an unknown option", NAME) from None
    _require_acknowledged(named.get("w") != "0")
    milliseconds = max(1, int(settings.timeout * 1_000))
    options: dict[str, Any] = {
        "maxPoolSize": settings.max_pool_size,
        "serverSelectionTimeoutMS": milliseconds,
        "connectTimeoutMS": milliseconds,
        "socketTimeoutMS": milliseconds,
        "waitQueueTimeoutMS": milliseconds,
    }
    # What the URI says wins: it is the more particular of the two.
    options = {key: value for key, value in options.items() if key.lower() not in named}
    return Target(
        lambda: AsyncIOMotorClient(settings.uri, **options),
        settings.database or unquote(parts.path.lstrip("/")) or DEFAULT_DATABASE,
        True,
        f"{parts.scheme}://{hosts}",
    )


def _require_acknowledged(acknowledged: bool) -> None:
    if not acknowledged:
        raise MemoryConfigurationError("w=0 loses messages without a word; use w=1 or w=majority", NAME)


class Collections(NamedTuple):
    """The collections, on a client of the running event loop."""

    sessions: Any
    messages: Any
    summaries: Any


class Connection(Translating):
    """A client, replaced when the store is opened again or used from another event loop.

    Args:
        where: The server and the database.
        prefix: Begins the names of the collections.
    """

    name = NAME
    driver_errors: ClassVar[tuple[type[BaseException], ...]] = (errors.PyMongoError, BSONError)

    def __init__(self, where: Target, prefix: str) -> None:
        self._where, self._prefix = where, prefix
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._collections: Collections | None = None

    def connect(self) -> None:
        """Make a client, unless there is one for this event loop. No I/O."""
        loop = asyncio.get_running_loop()
        if self._client is not None and (self._loop is loop or not self._where.owned):
            return
        self._closing()  # of a loop that has ended; nobody waits for it
        with self.io("open"):
            self._client, self._loop = self._where.connect(), loop
        self._collections = Collections(
            *(self.database[self.collection_name(name)] for name in ("sessions", "messages", "summaries"))
        )

    async def disconnected(self) -> None:
        """Close the client, if it is ours, and forget it."""
        closing = self._closing()
        if closing is not None:
            await closing

    def _closing(self) -> asyncio.Future[None] | None:
        client, self._client, self._loop, self._collections = self._client, None, None, None
        if client is None or not self._where.owned:
            return None
        # In a thread: the driver says good-bye to the server, and waits for its answer.
        return asyncio.get_running_loop().run_in_executor(None, client.close)

    @property
    def client(self) -> Client:
        """The client in use."""
        if self._client is None:
            raise NotConnectedError("the store is not open", suggestion="call open() first")
        return self._client

    @property
    def database(self) -> Database:
        """The database in use."""
        return self.client.get_database(self._where.database, codec_options=CODEC)

    @property
    def collections(self) -> Collections:
        """The collections, on a client of the running event loop."""
        if self._loop is not asyncio.get_running_loop() and self._client is not None:
            self.connect()
        if self._collections is None:
            raise NotConnectedError("the store is not open", suggestion="call open() first")
        return self._collections

    def collection_name(self, name: str) -> str:
        """Return the full name of a collection, for instance of ``sessions``."""
        return f"{self._prefix}{name}"

    async def has_transactions(self) -> bool:
        """Ask the server: members of a replica set and routers of a sharded cluster have them."""
        with self.io("open"):
            hello = await self.client.admin.command("hello")
        return "setName" in hello or hello.get("msg") == "isdbgrid"

    def reads_own_writes(self) -> bool:
        """Tell whether reads go to where the writes go."""
        return self.client.read_preference == ReadPreference.PRIMARY

    def address(self) -> dict[str, Any]:
        """Return the address, without user, password and options, and the database."""
        address = self._where.address
        if not address:
            address = "mongodb://" + ",".join(f"{host}:{port}" for host, port in sorted(self.client.delegate.nodes))
        return {"uri": address, "database": self._where.database}

    def translate(self, operation: str, error: BaseException) -> LangSwarmMemoryError:
        """Return what an error of the driver's means, by its class and its code."""
        codes = _codes(error)
        if codes & READ_ONLY and self._direct():
            return StorageReadOnlyError(operation, NAME, error, suggestion="connect to the primary")
        if isinstance(error, InvalidDocument | BSONError) or codes & TOO_LARGE:
            return InvalidInputError("a record cannot be a document of MongoDB's", suggestion="keep it below 16 MB")
        if codes & FULL:
            return StorageFullError(operation, NAME, error, suggestion="free disk space and repeat the call")
        if codes & REFUSED or isinstance(error, errors.ConfigurationError):
            return self.refused(operation, error, "check user, password, database and the user's roles")
        if (
            isinstance(error, errors.ConnectionFailure | errors.ExecutionTimeout | errors.WTimeoutError)
            or codes & PASSING
            or _labelled(error, "TransientTransactionError", "RetryableWriteError", "UnknownTransactionCommitResult")
        ):
            return self.unavailable(operation, error)
        return MemoryBackendError(NAME, operation, error)

    def _direct(self) -> bool:
        # A replica set elects a primary, so there waiting helps; one server that takes no writes goes on like that.
        return self._client is not None and self._client.delegate.topology_description.topology_type_name == "Single"


def _labelled(error: BaseException, *labels: str) -> bool:
    return isinstance(error, errors.PyMongoError) and any(error.has_error_label(label) for label in labels)


def _codes(error: BaseException) -> set[int]:
    details: Mapping[str, Any] = getattr(error, "details", None) or {}
    if not isinstance(details, Mapping):
        details = {}
    failures = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
    codes = {failure.get("code") for failure in failures} | {details.get("code"), getattr(error, "code", None)}
    return {code for code in codes if isinstance(code, int)}


class Refused(NamedTuple):
    """Places, in a bulk write, of what was not stored."""

    taken: set[int]
    """Their key is taken."""
    clashed: set[int]
    """They met another write, and may be tried again at once."""


def why_refused(error: errors.BulkWriteError) -> Refused | None:
    """Return what a bulk write refused; None if anything else is wrong with it."""
    details: Mapping[str, Any] = error.details or {}
    places: dict[int, int] = {failure["index"]: failure.get("code") for failure in details.get("writeErrors", ())}
    if not places or details.get("writeConcernErrors") or set(places.values()) - CLASHES - {DUPLICATE_KEY}:
        return None
    taken = {place for place, code in places.items() if code == DUPLICATE_KEY}
    return Refused(taken, set(places) - taken)


def is_settled(error: BaseException | None) -> bool:
    """Tell whether a write that failed has been answered for good: nothing more of it can arrive at the server."""
    if isinstance(error, errors.BulkWriteError):
        return not (error.details or {}).get("writeConcernErrors")
    waited = errors.ExecutionTimeout | errors.WriteConcernError
    return isinstance(error, errors.OperationFailure) and not isinstance(error, waited)
