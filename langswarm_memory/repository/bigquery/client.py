"""The way to BigQuery: one client, its threads, and what its errors mean.

The client blocks, so every call runs on a thread of this class: reads on a few of their own, writes one after the
other on a single one. BigQuery lets only one transaction at a time change a table, so more writers would only abort
each other.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ...errors import (
    LangSwarmMemoryError,
    MemoryBackendError,
    MissingDependencyError,
    NotConnectedError,
    StorageUnavailableError,
)
from ...settings import BigQuerySettings
from ..translate import Translating

try:
    from google.api_core.exceptions import BadRequest, GoogleAPICallError, GoogleAPIError
    from google.api_core.retry import Retry
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError
    from google.cloud.bigquery import Client, QueryJobConfig
    from requests.exceptions import ConnectionError as ConnectionLost
except ModuleNotFoundError as exc:
    raise MissingDependencyError("google-cloud-bigquery", extra="bigquery") from exc

T = TypeVar("T")
Row = Any
"""A row of an answer: columns by name, ``row["seq"]``. The client is untyped."""

READERS = 8
"""Queries that read at the same time. The client's connection pool holds ten."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two tries of a transaction that was aborted; a random part of it is waited."""

TRY_AGAIN = frozenset({429, 502, 503})
"""HTTP codes after which BigQuery asks to repeat the request. A refused connection is not among them: the client
would go on for minutes."""

UNAVAILABLE = frozenset({408, 429, 500, 502, 503, 504})
TRANSIENT = frozenset({"backendError", "internalError", "jobRateLimitExceeded", "quotaExceeded", "rateLimitExceeded"})
"""Reasons, as BigQuery's table of errors names them, that pass by themselves."""


class Gateway(Translating):
    """Runs statements.

    Args:
        settings: Where, as whom, and how long a call may take.
    """

    name = "bigquery"
    driver_errors = (GoogleAPIError, GoogleAuthError)

    def __init__(self, settings: BigQuerySettings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._reads: ThreadPoolExecutor | None = None
        self._writes: ThreadPoolExecutor | None = None
        self.location = settings.location
        """Where jobs run: the dataset's own location once it is known."""

    @property
    def client(self) -> Client:
        """The client.

        Raises:
            NotConnectedError: The store is not open.
        """
        if self._client is None:
            raise NotConnectedError("the BigQuery store is not open", suggestion="call connect() first")
        return self._client

    # --- life --------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Make the client and the threads; nothing is sent yet. Idempotent."""
        if self._client is not None:
            return
        self._reads = ThreadPoolExecutor(READERS, thread_name_prefix="bigquery-read")
        self._writes = ThreadPoolExecutor(1, thread_name_prefix="bigquery-write")
        try:
            # On a thread: without a key, the client's library looks for credentials on the network.
            self._client = await asyncio.wrap_future(self._reads.submit(self._connect))
        except BaseException:
            await self.close()
            raise

    def _connect(self) -> Client:
        settings = self._settings
        if settings.client is not None:
            given: Client = settings.client
            return given
        options: dict[str, Any] = {"project": settings.project_id, "location": settings.location}
        if settings.api_endpoint is not None:
            options["client_options"] = {"api_endpoint": settings.api_endpoint}
        try:
            if settings.credentials_path is not None:
                made: Client = Client.from_service_account_json(  # type: ignore[no-untyped-call]
                    settings.credentials_path, **options
                )
                return made
            if settings.api_endpoint is not None:
                options["credentials"] = AnonymousCredentials()  # type: ignore[no-untyped-call]
            return Client(**options)
        except DefaultCredentialsError as exc:
            raise self.refused(
                "open", exc, "set credentials_path to a service account's key file, or GOOGLE_APPLICATION_CREDENTIALS"
            ) from exc
        except (OSError, ValueError) as exc:
            raise self.refused("open", exc, "credentials_path must name the JSON key of a service account") from exc

    async def close(self) -> None:
        """Finish what runs, end the threads, close the client unless it is the caller's. Idempotent."""
        writes, reads = self._writes, self._reads
        self._writes = self._reads = None  # nothing more is taken
        for threads in (writes, reads):
            if threads is not None:
                await asyncio.to_thread(threads.shutdown)
        client, self._client = self._client, None  # only now: what was queued needed it
        if client is not None and self._settings.client is None:
            client.close()  # type: ignore[no-untyped-call]

    # --- running -----------------------------------------------------------------------------------------------

    async def reading(self, work: Callable[..., T], *args: Any) -> T:
        """Run a function on one of the threads that read."""
        return await asyncio.wrap_future(self._submit(self._reads, work, *args))

    async def writing(self, work: Callable[..., T], *args: Any) -> T:
        """Run a function on the thread that writes."""
        return await asyncio.wrap_future(self.submit_write(work, *args))

    def submit_write(self, work: Callable[..., T], *args: Any) -> Future[T]:
        """Queue a function for the thread that writes."""
        return self._submit(self._writes, work, *args)

    def _submit(self, threads: ThreadPoolExecutor | None, work: Callable[..., T], *args: Any) -> Future[T]:
        if threads is None:
            raise NotConnectedError("the BigQuery store is not open", suggestion="call connect() first")
        return threads.submit(work, *args)

    def run(self, operation: str, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a statement that reads, as one job, and return its rows. Blocks.

        Repeated once where the connection was lost: one that lay idle may have been cut, and reading does no harm.
        """
        with self.io(operation):
            try:
                return self.query(sql, parameters)
            except ConnectionLost:
                return self.query(sql, parameters)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a statement or a script once and return the rows of its last SELECT; inside a block of ``io``."""
        seconds = self._settings.timeout
        rows = self.client.query_and_wait(
            sql,
            job_config=QueryJobConfig(query_parameters=list(parameters)),
            location=self.location,
            project=self._settings.project_id,
            api_timeout=seconds,
            wait_timeout=seconds,
            retry=self.retry,
            job_retry=None,  # type: ignore[arg-type] # or the client repeats a failed job for ten minutes
        )
        return list(rows)

    @property
    def retry(self) -> Retry:
        """How requests are repeated: only what BigQuery asks to repeat, and no longer than a call may take."""
        return Retry(predicate=_asked_to_repeat, initial=0.5, maximum=8.0, timeout=self._settings.timeout)

    def transact(self, operation: str, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """Run a writing script; again, when its transaction was aborted for another one. Blocks.

        BigQuery tells an aborted transaction by ``invalidQuery``, as it tells a statement that is wrong. Ours are
        fixed, so it is taken for the former until the time of a call is over.
        """
        end, pause = time.monotonic() + self._settings.timeout, FIRST_PAUSE
        while True:
            try:
                with self.io(operation):
                    return self.query(sql, parameters)
            except MemoryBackendError as exc:
                cause = exc.__cause__
                wait = random.uniform(pause / 2, pause)
                if not isinstance(cause, BadRequest):
                    raise
                if time.monotonic() + wait > end:
                    raise StorageUnavailableError(
                        self.name,
                        operation,
                        cause,
                        "other processes write to the dataset all the time, or its tables were changed by hand",
                    ) from cause
            time.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)

    def translate(self, operation: str, error: BaseException) -> LangSwarmMemoryError:
        """Return what an error of Google's libraries means."""
        if isinstance(error, DefaultCredentialsError | RefreshError):
            return self.refused(operation, error, "check the service account, its key and its roles")
        if not isinstance(error, GoogleAPICallError):
            return self.unavailable(operation, error)
        reasons = {str(detail.get("reason")) for detail in error.errors if isinstance(detail, dict)}
        if error.code in UNAVAILABLE or reasons & TRANSIENT:
            return self.unavailable(operation, error)
        if error.code in (401, 403):
            return self.refused(
                operation, error, "grant the account BigQuery Job User on the project and Data Editor on the dataset"
            )
        if error.code == 404:
            return MemoryBackendError(
                self.name, operation, error, "the dataset or a table is gone, or lies in another location; reconnect"
            )
        return MemoryBackendError(self.name, operation, error)


def _asked_to_repeat(error: BaseException) -> bool:
    return isinstance(error, GoogleAPICallError) and error.code in TRY_AGAIN
