"""Making memories by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from ...errors import MemoryConfigurationError
from ...registry import resolve_name
from .memory import MemoryBackend

_CLASSES = {
    "in_memory": ("in_memory", "InMemoryBackend"),
    "redis": ("redis", "RedisBackend"),
    "sqlite": ("sqlite", "SQLiteBackend"),
    "postgres": ("postgres", "PostgreSQLBackend"),
}


@dataclass(init=False, eq=False, repr=False)
class MemoryConfig(dict[str, Any]):
    """Options that all memories have; a dict of them, whose items are attributes too.

    Args:
        backend: "memory", "redis", "sqlite" or "postgres".
        max_messages: Messages loaded of a session; see the backend.
        context_window: How many messages ``context`` returns.
        summarization: Whether summaries are made.
        compression: Whether messages are kept compressed: in Redis. Other stores refuse it.
        encryption: Not supported: encrypt before saving, or let the server encrypt its disk.
        search_enabled: Whether ``search`` may be called.
        **options: Options of the backend, such as ``url``.
    """

    backend: str = "memory"
    max_messages: int = 1000
    context_window: int = 20
    summarization: bool = False
    compression: bool = False
    encryption: bool = False
    search_enabled: bool = True

    def __init__(
        self,
        backend: str = "memory",
        max_messages: int = 1000,
        context_window: int = 20,
        summarization: bool = False,
        compression: bool = False,
        encryption: bool = False,
        search_enabled: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            backend=backend,
            max_messages=max_messages,
            context_window=context_window,
            summarization=summarization,
            compression=compression,
            encryption=encryption,
            search_enabled=search_enabled,
            **options,
        )

    def __getattribute__(self, name: str) -> Any:
        if name in _FIELDS and name in self:
            return self[name]
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"{type(self).__name__} has no option {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        # Options may hold passwords.
        shown = ", ".join(f"{name}={self[name]!r}" for name in _FIELDS if name in self)
        return f"{type(self).__name__}({shown})"


_FIELDS = {one.name: None for one in fields(MemoryConfig)}


def create_memory(backend: str | Mapping[str, Any] = "memory", **kwargs: Any) -> MemoryBackend:
    """Return a memory, not connected: it connects when it is first used.

    Args:
        backend: "memory", "redis", "sqlite" or "postgres"; or a :class:`MemoryConfig`.
        **kwargs: Options of that memory's class; they win over a config's.

    Raises:
        MemoryConfigurationError: No such backend, or an option is unknown or out of range.
        MissingDependencyError: Its driver is not installed.
    """
    if isinstance(backend, Mapping):
        name, options = _from_config({**MemoryConfig(), **backend})
        options |= kwargs
    else:
        name, options = resolve_name(backend), kwargs
    if name not in _CLASSES:
        raise MemoryConfigurationError(
            f"there is no such memory as {name!r} here",
            suggestion="use memory, redis, sqlite or postgres, or langswarm_memory.create_memory_backend",
        )
    module, attribute = _CLASSES[name]
    cls = getattr(importlib.import_module(f".{module}", __package__), attribute)
    return cast("MemoryBackend", cls(**options))


def _from_config(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = resolve_name(config.pop("backend"))
    if config.pop("encryption"):
        raise MemoryConfigurationError(
            "encryption is not supported",
            suggestion="encrypt messages before they are saved, or let the server encrypt its disk",
        )
    compression = config.pop("compression")
    if name == "redis":
        config["compression"] = compression
    elif compression:
        raise MemoryConfigurationError("compression is an option of Redis alone", suggestion="leave compression out")
    config["enable_search"] = config.pop("search_enabled")
    if name == "in_memory":
        config["max_messages_per_session"] = config.pop("max_messages")
    return name, config
