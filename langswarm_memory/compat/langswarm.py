"""``langswarm.core.memory`` under its old name, for programs whose imports cannot change yet."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MEMORY = "langswarm.core.memory"
"""The module that programs import."""

PACKAGES = ("langswarm", "langswarm.core", MEMORY)

TARGETS: Mapping[str, str] = {
    MEMORY: "langswarm_memory",
    f"{MEMORY}.backends": "langswarm_memory.backends",
    f"{MEMORY}.base": "langswarm_memory.base",
    f"{MEMORY}.errors": "langswarm_memory.errors",
    f"{MEMORY}.exceptions": "langswarm_memory.exceptions",
    f"{MEMORY}.factory": "langswarm_memory.factory",
    f"{MEMORY}.interfaces": "langswarm_memory.interfaces",
    f"{MEMORY}.migration": "langswarm_memory.migration.v1",
}
"""Where the names of each module are found."""


def install_langswarm() -> tuple[str, ...]:
    """Make ``langswarm.core.memory`` importable, with the names of this package; return the modules put in place.

    A real ``langswarm.core.memory`` is left alone, and then nothing is put in place. Where LangSwarm is installed
    without it, only what is missing is. Classes are the same objects under both names. Call it before the first import
    of the old name; :func:`uninstall_langswarm` takes it back.
    """
    if _is_real(MEMORY):
        return ()
    placed = tuple(name for name in (*PACKAGES, *TARGETS) if not _is_real(name))
    for name in placed:
        module = sys.modules[name] = _Alias(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)  # `import a.b` and then `a.b.name` reads the attribute
    return tuple(dict.fromkeys(placed))


def uninstall_langswarm() -> None:
    """Take back what :func:`install_langswarm` put in place; names that were imported meanwhile stay valid."""
    for name in sorted({*PACKAGES, *TARGETS}, reverse=True):  # inner ones first
        if isinstance(sys.modules.get(name), _Alias):
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                delattr(sys.modules[parent], child)


_SPECIAL_NAMES = frozenset({"__all__", "__author__", "__license__", "__version__"})  # others are the module's own


class _Alias(ModuleType):
    """A module of another name, whose attributes are looked up when they are asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name, f"Stands for {TARGETS.get(name, MEMORY)}.")
        self.__spec__ = ModuleSpec(name, None, is_package=name in PACKAGES)
        if name in PACKAGES:
            self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if self.__name__ == MEMORY and name in _OTHER_NAMES:
            return _OTHER_NAMES[name]()
        target = TARGETS.get(self.__name__)
        if target is not None and (name in _SPECIAL_NAMES or not name.startswith("__")):
            return getattr(importlib.import_module(target), name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        target = TARGETS.get(self.__name__)
        other = _OTHER_NAMES if self.__name__ == MEMORY else ()
        return sorted({*vars(self), *other, *(dir(importlib.import_module(target)) if target else ())})


def _is_real(name: str) -> bool:
    module = sys.modules.get(name)
    if module is not None:
        return not isinstance(module, _Alias)
    try:
        return importlib.util.find_spec(name) is not None  # imports the real packages above it, and no further
    except ModuleNotFoundError:  # there is none above it
        return False


def _named(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"langswarm_memory.{module}"), name)


def _maker(config: str) -> Any:
    return partial(_named("factory", "create_memory_manager"), config)


_OTHER_NAMES = {
    "MemoryError": partial(_named, "errors", "LangSwarmMemoryError"),
    "get_memory": partial(_named, "context", "get_global_memory_manager"),
    "shutdown_memory": partial(_named, "context", "shutdown_global_memory"),
    "create_development_memory": partial(_maker, "development"),
    "create_production_memory": partial(_maker, "production"),
    "create_testing_memory": partial(_maker, "testing"),
    "create_inmemory_memory": partial(_maker, "in_memory"),
    "create_redis_memory": partial(_maker, "redis"),
    "create_sqlite_memory": partial(_maker, "sqlite"),
}
"""Names of ``langswarm.core.memory`` that this package has under others: how each is found."""
