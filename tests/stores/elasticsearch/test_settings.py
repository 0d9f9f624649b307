"""Every option does what it says; what cannot work is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from elastic_transport import ConnectionError as Unreachable
from elasticsearch import AsyncElasticsearch

from langswarm_memory import (
    MemoryConfigurationError,
    MemoryConnectionError,
    NotConnectedError,
    SessionMetadata,
    StorageUnavailableError,
)
from langswarm_memory.backends.elasticsearch import ElasticsearchBackend
from langswarm_memory.testing.samples import START, new_message, new_session
from tests.services.elasticsearch import ElasticsearchService
from tests.stores.elasticsearch.conftest import MakeBackend

pytestmark = pytest.mark.store("elasticsearch")

BAD: dict[str, dict[str, Any]] = {
    "host without a scheme": {"hosts": "localhost:9200"},
    "host without a port": {"hosts": "http://localhost"},
    "host with a port that is none": {"hosts": "http://localhost:99999"},
    "no hosts": {"hosts": []},
    "prefix with a capital letter": {"index_prefix": "Memory"},
    "prefix with a star": {"index_prefix": "memory*"},
    "empty prefix": {"index_prefix": ""},
    "user without a password": {"username": "u"},
    "two ways to log in": {"username": "u", "password": "p", "api_key": "k"},
    "key of another kind": {"api_key": object()},
    "key of three parts": {"api_key": ("a", "b", "c")},
    "refresh of another kind": {"refresh": "later"},
    "refresh as a number": {"refresh": 1},
    "no shards": {"shards": 0},
    "negative replicas": {"replicas": -1},
    "no time": {"timeout": 0},
    "negative retries": {"retries": -1},
    "client of another kind": {"client": object()},
    "unknown option": {"index_prefx": "memory"},
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_option_is_refused_before_anything_is_sent(bad: str) -> None:
    with pytest.raises(MemoryConfigurationError):
        ElasticsearchBackend(**BAD[bad])


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        ("url", "hosts", "http://a:1"),
        ("host", "hosts", "http://a:1"),
        ("prefix", "index_prefix", "p"),
        ("request_timeout", "timeout", 3.0),
        ("max_retries", "retries", 7),
    ],
)
def test_option_is_known_under_its_other_name(option: str, name: str, value: Any) -> None:
    found = getattr(ElasticsearchBackend(**{option: value}).settings, name)
    assert found == ((value,) if name == "hosts" else value)


def test_text_is_the_host() -> None:
    assert ElasticsearchBackend("https://es.example.com").settings.hosts == ("https://es.example.com",)


def test_secrets_are_not_shown() -> None:
    settings = ElasticsearchBackend(hosts="http://u:hidden@a:1", username="u", password="hidden").settings
    assert "hidden" not in repr(settings)
    assert "hidden" not in repr(ElasticsearchBackend(api_key="hidden").settings)


def test_index_name_begins_with_the_prefix() -> None:
    backend = ElasticsearchBackend(index_prefix="memory")
    assert [backend.get_index_name(name) for name in ("sessions", "x")] == ["memory_sessions", "memory_x"]


def test_client_is_there_only_while_connected() -> None:
    with pytest.raises(NotConnectedError):
        ElasticsearchBackend().get_client()


async def test_client_given_is_used_and_left_open(
    make: MakeBackend, raw: AsyncElasticsearch, elasticsearch_server: ElasticsearchService
) -> None:
    async with make(client=raw) as backend:
        assert backend.get_client() is raw
        await backend.create_session(SessionMetadata("s"))
    assert (await raw.cluster.health())["timed_out"] is False


async def test_lost_connection_is_tried_so_many_times_again(make: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []
    async with make(retries=2, timeout=7.5) as backend:
        (node,) = backend.get_client().transport.node_pool.all()

        async def lost(*args: Any, **kwargs: Any) -> Any:
            tried.append(kwargs["request_timeout"])
            raise Unreachable("lost")

        monkeypatch.setattr(node, "perform_request", lost)
        with pytest.raises(StorageUnavailableError):
            await backend.repository.ping()
    assert tried == [7.5, 7.5, 7.5]


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"api_key": "a2V5"}, "ApiKey a2V5"),
        ({"api_key": ("id", "key")}, "ApiKey aWQ6a2V5"),
        ({"username": "u", "password": "p"}, "Basic dTpw"),
    ],
)
async def test_credentials_are_sent(
    make: MakeBackend, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], header: str
) -> None:
    sent: list[Any] = []
    backend = make(**options)
    async with backend:
        node: Any = backend.get_client().transport.node_pool.all()[0]
        perform = node.perform_request

        async def noted(*args: Any, **kwargs: Any) -> Any:
            sent.append(kwargs["headers"].get("authorization"))
            return await perform(*args, **kwargs)

        monkeypatch.setattr(node, "perform_request", noted)
        await backend.repository.ping()
    assert sent == [header]


async def test_certificate_options_reach_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[AsyncElasticsearch] = []

    def noted(**arguments: Any) -> AsyncElasticsearch:
        made.append(AsyncElasticsearch(**arguments))
        return made[-1]

    monkeypatch.setattr("langswarm_memory.backends.elasticsearch.AsyncElasticsearch", noted)
    fingerprint = "ab" * 32
    options: dict[str, Any] = {"ssl_assert_fingerprint": fingerprint, "verify_certs": False, "retries": 0}
    with pytest.raises(StorageUnavailableError):
        await ElasticsearchBackend("https://localhost:9", **options).connect()
    (node,) = made[0].transport.node_pool.all()
    assert (node.config.verify_certs, node.config.ssl_assert_fingerprint) == (False, fingerprint)


async def test_client_that_cannot_be_made_is_no_reason_to_try_again() -> None:
    with pytest.raises(MemoryConnectionError) as caught:
        await ElasticsearchBackend("https://localhost:9", ca_certs="/nowhere/ca.pem").connect()
    assert not caught.value.retryable
    assert not isinstance(caught.value, StorageUnavailableError)


@pytest.mark.parametrize("missing", ["elasticsearch", "elastic_transport", "aiohttp"])
def test_missing_package_is_told_with_the_command_that_installs_it(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from langswarm_memory.errors import MissingDependencyError\n"
        "try:\n    import langswarm_memory.backends.elasticsearch\n"
        "except MissingDependencyError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'langswarm-memory[elasticsearch]'" in done.stdout


@pytest.mark.parametrize("refresh", [True, "wait_for"])
async def test_other_programs_find_a_message_once_it_is_appended(
    make: MakeBackend, raw: AsyncElasticsearch, prefix: str, refresh: bool | str
) -> None:
    async with make(refresh=refresh) as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", [new_message(1)], now=START)
        assert (await raw.count(index=f"{prefix}_messages"))["count"] == 1


async def test_append_waits_for_no_refresh_unless_told(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    await_never = {"index": {"refresh_interval": "-1"}}
    async with make() as backend:
        await raw.indices.put_settings(index=f"{prefix}_messages", settings=await_never)
        try:
            await backend.repository.insert_session(new_session())
            await backend.repository.append("s", [new_message(1)], now=START)
            assert (await raw.count(index=f"{prefix}_messages"))["count"] == 0
        finally:
            await raw.indices.put_settings(index=f"{prefix}_messages", settings={"index": {"refresh_interval": None}})
