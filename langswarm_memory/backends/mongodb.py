"""Sessions in MongoDB."""

from __future__ import annotations

from typing import Any

from ..backend import BaseMemoryBackend
from ..interfaces.enums import MemoryBackendType
from ..repository.mongodb.repository import MongoDBRepository
from ..session import BaseMemorySession
from ..settings import MongoDBSettings


class MongoDBSession(BaseMemorySession):
    """A session kept in MongoDB. Behaviour: BaseMemorySession."""

    __slots__ = ()


class MongoDBBackend(BaseMemoryBackend):
    """Sessions in MongoDB. Options: see MongoDBSettings."""

    settings_class, session_class = MongoDBSettings, MongoDBSession
    kind = MemoryBackendType.MONGODB
    repository: MongoDBRepository

    def _build(self, settings: MongoDBSettings) -> MongoDBRepository:
        return MongoDBRepository(settings)

    def get_db(self) -> Any:
        """Return the ``AsyncIOMotorDatabase`` in use, for queries of your own.

        Raises:
            NotConnectedError: The backend is not connected.
        """
        self.require_connected()
        return self.repository.database

    def get_collection_name(self, name: str) -> str:
        """Return the full name of a collection: the prefix and ``sessions``, ``messages`` or ``summaries``."""
        return self.repository.collection_name(name)
