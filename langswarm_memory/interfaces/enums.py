"""The closed vocabularies of the package. Every member equals its stored text."""

from __future__ import annotations

from enum import Enum


class MessageRole(str, Enum):
    """Who speaks. A role outside this list is kept as plain text, not refused."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    FUNCTION = "function"
    TOOL = "tool"
    DEVELOPER = "developer"


ROLE_ALIASES = {"human": MessageRole.USER, "ai": MessageRole.ASSISTANT, "model": MessageRole.ASSISTANT}
"""Names other frameworks give to the roles; they are stored under ours."""

ROLES: dict[str, MessageRole] = {role.value: role for role in MessageRole} | ROLE_ALIASES

SYSTEM_ROLES: frozenset[str] = frozenset({"system", "developer"})
"""Roles that instruct the model: always part of a window, never trimmed unless asked."""


RESULT_ROLES: frozenset[str] = frozenset({"tool", "function"})
"""Roles of messages that answer a call."""


class SessionStatus(str, Enum):
    """Where a session is in its life."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    ARCHIVED = "archived"
    EXPIRED = "expired"


class SummaryType(str, Enum):
    """What made a summary: the threshold, a caller, or a schedule."""

    AUTO = "auto"
    MANUAL = "manual"
    PERIODIC = "periodic"


class MemoryBackendType(str, Enum):
    """Kinds of store."""

    IN_MEMORY = "in_memory"
    SQLITE = "sqlite"
    REDIS = "redis"
    POSTGRES = "postgres"
    MONGODB = "mongodb"
    CHROMADB = "chromadb"
    QDRANT = "qdrant"
    BIGQUERY = "bigquery"
    ELASTICSEARCH = "elasticsearch"
    MEMORY_PRO = "memory_pro"
    VECTOR = "vector"
    EXTERNAL_DB = "external_db"
