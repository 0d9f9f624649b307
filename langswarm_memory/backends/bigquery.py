"""Sessions in BigQuery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backend import BaseMemoryBackend
from ..interfaces.enums import MemoryBackendType
from ..repository.bigquery.repository import BigQueryRepository
from ..session import BaseMemorySession
from ..settings import BigQuerySettings

if TYPE_CHECKING:
    from google.cloud.bigquery import Client  # the repository imports it, and says what to install


class BigQuerySession(BaseMemorySession):
    """A session kept in BigQuery. Behaviour: BaseMemorySession."""

    __slots__ = ()


class BigQueryBackend(BaseMemoryBackend):
    """Sessions in BigQuery. Options: see BigQuerySettings."""

    settings_class, session_class = BigQuerySettings, BigQuerySession
    kind = MemoryBackendType.BIGQUERY
    repository: BigQueryRepository

    def _build(self, settings: BigQuerySettings) -> BigQueryRepository:
        return BigQueryRepository(settings)

    def get_client(self) -> Client:
        """Return the ``google.cloud.bigquery.Client`` in use. It blocks: call it on a thread.

        Raises:
            NotConnectedError: Not connected.
        """
        return self.repository.gateway.client

    async def flush(self) -> None:
        """Store every append that waits in the buffer, and return when none does."""
        await self.perform(self.repository.flush)
