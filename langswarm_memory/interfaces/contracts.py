"""The abstract interfaces that backends, sessions, managers, providers and migrators fulfil."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..errors import UnsupportedOperationError
from .enums import MemoryBackendType, SessionStatus
from .message import Message
from .records import ConversationSummary, MemoryUsage, SessionMetadata

MemoryConfig = dict[str, Any]
MemoryEvent = dict[str, Any]
SearchQuery = str | dict[str, Any]
SearchResult = dict[str, Any]
BatchOperation = dict[str, Any]
BatchResult = dict[str, Any]
SerializationFormat = str
MessageList = list[Message]
SessionList = list[SessionMetadata]
MemoryCallback = Callable[[MemoryEvent], None]
ProgressCallback = Callable[[int, int, str], None]
"""Called with (current, total, status)."""


class IMemorySession(ABC):
    """One conversation."""

    @property
    @abstractmethod
    def session_id(self) -> str:
        """Id of the session."""

    @property
    @abstractmethod
    def metadata(self) -> SessionMetadata:
        """Metadata as this handle last saw it."""

    @abstractmethod
    async def add_message(self, message: Message) -> bool:
        """Append a message. Returns True, or raises."""

    @abstractmethod
    async def get_messages(
        self, limit: int | None = None, include_system: bool = True, since: datetime | None = None
    ) -> list[Message]:
        """Return messages, oldest first."""

    @abstractmethod
    async def get_recent_context(self, max_tokens: int | None = None) -> list[Message]:
        """Return the newest messages that fit a token budget, oldest first."""

    @abstractmethod
    async def clear_messages(self, keep_system: bool = True) -> bool:
        """Delete the messages; system messages only when asked. Returns True, or raises."""

    @abstractmethod
    async def get_summary(self) -> ConversationSummary | None:
        """Return the newest summary, or None."""

    @abstractmethod
    async def create_summary(self, force: bool = False) -> ConversationSummary | None:
        """Summarise what no summary covers yet. None: there was not enough."""

    @abstractmethod
    async def update_metadata(self, **kwargs: Any) -> bool:
        """Change metadata fields. Returns True, or raises."""

    @abstractmethod
    async def close(self) -> bool:
        """Mark the session as completed. Returns True, or raises."""


class IMemoryBackend(ABC):
    """One store of sessions."""

    @property
    @abstractmethod
    def backend_type(self) -> MemoryBackendType:
        """Kind of store."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether the store is open."""

    @abstractmethod
    async def connect(self) -> bool:
        """Open the store. Returns True, or raises."""

    @abstractmethod
    async def disconnect(self) -> bool:
        """Close the store. Returns True, or raises."""

    @abstractmethod
    async def create_session(self, metadata: SessionMetadata) -> IMemorySession:
        """Store a new session."""

    @abstractmethod
    async def get_session(self, session_id: str) -> IMemorySession | None:
        """Return a session, or None."""

    @abstractmethod
    async def list_sessions(
        self,
        user_id: str | None = None,
        status: SessionStatus | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[SessionMetadata]:
        """Return a page of sessions, newest first."""

    @abstractmethod
    async def delete_session(self, session_id: str) -> bool:
        """Delete a session with all its data. False: there was none."""

    @abstractmethod
    async def cleanup_expired_sessions(self) -> int:
        """Delete expired sessions and return how many there were."""

    @abstractmethod
    async def get_usage_stats(self) -> MemoryUsage:
        """Return how much is stored."""

    @abstractmethod
    async def health_check(self) -> dict[str, Any]:
        """Return the state of the store; never raises for a store that is down."""


class IMemoryManager(ABC):
    """The entry point of an application: sessions over one backend."""

    @abstractmethod
    async def create_session(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        **kwargs: Any,
    ) -> IMemorySession:
        """Create a session."""

    @abstractmethod
    async def get_session(self, session_id: str) -> IMemorySession | None:
        """Return a session, or None."""

    @abstractmethod
    async def get_or_create_session(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        **kwargs: Any,
    ) -> IMemorySession:
        """Return the session, made now if there is none."""

    @abstractmethod
    async def delete_session(self, session_id: str) -> bool:
        """Delete a session. False: there was none."""

    @abstractmethod
    async def list_user_sessions(
        self, user_id: str, status: SessionStatus | None = None, limit: int = 50
    ) -> list[SessionMetadata]:
        """Return a user's sessions, newest first."""

    @abstractmethod
    async def cleanup_expired_sessions(self) -> int:
        """Delete expired sessions and return how many there were."""

    @abstractmethod
    async def get_system_stats(self) -> dict[str, Any]:
        """Return usage and health."""


class IMemoryProvider(ABC):
    """Analysis of conversations by a model or a service."""

    @property
    @abstractmethod
    def provider_name(self) -> str:
        """Name of the provider."""

    @property
    @abstractmethod
    def capabilities(self) -> list[str]:
        """What it can do."""

    @abstractmethod
    async def analyze_conversation(self, messages: list[Message]) -> dict[str, Any]:
        """Return an analysis of the messages."""

    @abstractmethod
    async def suggest_actions(self, session: IMemorySession) -> list[dict[str, Any]]:
        """Return actions that the conversation suggests."""

    @abstractmethod
    async def extract_entities(self, messages: list[Message]) -> list[dict[str, Any]]:
        """Return the entities the messages name."""

    @abstractmethod
    async def get_insights(self, session: IMemorySession) -> dict[str, Any]:
        """Return insights into a session."""


class IMemoryMigrator(ABC):  # noqa: B024 - the documents derive from it and define only some of its methods
    """Moving data between systems. A method that a subclass leaves out raises ``UnsupportedOperationError``."""

    async def migrate_from_v1(
        self,
        source_config: dict[str, Any],
        target_backend: IMemoryBackend,
        progress_callback: Callable[..., None] | None = None,
    ) -> dict[str, Any]:
        """Copy a V1 store into the target."""
        raise UnsupportedOperationError(type(self).__name__, "migrate_from_v1")

    async def validate_migration(self, source_config: dict[str, Any], target_backend: IMemoryBackend) -> dict[str, Any]:
        """Report what a migration would do, without doing it."""
        raise UnsupportedOperationError(type(self).__name__, "validate_migration")

    async def backup_data(self, backend: IMemoryBackend, backup_path: str) -> bool:
        """Write everything to a backup file."""
        raise UnsupportedOperationError(type(self).__name__, "backup_data")

    async def restore_data(self, backend: IMemoryBackend, backup_path: str) -> bool:
        """Read a backup file back."""
        raise UnsupportedOperationError(type(self).__name__, "restore_data")
