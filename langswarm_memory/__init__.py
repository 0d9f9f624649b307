"""The memory that LLM agents keep: sessions, messages and summaries, on SQLite, PostgreSQL or in memory.

Start with :func:`create_memory_manager`. Importing this package loads no driver and no SQLAlchemy: every name below
is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import attach
from ._version import __version__

if TYPE_CHECKING:
    from .backend import BaseMemoryBackend as BaseMemoryBackend
    from .backends import POSTGRES_AVAILABLE as POSTGRES_AVAILABLE
    from .backends import InMemoryBackend as InMemoryBackend
    from .backends import InMemorySession as InMemorySession
    from .backends import PostgresBackend as PostgresBackend
    from .backends import PostgresSession as PostgresSession
    from .backends import SQLiteBackend as SQLiteBackend
    from .backends import SQLiteSession as SQLiteSession
    from .context import MemorySessionContext as MemorySessionContext
    from .context import create_session as create_session
    from .context import get_global_memory_manager as get_global_memory_manager
    from .context import get_memory_manager as get_memory_manager
    from .context import get_session as get_session
    from .context import initialize_memory as initialize_memory
    from .context import set_memory_manager as set_memory_manager
    from .context import setup_global_memory as setup_global_memory
    from .context import shutdown_global_memory as shutdown_global_memory
    from .context import teardown_global_memory as teardown_global_memory
    from .errors import ConflictError as ConflictError
    from .errors import CorruptRecordError as CorruptRecordError
    from .errors import EmbeddingError as EmbeddingError
    from .errors import InvalidInputError as InvalidInputError
    from .errors import LangSwarmMemoryError as LangSwarmMemoryError
    from .errors import MemoryBackendError as MemoryBackendError
    from .errors import MemoryConfigurationError as MemoryConfigurationError
    from .errors import MemoryConnectionError as MemoryConnectionError
    from .errors import MemoryStorageError as MemoryStorageError
    from .errors import MissingDependencyError as MissingDependencyError
    from .errors import NotConnectedError as NotConnectedError
    from .errors import QueryError as QueryError
    from .errors import SchemaVersionError as SchemaVersionError
    from .errors import SessionExistsError as SessionExistsError
    from .errors import SessionExpiredError as SessionExpiredError
    from .errors import SessionNotFoundError as SessionNotFoundError
    from .errors import SessionOwnershipError as SessionOwnershipError
    from .errors import StorageFullError as StorageFullError
    from .errors import StorageReadOnlyError as StorageReadOnlyError
    from .errors import StorageUnavailableError as StorageUnavailableError
    from .errors import UnsupportedOperationError as UnsupportedOperationError
    from .errors import VectorSearchError as VectorSearchError
    from .factory import MemoryConfiguration as MemoryConfiguration
    from .factory import MemoryFactory as MemoryFactory
    from .factory import create_memory_backend as create_memory_backend
    from .factory import create_memory_manager as create_memory_manager
    from .formats import create_anthropic_message as create_anthropic_message
    from .formats import create_openai_message as create_openai_message
    from .formats import messages_to_anthropic_format as messages_to_anthropic_format
    from .formats import messages_to_openai_format as messages_to_openai_format
    from .importing import ImportReport as ImportReport
    from .importing import import_conversations as import_conversations
    from .interfaces import BatchOperation as BatchOperation
    from .interfaces import BatchResult as BatchResult
    from .interfaces import Content as Content
    from .interfaces import ConversationSummary as ConversationSummary
    from .interfaces import IMemoryBackend as IMemoryBackend
    from .interfaces import IMemoryManager as IMemoryManager
    from .interfaces import IMemoryMigrator as IMemoryMigrator
    from .interfaces import IMemoryProvider as IMemoryProvider
    from .interfaces import IMemorySession as IMemorySession
    from .interfaces import MemoryBackendType as MemoryBackendType
    from .interfaces import MemoryCallback as MemoryCallback
    from .interfaces import MemoryConfig as MemoryConfig
    from .interfaces import MemoryEvent as MemoryEvent
    from .interfaces import MemoryUsage as MemoryUsage
    from .interfaces import Message as Message
    from .interfaces import MessageList as MessageList
    from .interfaces import MessageRole as MessageRole
    from .interfaces import ProgressCallback as ProgressCallback
    from .interfaces import SearchQuery as SearchQuery
    from .interfaces import SearchResult as SearchResult
    from .interfaces import SerializationFormat as SerializationFormat
    from .interfaces import SessionList as SessionList
    from .interfaces import SessionMetadata as SessionMetadata
    from .interfaces import SessionStatus as SessionStatus
    from .interfaces import SummaryType as SummaryType
    from .interfaces import Timestamp as Timestamp
    from .manager import MemoryManager as MemoryManager
    from .session import BaseMemorySession as BaseMemorySession
    from .summaries import Summarizer as Summarizer
    from .tokens import TokenCounter as TokenCounter
    from .tokens import estimate_tokens as estimate_tokens

__author__ = "The langswarm_memory authors"
__license__ = "Apache-2.0"

_MODULES = {
    "BaseMemoryBackend": "backend",
    "BaseMemorySession": "session",
    "BatchOperation": "interfaces",
    "BatchResult": "interfaces",
    "ConflictError": "errors",
    "Content": "interfaces",
    "ConversationSummary": "interfaces",
    "CorruptRecordError": "errors",
    "EmbeddingError": "errors",
    "IMemoryBackend": "interfaces",
    "IMemoryManager": "interfaces",
    "IMemoryMigrator": "interfaces",
    "IMemoryProvider": "interfaces",
    "IMemorySession": "interfaces",
    "ImportReport": "importing",
    "InMemoryBackend": "backends",
    "InMemorySession": "backends",
    "InvalidInputError": "errors",
    "LangSwarmMemoryError": "errors",
    "MemoryBackendError": "errors",
    "MemoryBackendType": "interfaces",
    "MemoryCallback": "interfaces",
    "MemoryConfig": "interfaces",
    "MemoryConfiguration": "factory",
    "MemoryConfigurationError": "errors",
    "MemoryConnectionError": "errors",
    "MemoryEvent": "interfaces",
    "MemoryFactory": "factory",
    "MemoryManager": "manager",
    "MemorySessionContext": "context",
    "MemoryStorageError": "errors",
    "MemoryUsage": "interfaces",
    "Message": "interfaces",
    "MessageList": "interfaces",
    "MessageRole": "interfaces",
    "MissingDependencyError": "errors",
    "NotConnectedError": "errors",
    "POSTGRES_AVAILABLE": "backends",
    "PostgresBackend": "backends",
    "PostgresSession": "backends",
    "ProgressCallback": "interfaces",
    "QueryError": "errors",
    "SQLiteBackend": "backends",
    "SQLiteSession": "backends",
    "SchemaVersionError": "errors",
    "SearchQuery": "interfaces",
    "SearchResult": "interfaces",
    "SerializationFormat": "interfaces",
    "SessionExistsError": "errors",
    "SessionExpiredError": "errors",
    "SessionList": "interfaces",
    "SessionMetadata": "interfaces",
    "SessionNotFoundError": "errors",
    "SessionOwnershipError": "errors",
    "SessionStatus": "interfaces",
    "StorageFullError": "errors",
    "StorageReadOnlyError": "errors",
    "StorageUnavailableError": "errors",
    "Summarizer": "summaries",
    "SummaryType": "interfaces",
    "Timestamp": "interfaces",
    "TokenCounter": "tokens",
    "UnsupportedOperationError": "errors",
    "VectorSearchError": "errors",
    "create_anthropic_message": "formats",
    "create_memory_backend": "factory",
    "create_memory_manager": "factory",
    "create_openai_message": "formats",
    "create_session": "context",
    "estimate_tokens": "tokens",
    "get_global_memory_manager": "context",
    "get_memory_manager": "context",
    "get_session": "context",
    "import_conversations": "importing",
    "initialize_memory": "context",
    "messages_to_anthropic_format": "formats",
    "messages_to_openai_format": "formats",
    "set_memory_manager": "context",
    "setup_global_memory": "context",
    "shutdown_global_memory": "context",
    "teardown_global_memory": "context",
}

__all__ = [  # noqa: RUF022 - the metadata first, then the names in the order of _MODULES
    "__author__",
    "__license__",
    "__version__",
    "BaseMemoryBackend",
    "BaseMemorySession",
    "BatchOperation",
    "BatchResult",
    "ConflictError",
    "Content",
    "ConversationSummary",
    "CorruptRecordError",
    "EmbeddingError",
    "IMemoryBackend",
    "IMemoryManager",
    "IMemoryMigrator",
    "IMemoryProvider",
    "IMemorySession",
    "ImportReport",
    "InMemoryBackend",
    "InMemorySession",
    "InvalidInputError",
    "LangSwarmMemoryError",
    "MemoryBackendError",
    "MemoryBackendType",
    "MemoryCallback",
    "MemoryConfig",
    "MemoryConfiguration",
    "MemoryConfigurationError",
    "MemoryConnectionError",
    "MemoryEvent",
    "MemoryFactory",
    "MemoryManager",
    "MemorySessionContext",
    "MemoryStorageError",
    "MemoryUsage",
    "Message",
    "MessageList",
    "MessageRole",
    "MissingDependencyError",
    "NotConnectedError",
    "POSTGRES_AVAILABLE",
    "PostgresBackend",
    "PostgresSession",
    "ProgressCallback",
    "QueryError",
    "SQLiteBackend",
    "SQLiteSession",
    "SchemaVersionError",
    "SearchQuery",
    "SearchResult",
    "SerializationFormat",
    "SessionExistsError",
    "SessionExpiredError",
    "SessionList",
    "SessionMetadata",
    "SessionNotFoundError",
    "SessionOwnershipError",
    "SessionStatus",
    "StorageFullError",
    "StorageReadOnlyError",
    "StorageUnavailableError",
    "Summarizer",
    "SummaryType",
    "Timestamp",
    "TokenCounter",
    "UnsupportedOperationError",
    "VectorSearchError",
    "create_anthropic_message",
    "create_memory_backend",
    "create_memory_manager",
    "create_openai_message",
    "create_session",
    "estimate_tokens",
    "get_global_memory_manager",
    "get_memory_manager",
    "get_session",
    "import_conversations",
    "initialize_memory",
    "messages_to_anthropic_format",
    "messages_to_openai_format",
    "set_memory_manager",
    "setup_global_memory",
    "shutdown_global_memory",
    "teardown_global_memory",
]

__getattr__ = attach(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
