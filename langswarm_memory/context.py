"""The global manager, and sessions as context managers."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from .errors import MemoryConfigurationError
from .factory import MemoryConfiguration, MemoryFactory
from .interfaces.contracts import IMemoryManager, IMemorySession
from .manager import MemoryManager

_UNSET: Any = object()
_global: MemoryManager | None = None
_stopping: set[asyncio.Task[None]] = set()  # references: asyncio itself keeps none to a running task


class _Started:
    """True at once; awaiting it starts the manager and returns it."""

    def __init__(self, manager: MemoryManager | None) -> None:
        self._manager = manager

    def __bool__(self) -> bool:
        return self._manager is not None

    def __await__(self) -> Generator[Any, None, MemoryManager | None]:
        if self._manager is not None:
            yield from self._manager.__await__()
        return self._manager


def set_memory_manager(manager: IMemoryManager | None) -> None:
    """Set the global manager; None forgets it without stopping it."""
    global _global
    _global = manager  # type: ignore[assignment]


def get_global_memory_manager() -> MemoryManager | None:
    """Return the global manager, or None."""
    return _global


get_memory_manager = get_global_memory_manager


def initialize_memory(memory: Any = _UNSET, *, config: Any = _UNSET, **options: Any) -> MemoryManager | None:
    """Set the global manager from a configuration in any form and return it; None when memory is disabled.

    Args:
        memory: The configuration; see ``MemoryConfiguration.from_simple_config``. Default: ``"development"``.
        config: Another name of `memory`.
        **options: Further options; they win.
    """
    if memory is not _UNSET and config is not _UNSET:
        raise MemoryConfigurationError("give the configuration once: as memory= or as config=")
    given = memory if memory is not _UNSET else config
    resolved = MemoryConfiguration.from_simple_config(
        "development" if given is _UNSET or (given is None) else given, **options
    )
    set_memory_manager(MemoryFactory.create_manager(resolved) if resolved.enabled else None)
    return _global


def setup_global_memory(config: Any = True, **options: Any) -> _Started:
    """Set the global manager. True unless memory is disabled; ``await`` also starts it."""
    return _Started(initialize_memory(config, **options))


def teardown_global_memory() -> None:
    """Forget the global manager and stop it: at once, or, inside a running event loop, as a task of it."""
    global _global
    manager, _global = _global, None
    if manager is None:
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(manager.stop())
        return
    task = loop.create_task(manager.stop())
    _stopping.add(task)
    task.add_done_callback(_stopping.discard)


async def shutdown_global_memory() -> None:
    """Forget the global manager and stop it."""
    global _global
    manager, _global = _global, None
    if manager is not None:
        await manager.stop()
    if _stopping:
        await asyncio.gather(*_stopping)


async def create_session(
    session_id: str | None = None, user_id: str | None = None, agent_id: str | None = None, **kwargs: Any
) -> IMemorySession | None:
    """Create a session with the global manager; None without one."""
    return None if _global is None else await _global.create_session(session_id, user_id, agent_id, **kwargs)


async def get_session(session_id: str) -> IMemorySession | None:
    """Return a session of the global manager; None without one, or without such a session."""
    return None if _global is None else await _global.get_session(session_id)


class MemorySessionContext:
    """``async with MemorySessionContext(user_id="u") as session``: the session, made when there is none.

    Leaving the block keeps the session as it is, also after an error; everything added is durable already.

    Args:
        session_id: Which session. None: a new one.
        user_id: Its owner; a session of another user is refused.
        manager: Whose session. None: the global manager's.
        close_on_exit: Whether leaving the block marks the session as completed.
        **kwargs: Fields of a session that is made.

    Raises:
        MemoryConfigurationError: On entering, when there is no manager.
    """

    def __init__(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        *,
        manager: MemoryManager | None = None,
        close_on_exit: bool = False,
        **kwargs: Any,
    ) -> None:
        self._session_id, self._user_id, self._manager = session_id, user_id, manager
        self._close_on_exit, self._options = close_on_exit, kwargs
        self._session: IMemorySession | None = None

    async def __aenter__(self) -> IMemorySession:
        manager = self._manager or _global
        if manager is None:
            raise MemoryConfigurationError(
                "there is no global memory manager", suggestion="call initialize_memory() or pass manager="
            )
        if self._session_id is None:
            self._session = await manager.create_session(user_id=self._user_id, **self._options)
        else:
            self._session = await manager.get_or_create_session(self._session_id, self._user_id, **self._options)
        return self._session

    async def __aexit__(self, *_exc: object) -> None:
        if self._close_on_exit and self._session is not None:
            await self._session.close()
