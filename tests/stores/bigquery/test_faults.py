"""A server that goes away, hangs, loses a reply, or refuses; what comes of each primitive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from google.api_core.exceptions import BadRequest, Forbidden

from langswarm_memory.backends.bigquery import BigQueryBackend
from langswarm_memory.errors import MemoryBackendError, MemoryConnectionError, StorageUnavailableError
from langswarm_memory.repository.bigquery.repository import BigQueryRepository
from langswarm_memory.repository.protocol import MessageQuery, Rewrite, SessionQuery
from langswarm_memory.repository.text_search import SearchFilter
from langswarm_memory.search import parse
from langswarm_memory.testing.samples import (
    START,
    fetch,
    filled,
    new_message,
    new_messages,
    new_session,
    new_summary,
    read_ids,
)
from tests.conformance.store_bigquery import bigquery_options
from tests.faults.proxy import Proxy, proxied
from tests.services.bigquery import BigQueryServer, BigQueryService
from tests.stores.bigquery.conftest import CountingClient, MakeBackend

pytestmark = pytest.mark.store("bigquery")

Call = Callable[[BigQueryRepository], Awaitable[object]]

PRIMITIVES: dict[str, Call] = {
    "ping": lambda r: r.ping(),
    "insert_session": lambda r: r.insert_session(new_session("new")),
    "fetch_session": lambda r: r.fetch_session("s"),
    "replace_session": lambda r: r.replace_session(new_session(), expected_revision=1),
    "list_sessions": lambda r: r.list_sessions(SessionQuery()),
    "append": lambda r: r.append("s", [new_message(2)], now=START),
    "read_messages": lambda r: r.read_messages("s", MessageQuery()),
    "fetch_with_messages": lambda r: r.fetch_with_messages("s", MessageQuery()),
    "search_text": lambda r: r.search_text(parse("text"), SearchFilter(user_id="u"), limit=5),
    "put_summary": lambda r: r.put_summary(new_summary()),
    "list_summaries": lambda r: r.list_summaries("s"),
    "rewrite": lambda r: r.rewrite("s", Rewrite(edits=0), now=START),
    "stale_sessions": lambda r: r.stale_sessions("i", limit=5),
    "index_state": lambda r: r.index_state("s", "i"),
    "mark_indexed": lambda r: r.mark_indexed("s", "i", last_seq=1, edits=0),
    "forget_index": lambda r: r.forget_index("i"),
    "delete_messages": lambda r: r.delete_messages("s", through_seq=1),
    "stats": lambda r: r.stats(),
    "delete_sessions": lambda r: r.delete_sessions(["new"]),
}


async def outcomes(repository: BigQueryRepository) -> dict[str, MemoryBackendError | None]:
    """Call every primitive, one after the other; return what each raised, or None."""
    found: dict[str, MemoryBackendError | None] = {}
    for name, call in PRIMITIVES.items():
        try:
            await call(repository)
        except MemoryBackendError as exc:
            found[name] = exc
        else:
            found[name] = None
    return found


def kinds(found: dict[str, MemoryBackendError | None]) -> dict[str, object]:
    return {name: error and (type(error), error.retryable) for name, error in found.items()}


@pytest.fixture(scope="module")
def broken_dataset(bigquery_to_break: BigQueryServer) -> Iterator[str]:
    with bigquery_to_break.service.fresh_dataset() as name:
        yield name


@pytest.fixture
async def breakable(bigquery_to_break: BigQueryServer, broken_dataset: str) -> AsyncIterator[BigQueryRepository]:
    async with BigQueryBackend(bigquery_options(bigquery_to_break.service, broken_dataset)) as backend:
        await backend.repository.delete_sessions(["s", "new"])
        await filled(backend.repository, [new_message(1)])
        yield backend.repository


async def test_every_primitive_tells_that_the_server_is_gone(
    breakable: BigQueryRepository, bigquery_to_break: BigQueryServer
) -> None:
    bigquery_to_break.stop("immediate")
    try:
        found = await outcomes(breakable)
    finally:
        bigquery_to_break.start()
    assert kinds(found) == dict.fromkeys(PRIMITIVES, (StorageUnavailableError, True))
    assert all(isinstance(error, MemoryBackendError) and error.__cause__ is not None for error in found.values())


async def test_every_primitive_works_after_the_server_came_back(
    breakable: BigQueryRepository, bigquery_to_break: BigQueryServer
) -> None:
    bigquery_to_break.restart("immediate")
    assert kinds(await outcomes(breakable)) == dict.fromkeys(PRIMITIVES)


async def test_every_primitive_ends_when_the_server_hangs(
    breakable: BigQueryRepository, bigquery_to_break: BigQueryServer, broken_dataset: str
) -> None:
    options = bigquery_options(bigquery_to_break.service, broken_dataset)
    async with BigQueryBackend({**options, "timeout": 5.0}) as backend:
        object.__setattr__(backend.settings, "timeout", 0.3)  # opening alone takes longer than a test should wait
        bigquery_to_break.pause()
        try:
            found = await outcomes(backend.repository)
        finally:
            bigquery_to_break.resume()
    assert kinds(found) == dict.fromkeys(PRIMITIVES, (StorageUnavailableError, True))


async def test_connecting_tells_that_nothing_listens(free_endpoint: str) -> None:
    backend = BigQueryBackend(project_id="project", api_endpoint=free_endpoint)
    with pytest.raises(StorageUnavailableError):
        await backend.connect()


@pytest.fixture
def free_endpoint() -> str:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return f"http://127.0.0.1:{server.server_port}"


async def test_backend_that_could_not_connect_connects_later(
    breakable: BigQueryRepository, bigquery_to_break: BigQueryServer, broken_dataset: str
) -> None:
    backend = BigQueryBackend(bigquery_options(bigquery_to_break.service, broken_dataset))
    bigquery_to_break.stop()
    try:
        with pytest.raises(StorageUnavailableError):
            await backend.connect()
    finally:
        bigquery_to_break.start()
    async with backend:
        assert await read_ids(backend.repository) == ["m1"]


# ---- connections ---------------------------------------------------------------------------------------------


@pytest.fixture
async def through_proxy(
    bigquery_server: BigQueryService, make_backend: MakeBackend
) -> AsyncIterator[tuple[BigQueryRepository, Proxy]]:
    async with proxied(bigquery_server.endpoint) as (endpoint, proxy), make_backend(api_endpoint=endpoint) as backend:
        await filled(backend.repository, [new_message(1)])
        yield backend.repository, proxy


async def test_append_whose_reply_was_lost_is_stored_once(through_proxy: tuple[BigQueryRepository, Proxy]) -> None:
    repository, proxy = through_proxy
    batch = new_messages(3, first=2)
    proxy.lose_next_reply()
    with pytest.raises(StorageUnavailableError):
        await repository.append("s", batch, now=START)
    assert proxy.lost == 1
    assert (await repository.append("s", batch, now=START)).seqs == (2, 3, 4)
    assert await read_ids(repository) == ["m1", "m2", "m3", "m4"]
    assert (await fetch(repository)).message_count == 4


async def test_appends_of_a_job_whose_reply_was_lost_are_stored_once(
    through_proxy: tuple[BigQueryRepository, Proxy],
) -> None:
    repository, proxy = through_proxy
    messages = new_messages(8, first=2)
    proxy.lose_next_reply()
    calls = (repository.append("s", [message], now=START) for message in messages)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(result, StorageUnavailableError) for result in results)
    for message in messages:
        await repository.append("s", [message], now=START)
    assert sorted(await read_ids(repository)) == sorted(["m1", *(message.message_id for message in messages)])


async def test_read_survives_idle_connections_that_were_cut(through_proxy: tuple[BigQueryRepository, Proxy]) -> None:
    repository, proxy = through_proxy
    proxy.cut()
    assert await read_ids(repository) == ["m1"]


# ---- a server that refuses -----------------------------------------------------------------------------------


@contextmanager
def answering(status: int, reason: str) -> Iterator[str]:
    """Run a server that answers everything with one error; yield its endpoint."""
    error = {"reason": reason, "message": "the row 'secret text' of user:password"}
    body = json.dumps({"error": {"code": status, "message": error["message"], "errors": [error]}}).encode()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "reason", "error", "retryable"),
    [
        (401, "authError", MemoryConnectionError, False),
        (403, "accessDenied", MemoryConnectionError, False),
        (403, "quotaExceeded", StorageUnavailableError, True),
        (429, "rateLimitExceeded", StorageUnavailableError, True),
        (500, "backendError", StorageUnavailableError, True),
        (503, "backendError", StorageUnavailableError, True),
        (413, "requestTooLarge", MemoryBackendError, False),
    ],
)
async def test_error_of_the_server_is_told_apart(
    status: int, reason: str, error: type[MemoryBackendError], retryable: bool
) -> None:
    with answering(status, reason) as endpoint:
        backend = BigQueryBackend(project_id="project", api_endpoint=endpoint, timeout=0.5)
        with pytest.raises(MemoryBackendError) as caught:
            await backend.connect()
    assert (type(caught.value), caught.value.retryable) == (error, retryable)


@pytest.mark.parametrize("status", [400, 401, 403, 413, 503])
async def test_text_of_a_driver_error_is_not_repeated(status: int) -> None:
    with answering(status, "some") as endpoint:
        backend = BigQueryBackend(project_id="project", api_endpoint=endpoint, timeout=0.5)
        with pytest.raises(MemoryBackendError) as caught:
            await backend.connect()
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)


async def test_every_primitive_tells_that_the_account_may_not(
    make_backend: MakeBackend, counting: CountingClient
) -> None:
    """As after a role was taken away: what reads only, and what writes."""
    async with make_backend(client=counting) as backend:
        counting.error = Forbidden("text", errors=[{"reason": "accessDenied"}])  # type: ignore[no-untyped-call]
        found = await outcomes(backend.repository)
    assert kinds(found) == dict.fromkeys(PRIMITIVES, (MemoryConnectionError, False))


async def test_write_that_is_always_aborted_ends(make_backend: MakeBackend, counting: CountingClient) -> None:
    """By the time that a call may take; another process may have the table for as long."""
    async with make_backend(client=counting, timeout=5.0) as backend:
        object.__setattr__(backend.settings, "timeout", 0.5)  # opening alone takes longer than a test should wait
        counting.error = BadRequest("Transaction is aborted", errors=[{"reason": "invalidQuery"}])  # type: ignore[no-untyped-call]
        with pytest.raises(StorageUnavailableError, match="other processes"):
            await backend.repository.append("s", [new_message(1)], now=START)
    assert counting.jobs > 1


async def test_read_that_is_wrong_is_not_repeated(make_backend: MakeBackend, counting: CountingClient) -> None:
    async with make_backend(client=counting) as backend:
        counting.jobs, counting.error = 0, BadRequest("text", errors=[{"reason": "invalidQuery"}])  # type: ignore[no-untyped-call]
        with pytest.raises(MemoryBackendError) as caught:
            await backend.repository.fetch_session("s")
    assert (counting.jobs, caught.value.retryable) == (1, False)


async def test_dataset_that_was_deleted_meanwhile_is_told(
    bigquery_server: BigQueryService, bigquery_dataset: str
) -> None:
    async with BigQueryBackend(bigquery_options(bigquery_server, bigquery_dataset)) as backend:
        with bigquery_server.client() as client:
            client.delete_dataset(bigquery_dataset, delete_contents=True)
        with pytest.raises(MemoryBackendError, match="gone"):
            await backend.repository.fetch_session("s")
