"""Sessions in this process."""

from __future__ import annotations

from typing import Any

from ..backend import BaseMemoryBackend
from ..interfaces.enums import MemoryBackendType
from ..repository.memory import InMemoryRepository
from ..session import BaseMemorySession
from ..settings import InMemorySettings


class InMemorySession(BaseMemorySession):
    """A session kept in this process. Behaviour: BaseMemorySession."""

    __slots__ = ()


class InMemoryBackend(BaseMemoryBackend):
    """Sessions in this process, gone with it. Options: see InMemorySettings."""

    settings_class, session_class = InMemorySettings, InMemorySession
    kind = MemoryBackendType.IN_MEMORY
    repository: InMemoryRepository

    def _build(self, settings: InMemorySettings) -> InMemoryRepository:
        return InMemoryRepository()

    def get_session_data(self, session_id: str) -> dict[str, Any] | None:
        """Return a copy of what is stored: keys ``metadata``, ``messages``, ``summary`` (the newest or None)."""
        return self.repository.export_session(session_id)

    def update_session_data(self, session_id: str, data: dict[str, Any]) -> None:
        """Replace parts of what is stored; keys as in :meth:`get_session_data`, those not given stay.

        Raises:
            SessionNotFoundError: No such session, and no ``metadata`` to make one of.
        """
        self.repository.import_session(session_id, data)
