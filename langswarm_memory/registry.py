"""Which backends there are, under which names, and where their classes live."""

from __future__ import annotations

import difflib
import importlib
from typing import cast

from .backends import BACKENDS
from .errors import MemoryConfigurationError
from .interfaces.contracts import IMemoryBackend

ALIASES = {
    "memory": "in_memory",
    "inmemory": "in_memory",
    "in-memory": "in_memory",
    "postgresql": "postgres",
    "pg": "postgres",
    "mongo": "mongodb",
    "elastic": "elasticsearch",
    "es": "elasticsearch",
}

_registered: dict[str, type[IMemoryBackend]] = {}


def register(name: str, backend: type[IMemoryBackend]) -> None:
    """Make a backend of the caller's known under a name.

    Raises:
        MemoryConfigurationError: Not a subclass of ``IMemoryBackend``, or no name.
    """
    if not isinstance(name, str) or not name:
        raise MemoryConfigurationError("a backend needs a name")
    if not isinstance(backend, type) or not issubclass(backend, IMemoryBackend):
        raise MemoryConfigurationError(f"backend {name!r} must be a subclass of IMemoryBackend")
    _registered[name.lower()] = backend


def backend_names() -> list[str]:
    """Return the names of all backends, installed or not."""
    return sorted({*BACKENDS, *_registered})


def location(name: str) -> tuple[str, str]:
    """Return the module and the name of a backend's class, without importing it."""
    name = resolve_name(name)
    if name in _registered:
        return _registered[name].__module__, _registered[name].__name__
    module, _, attribute = BACKENDS.get(name, "").partition(":")
    return module, attribute


def resolve_name(name: str) -> str:
    """Return a backend's own name for any spelling of it.

    Raises:
        MemoryConfigurationError: No such backend; the nearest name is told.
    """
    if not isinstance(name, str):
        raise MemoryConfigurationError(f"a backend's name is text, got {type(name).__name__}")
    found = ALIASES.get(name.lower(), name.lower())
    if found == "auto" or found in BACKENDS or found in _registered:
        return found
    near = difflib.get_close_matches(found, [*backend_names(), *ALIASES], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(backend_names())}"
    raise MemoryConfigurationError(f"unknown backend {name!r}; {hint}")


def backend_class(name: str) -> type[IMemoryBackend]:
    """Return a backend's class, importing it now.

    Raises:
        MemoryConfigurationError: No such backend.
        MissingDependencyError: Its driver is not installed.
    """
    name = resolve_name(name)
    if name in _registered:
        return _registered[name]
    module, _, attribute = BACKENDS[name].partition(":")
    return cast("type[IMemoryBackend]", getattr(importlib.import_module(module), attribute))
