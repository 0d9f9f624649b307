"""The memory that LLM agents keep: sessions, messages and summaries, in the store you already run.

Start with :func:`create_memory_manager`. Importing this package loads no driver and no SQLAlchemy: every name below
is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import attach
from ._version import __version__

if TYPE_CHECKING:
    from .backend import BaseMemoryBackend as BaseMemoryBackend
    from .backends import BIGQUERY_AVAILABLE as BIGQUERY_AVAILABLE
    from .backends import ELASTICSEARCH_AVAILABLE as ELASTICSEARCH_AVAILABLE
    from .backends import MONGODB_AVAILABLE as MONGODB_AVAILABLE
    from .backends import POSTGRES_AVAILABLE as POSTGRES_AVAILABLE
    from .backends import REDIS_AVAILABLE as REDIS_AVAILABLE
    from .backends import BigQueryBackend as BigQueryBackend
    from .backends import BigQuerySession as BigQuerySession
    from .backends import ElasticsearchBackend as ElasticsearchBackend
    from .backends import ElasticsearchSession as ElasticsearchSession
    from .backends import InMemoryBackend as InMemoryBackend
    from .backends import InMemorySession as InMemorySession
    from .backends import MongoDBBackend as MongoDBBackend
    from .backends import MongoDBSession as MongoDBSession
    from .backends import PostgresBackend as PostgresBackend
    from .backends import PostgresSession as PostgresSession
    from .backends import RedisBackend as RedisBackend
    from .backends import RedisSession as RedisSession
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
    from .errors import SummarizerError as SummarizerError
    from .errors import UnsupportedOperationError as UnsupportedOperationError
    from .errors import VectorSearchError as VectorSearchError
    from .factory import MemoryConfiguration as MemoryConfiguration
    from .factory import MemoryFactory as MemoryFactory
    from .factory import create_memory_backend as create_memory_backend
    from .factory import create_memory_manager as create_memory_manager
    from .formats import AnthropicMessages as AnthropicMessages
    from .formats import BlobStore as BlobStore
    from .formats import DirectoryBlobStore as DirectoryBlobStore
    from .formats import GeminiContents as GeminiContents
    from .formats import Links as Links
    from .formats import Loss as Loss
    from .formats import LossReport as LossReport
    from .formats import attach_binaries as attach_binaries
    from .formats import create_anthropic_message as create_anthropic_message
    from .formats import create_openai_message as create_openai_message
    from .formats import detach_binaries as detach_binaries
    from .formats import from_anthropic as from_anthropic
    from .formats import from_gemini as from_gemini
    from .formats import from_openai as from_openai
    from .formats import from_responses as from_responses
    from .formats import links as links
    from .formats import loss_report as loss_report
    from .formats import messages_from_anthropic as messages_from_anthropic
    from .formats import messages_from_gemini as messages_from_gemini
    from .formats import messages_from_openai as messages_from_openai
    from .formats import messages_from_responses as messages_from_responses
    from .formats import messages_to_anthropic_format as messages_to_anthropic_format
    from .formats import messages_to_gemini_format as messages_to_gemini_format
    from .formats import messages_to_openai_format as messages_to_openai_format
    from .formats import messages_to_responses_format as messages_to_responses_format
    from .formats import to_anthropic as to_anthropic
    from .formats import to_gemini as to_gemini
    from .formats import to_openai as to_openai
    from .formats import to_responses as to_responses
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
    from .providers import InvalidAnswerError as InvalidAnswerError
    from .providers import LLMProvider as LLMProvider
    from .providers import LocalProvider as LocalProvider
    from .providers import ProviderError as ProviderError
    from .session import BaseMemorySession as BaseMemorySession
    from .summaries import Digest as Digest
    from .summaries import LLMSummarizer as LLMSummarizer
    from .summaries import Summarizer as Summarizer
    from .tokens import TokenCounter as TokenCounter
    from .tokens import count_messages as count_messages
    from .tokens import count_tools as count_tools
    from .tokens import estimate_tokens as estimate_tokens
    from .tokens import get_token_counter as get_token_counter

__author__ = "The langswarm_memory authors"
__license__ = "Apache-2.0"

_MODULES = {
    "AnthropicMessages": "formats",
    "BIGQUERY_AVAILABLE": "backends",
    "BaseMemoryBackend": "backend",
    "BaseMemorySession": "session",
    "BatchOperation": "interfaces",
    "BatchResult": "interfaces",
    "BigQueryBackend": "backends",
    "BigQuerySession": "backends",
    "BlobStore": "formats",
    "ConflictError": "errors",
    "Content": "interfaces",
    "ConversationSummary": "interfaces",
    "CorruptRecordError": "errors",
    "Digest": "summaries",
    "DirectoryBlobStore": "formats",
    "ELASTICSEARCH_AVAILABLE": "backends",
    "ElasticsearchBackend": "backends",
    "ElasticsearchSession": "backends",
    "EmbeddingError": "errors",
    "GeminiContents": "formats",
    "IMemoryBackend": "interfaces",
    "IMemoryManager": "interfaces",
    "IMemoryMigrator": "interfaces",
    "IMemoryProvider": "interfaces",
    "IMemorySession": "interfaces",
    "ImportReport": "importing",
    "InMemoryBackend": "backends",
    "InMemorySession": "backends",
    "InvalidAnswerError": "providers",
    "InvalidInputError": "errors",
    "LLMProvider": "providers",
    "LLMSummarizer": "summaries",
    "LangSwarmMemoryError": "errors",
    "Links": "formats",
    "LocalProvider": "providers",
    "Loss": "formats",
    "LossReport": "formats",
    "MONGODB_AVAILABLE": "backends",
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
    "MongoDBBackend": "backends",
    "MongoDBSession": "backends",
    "NotConnectedError": "errors",
    "POSTGRES_AVAILABLE": "backends",
    "PostgresBackend": "backends",
    "PostgresSession": "backends",
    "ProgressCallback": "interfaces",
    "ProviderError": "providers",
    "QueryError": "errors",
    "REDIS_AVAILABLE": "backends",
    "RedisBackend": "backends",
    "RedisSession": "backends",
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
    "SummarizerError": "errors",
    "SummaryType": "interfaces",
    "Timestamp": "interfaces",
    "TokenCounter": "tokens",
    "UnsupportedOperationError": "errors",
    "VectorSearchError": "errors",
    "attach_binaries": "formats",
    "count_messages": "tokens",
    "count_tools": "tokens",
    "create_anthropic_message": "formats",
    "create_memory_backend": "factory",
    "create_memory_manager": "factory",
    "create_openai_message": "formats",
    "create_session": "context",
    "detach_binaries": "formats",
    "estimate_tokens": "tokens",
    "from_anthropic": "formats",
    "from_gemini": "formats",
    "from_openai": "formats",
    "from_responses": "formats",
    "get_global_memory_manager": "context",
    "get_memory_manager": "context",
    "get_session": "context",
    "get_token_counter": "tokens",
    "import_conversations": "importing",
    "initialize_memory": "context",
    "links": "formats",
    "loss_report": "formats",
    "messages_from_anthropic": "formats",
    "messages_from_gemini": "formats",
    "messages_from_openai": "formats",
    "messages_from_responses": "formats",
    "messages_to_anthropic_format": "formats",
    "messages_to_gemini_format": "formats",
    "messages_to_openai_format": "formats",
    "messages_to_responses_format": "formats",
    "set_memory_manager": "context",
    "setup_global_memory": "context",
    "shutdown_global_memory": "context",
    "teardown_global_memory": "context",
    "to_anthropic": "formats",
    "to_gemini": "formats",
    "to_openai": "formats",
    "to_responses": "formats",
}

__all__ = ["__author__", "__license__", "__version__", *_MODULES]

__getattr__ = attach(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
