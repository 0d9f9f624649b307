"""The memory that LLM agents keep: sessions, messages and summaries, in the store you already run.

Start with :func:`create_memory_manager`. Importing this package loads no driver and no SQLAlchemy: every name below
is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import attach
from ._names import MODULES
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
    from .embeddings import CachedEmbeddingProvider as CachedEmbeddingProvider
    from .embeddings import CallableEmbeddingProvider as CallableEmbeddingProvider
    from .embeddings import EmbeddingUsage as EmbeddingUsage
    from .embeddings import IEmbeddingProvider as IEmbeddingProvider
    from .embeddings import LocalEmbeddingProvider as LocalEmbeddingProvider
    from .embeddings import OpenAIEmbeddingProvider as OpenAIEmbeddingProvider
    from .embeddings import get_embedding_provider as get_embedding_provider
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
    from .errors import VectorStoreError as VectorStoreError
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
    from .migration.backup import BackupReport as BackupReport
    from .migration.backup import backup as backup
    from .migration.hashing import content_hashes as content_hashes
    from .migration.migrator import MemoryMigrator as MemoryMigrator
    from .migration.opening import open_source as open_source
    from .migration.report import TransferFailure as TransferFailure
    from .migration.report import TransferReport as TransferReport
    from .migration.restore import BackupSource as BackupSource
    from .migration.restore import restore as restore
    from .migration.sources import CurrentFormatError as CurrentFormatError
    from .migration.sources import UnknownFormatError as UnknownFormatError
    from .migration.sources import detect_source as detect_source
    from .migration.stores import StoreSource as StoreSource
    from .migration.transfer import transfer as transfer
    from .migration.v1 import V1MemoryMigrator as V1MemoryMigrator
    from .providers import InvalidAnswerError as InvalidAnswerError
    from .providers import LLMProvider as LLMProvider
    from .providers import LocalProvider as LocalProvider
    from .providers import ProviderError as ProviderError
    from .recall import Fusion as Fusion
    from .recall import RecallHit as RecallHit
    from .search import Highlight as Highlight
    from .session import BaseMemorySession as BaseMemorySession
    from .streaming import Draft as Draft
    from .summaries import Digest as Digest
    from .summaries import LLMSummarizer as LLMSummarizer
    from .summaries import Summarizer as Summarizer
    from .tokens import TokenCounter as TokenCounter
    from .tokens import count_messages as count_messages
    from .tokens import count_tools as count_tools
    from .tokens import estimate_tokens as estimate_tokens
    from .tokens import get_token_counter as get_token_counter
    from .vector_stores import IVectorStore as IVectorStore
    from .vector_stores import NativeChromaStore as NativeChromaStore
    from .vector_stores import NativePGVectorStore as NativePGVectorStore
    from .vector_stores import NativePineconeStore as NativePineconeStore
    from .vector_stores import NativeQdrantStore as NativeQdrantStore
    from .vector_stores import NativeRedisVectorStore as NativeRedisVectorStore
    from .vector_stores import NativeSQLiteStore as NativeSQLiteStore
    from .vector_stores import NativeVectorStore as NativeVectorStore
    from .vector_stores import VectorDocument as VectorDocument
    from .vector_stores import VectorQuery as VectorQuery
    from .vector_stores import VectorResult as VectorResult
    from .vector_stores import VectorStoreConfig as VectorStoreConfig
    from .vector_stores import VectorStoreFactory as VectorStoreFactory
    from .vector_stores import create_auto_store as create_auto_store
    from .vector_stores import create_development_store as create_development_store
    from .vector_stores import create_production_store as create_production_store

__author__ = "The langswarm_memory authors"
__license__ = "Apache-2.0"

_NAMES = {name: f"{__name__}.{module}" for name, module in MODULES.items()}

__all__ = ["__author__", "__license__", "__version__", *_NAMES]

__getattr__ = attach(__name__, _NAMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
