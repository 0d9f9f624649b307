"""What the query of a PostgreSQL URL means: asyncpg knows none of libpq's names."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from langswarm_memory import MemoryConfigurationError, Message, create_memory_manager
from langswarm_memory.repository.sql.urls import split_query


def arguments_of(query: str) -> dict[str, object]:
    return split_query(make_url(f"postgresql://host/database?{query}"))[1]


@pytest.mark.parametrize("name", ["sslmode", "ssl"])
def test_tls_mode_becomes_the_drivers_argument(name: str) -> None:
    assert arguments_of(f"{name}=require") == {"ssl": "require"}


def test_other_names_become_run_time_parameters() -> None:
    assert arguments_of("application_name=agents") == {"server_settings": {"application_name": "agents"}}


def test_place_of_the_server_stays_in_the_url() -> None:
    url, arguments = split_query(make_url("postgresql:///database?host=/run/postgresql&sslmode=disable"))
    assert (dict(url.query), arguments) == ({"host": "/run/postgresql"}, {"ssl": "disable"})


@pytest.mark.parametrize("query", ["sslrootcert=ca.pem", "application_name=a&application_name=b"])
def test_what_cannot_be_passed_on_is_refused(query: str) -> None:
    with pytest.raises(MemoryConfigurationError):
        arguments_of(query)


async def test_query_of_the_url_reaches_the_server(postgres_url: str) -> None:
    async with create_memory_manager(f"{postgres_url}?sslmode=disable&application_name=agents") as manager:
        session = await manager.get_or_create_session("s")
        assert await session.add_message(Message("user", "hello"))
        rows = await manager.backend.query("SELECT current_setting('application_name') AS name")  # type: ignore[attr-defined]
    assert rows == [{"name": "agents"}]
