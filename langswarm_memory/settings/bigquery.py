"""Settings of the BigQuery store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import MemoryConfigurationError
from .base import BackendSettings, assign, is_int, is_number, require


@dataclass(frozen=True, slots=True, kw_only=True)
class BigQuerySettings(BackendSettings):
    """Settings of the BigQuery backend.

    Args:
        project_id: Google Cloud project, in which jobs run and are billed. Required, unless a `client` names it.
        dataset_id: Dataset; made when missing.
        location: Where a dataset that is made lies. One that is there already keeps its own, and jobs run there.
        credentials_path: File of a service account's key. None: the environment's own credentials.
        api_endpoint: URL of an emulator; no credentials are then asked for. With `credentials_path`: another
            endpoint of Google's.
        client: A ``google.cloud.bigquery.Client`` of the caller's, used instead of `credentials_path` and
            `api_endpoint`, and not closed.
        retention_days: Days that messages are kept, by the day they were stored; 0: for ever. It is the expiration of
            the table's partitions, set anew whenever the store opens.
        buffer_messages: Appends wait in this process for one common write until they hold so many messages, or until
            ``flush()``, another write or ``disconnect()``. An append returns when its messages are stored, never
            before: so nothing that was acknowledged is lost with the process, and each append learns of its own
            failure. It pays where many sessions are written at once; one that appends message by message only waits
            longer. 0: appends wait for nothing but the write before them, and share the next one.
        buffer_seconds: Seconds that an append waits at most for others, with `buffer_messages`.
        timeout: Seconds that a job may take, and that a transaction is repeated which other processes' writes abort.
    """

    project_id: str = ""
    dataset_id: str = "langswarm_memory"
    location: str = "US"
    credentials_path: str | None = None
    api_endpoint: str | None = None
    client: Any = field(default=None, repr=False)
    retention_days: int = 180
    buffer_messages: int = 0
    buffer_seconds: float = 1.0
    timeout: float = 60.0

    address: ClassVar[str | None] = "project_id"
    aliases: ClassVar[Mapping[str, str]] = {
        **BackendSettings.aliases,
        "project": "project_id",
        "dataset": "dataset_id",
        "url": "project_id",
        "endpoint": "api_endpoint",
    }

    def __post_init__(self) -> None:
        BackendSettings.__post_init__(self)
        self._take_url()
        if self.client is not None and not self.project_id:
            assign(self, "project_id", getattr(self.client, "project", ""))
        require(
            isinstance(self.project_id, str)
            and re.fullmatch(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{2,62}", self.project_id) is not None,
            "project_id must name a Google Cloud project",
        )
        require(
            isinstance(self.dataset_id, str) and re.fullmatch(r"\w{1,1024}", self.dataset_id, re.ASCII) is not None,
            "dataset_id must be letters, digits and underscores",
        )
        require(
            self.api_endpoint is None
            or (isinstance(self.api_endpoint, str) and self.api_endpoint.startswith(("http://", "https://"))),
            "api_endpoint must be a URL, such as 'http://localhost:9050'",
        )
        require(isinstance(self.location, str) and bool(self.location), "location must be text, such as 'EU'")
        require(is_int(self.retention_days, 0), "retention_days must be an int from 0")
        require(is_int(self.buffer_messages, 0), "buffer_messages must be an int from 0")
        require(is_number(self.buffer_seconds, 0), "buffer_seconds must be seconds from 0")
        require(is_number(self.timeout, 0.001), "timeout must be seconds above 0")

    def _take_url(self) -> None:
        given = self.project_id
        if not isinstance(given, str) or not given.startswith("bigquery://"):
            return
        parts = given.removeprefix("bigquery://").strip("/").split("/")
        if len(parts) > 2:
            raise MemoryConfigurationError(
                "a BigQuery URL has at most two parts", suggestion="bigquery://project/dataset"
            )
        assign(self, "project_id", parts[0])
        if len(parts) == 2:
            assign(self, "dataset_id", parts[1])
