"""The shapes of the package: messages, sessions, summaries, usage, and the interfaces over them."""

from .contracts import (
    BatchOperation,
    BatchResult,
    IMemoryBackend,
    IMemoryManager,
    IMemoryMigrator,
    IMemoryProvider,
    IMemorySession,
    MemoryCallback,
    MemoryConfig,
    MemoryEvent,
    MessageList,
    ProgressCallback,
    SearchQuery,
    SearchResult,
    SerializationFormat,
    SessionList,
)
from .enums import SYSTEM_ROLES, MemoryBackendType, MessageRole, SessionStatus, SummaryType
from .message import Content, Message, coerce_role, new_id
from .records import ConversationSummary, MemoryUsage, SessionMetadata, coerce_status
from .timestamps import Timestamp, now

__all__ = [
    "SYSTEM_ROLES",
    "BatchOperation",
    "BatchResult",
    "Content",
    "ConversationSummary",
    "IMemoryBackend",
    "IMemoryManager",
    "IMemoryMigrator",
    "IMemoryProvider",
    "IMemorySession",
    "MemoryBackendType",
    "MemoryCallback",
    "MemoryConfig",
    "MemoryEvent",
    "MemoryUsage",
    "Message",
    "MessageList",
    "MessageRole",
    "ProgressCallback",
    "SearchQuery",
    "SearchResult",
    "SerializationFormat",
    "SessionList",
    "SessionMetadata",
    "SessionStatus",
    "SummaryType",
    "Timestamp",
    "coerce_role",
    "coerce_status",
    "new_id",
    "now",
]
