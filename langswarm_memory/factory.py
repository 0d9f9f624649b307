"""From a configuration, in any of its forms, to a backend and a manager."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ._lazy import installed
from .backends import DRIVERS
from .configuration import UNSET, MemoryConfiguration
from .errors import MemoryBackendError, MemoryConfigurationError
from .interfaces.contracts import IMemoryBackend
from .registry import backend_class, backend_names, location, register, resolve_name

if TYPE_CHECKING:
    from .manager import MemoryManager

__all__ = [
    "MemoryBackendError",
    "MemoryConfiguration",
    "MemoryConfigurationError",
    "MemoryFactory",
    "create_memory_backend",
    "create_memory_manager",
    "get_global_memory_manager",
    "setup_global_memory",
    "teardown_global_memory",
]


class MemoryFactory:
    """Makes backends and managers. All methods work on the class and on instances."""

    @classmethod
    def register_backend(cls, name: str, backend_class: type[IMemoryBackend]) -> None:
        """Make a backend of the caller's known under a name.

        Raises:
            MemoryConfigurationError: Not a subclass of ``IMemoryBackend``, or no name.
        """
        register(name, backend_class)

    @classmethod
    def create_backend(cls, config: Any = UNSET, /, **options: Any) -> IMemoryBackend:
        """Return the backend of a configuration in any form. No I/O.

        Raises:
            MemoryConfigurationError: The configuration is wrong, or says that memory is disabled.
        """
        resolved = MemoryConfiguration.from_simple_config(config, **options).resolved()
        if not resolved.enabled:
            raise MemoryConfigurationError("memory is disabled by the configuration")
        backend = cast(Any, backend_class(resolved.backend))(resolved.settings or None)
        if resolved.session_ttl is not None and hasattr(backend, "set_ttl"):
            backend.set_ttl(resolved.session_ttl)
        return cast(IMemoryBackend, backend)

    @classmethod
    def create_manager(cls, config: Any = UNSET, /, **options: Any) -> MemoryManager:
        """Return a manager over the backend of a configuration. No I/O; ``await`` starts it.

        Raises:
            MemoryConfigurationError: The configuration is wrong, or says that memory is disabled.
        """
        from .manager import MemoryManager

        resolved = MemoryConfiguration.from_simple_config(config, **options)
        if resolved.enabled:
            backend_class(
                resolved.resolved().backend
            )  # a missing driver raises its own class, not as one issue of many
        for issue in resolved.validate():
            raise MemoryConfigurationError(issue)
        if resolved.debug_mode:
            logging.getLogger("langswarm_memory").setLevel(resolved.log_level.upper())
        return MemoryManager(
            cls.create_backend(resolved),
            auto_cleanup=resolved.auto_cleanup,
            summarize_in_background=resolved.summarize_in_background,
            cleanup_interval=resolved.cleanup_interval,
        )

    @classmethod
    def create(cls, backend: str, config: Mapping[str, Any] | None = None, **options: Any) -> MemoryManager:
        """Return a manager over a backend by name."""
        return cls.create_manager(backend, config=dict(config or {}), **options)

    @classmethod
    def list_backends(cls) -> list[str]:
        """Return the names of all backends, installed or not."""
        return backend_names()

    @classmethod
    def get_available_backends(cls) -> list[str]:
        """Return the names of the backends whose driver is installed."""
        return [name for name in cls.list_backends() if installed(DRIVERS.get(name, ""))]

    @classmethod
    def get_backend_info(cls, name: str) -> dict[str, Any]:
        """Return ``name``, ``class``, ``module``, ``type`` and ``available`` of a backend.

        Raises:
            MemoryConfigurationError: No such backend (a ``ValueError``).
        """
        name = resolve_name(name)
        module, attribute = location(name)
        available = installed(DRIVERS.get(name, ""))
        return {"name": name, "class": attribute, "module": module, "type": name, "available": available}


def create_memory_backend(backend_type: str, **settings: Any) -> IMemoryBackend:
    """Return a backend by name, with its settings as keywords."""
    return MemoryFactory.create_backend(backend_type, **settings)


def create_memory_manager(
    config: Any = UNSET,
    settings: Mapping[str, Any] | None = None,
    *,
    backend: str | None = None,
    **kwargs: Any,
) -> MemoryManager | None:
    """Return a manager for a configuration in any form. No I/O; it connects on first use.

    ``create_memory_manager("sqlite", db_path="x.db")``, ``("postgresql://…")``, ``(backend="postgres", host=…)``,
    ``({"backend": "sqlite", "settings": {…}})``, ``("development")``, ``(True)``; see ``docs/configuration.md``.

    Args:
        config: See ``MemoryConfiguration.from_simple_config``.
        settings: Options of the backend.
        backend: Name of the backend, instead of `config`.
        **kwargs: Options of the configuration or of the backend; they win over `settings`.

    Returns:
        The manager; None when the configuration says that memory is disabled.

    Raises:
        MemoryConfigurationError: The configuration is wrong; an unknown option names the nearest known one.
    """
    if backend is not None:
        if config is not UNSET and not isinstance(config, Mapping):
            raise MemoryConfigurationError("give the backend once: as the first argument or as backend=")
        kwargs = {**(config if isinstance(config, Mapping) else {}), **kwargs}
        config = backend
    elif config is UNSET:
        config = True
    if settings:
        kwargs = {"settings": dict(settings), **kwargs}
    resolved = MemoryConfiguration.from_simple_config(config, **kwargs)
    return MemoryFactory.create_manager(resolved) if resolved.enabled else None


def setup_global_memory(config: Any = True, **options: Any) -> Any:
    """Set the global manager; see :func:`langswarm_memory.context.setup_global_memory`."""
    from .context import setup_global_memory as setup

    return setup(config, **options)


def get_global_memory_manager() -> MemoryManager | None:
    """Return the global manager; see :func:`langswarm_memory.context.get_global_memory_manager`."""
    from .context import get_global_memory_manager as get

    return get()


def teardown_global_memory() -> None:
    """Forget and stop the global manager; see :func:`langswarm_memory.context.teardown_global_memory`."""
    from .context import teardown_global_memory as teardown

    teardown()
