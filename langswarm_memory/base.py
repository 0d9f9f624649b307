"""Base classes and the global manager, under the name some callers know."""

from .backend import BaseMemoryBackend
from .context import create_session, get_memory_manager, get_session, set_memory_manager
from .manager import MemoryManager
from .session import BaseMemorySession

__all__ = [
    "BaseMemoryBackend",
    "BaseMemorySession",
    "MemoryManager",
    "create_session",
    "get_memory_manager",
    "get_session",
    "set_memory_manager",
]
