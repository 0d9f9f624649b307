"""The memory interface of AA Kit over the backends of this package: ``save``, ``load``, ``clear``, ``search``.

Whatever is saved here is an ordinary session: the same data can be used through ``MemoryManager``, which takes each of
these backends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._lazy import attach

if TYPE_CHECKING:
    from .config import MemoryConfig as MemoryConfig
    from .config import create_memory as create_memory
    from .in_memory import InMemoryBackend as InMemoryBackend
    from .memory import MemoryBackend as MemoryBackend
    from .messages import Message as Message
    from .messages import SessionInfo as SessionInfo
    from .moving import MigrationResult as MigrationResult
    from .moving import migrate_memory as migrate_memory
    from .postgres import PostgreSQLBackend as PostgreSQLBackend
    from .redis import RedisBackend as RedisBackend
    from .sqlite import SQLiteBackend as SQLiteBackend

_MODULES = {
    "InMemoryBackend": "in_memory",
    "MemoryBackend": "memory",
    "MemoryConfig": "config",
    "Message": "messages",
    "MigrationResult": "moving",
    "PostgreSQLBackend": "postgres",
    "RedisBackend": "redis",
    "SQLiteBackend": "sqlite",
    "SessionInfo": "messages",
    "create_memory": "config",
    "migrate_memory": "moving",
}

__all__ = [
    "InMemoryBackend",
    "MemoryBackend",
    "MemoryConfig",
    "Message",
    "MigrationResult",
    "PostgreSQLBackend",
    "RedisBackend",
    "SQLiteBackend",
    "SessionInfo",
    "create_memory",
    "migrate_memory",
]

__getattr__ = attach(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
