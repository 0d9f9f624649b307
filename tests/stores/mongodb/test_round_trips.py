"""What a call costs, counted in commands, and which index answers it."""

from __future__ import annotations

from typing import Any

import pytest

from langswarm_memory.interfaces.enums import SYSTEM_ROLES
from langswarm_memory.repository.mongodb.repository import MongoDBRepository
from langswarm_memory.repository.protocol import MessageQuery, SessionQuery
from langswarm_memory.testing.samples import START, filled, new_message, new_messages, new_session
from tests.stores.mongodb.conftest import Commands, Database

WINDOW = MessageQuery(limit=20, keep_roles=SYSTEM_ROLES)
APPENDS = {
    "mongodb": ["findAndModify", "insert"],
    "mongodb-transactions": ["findAndModify", "insert", "commitTransaction"],
}


@pytest.mark.parametrize("count", [1, 1_000])
async def test_append_is_two_round_trips_or_one_transaction(
    mode: str, watched: MongoDBRepository, commands: Commands, count: int
) -> None:
    await watched.insert_session(new_session())
    for number in range(2):
        commands.sent.clear()
        await watched.append("s", new_messages(count, first=1 + number * count), now=START)
        assert commands.names == APPENDS[mode]


async def test_window_is_two_queries_at_most(watched: MongoDBRepository, commands: Commands) -> None:
    await filled(watched, [new_message(0, role="system"), *new_messages(40)])
    commands.sent.clear()
    assert len(await watched.read_messages("s", WINDOW)) == 21
    assert commands.names == ["find", "find"]


async def test_newest_messages_are_one_query(watched: MongoDBRepository, commands: Commands) -> None:
    await filled(watched, new_messages(40))
    commands.sent.clear()
    assert len(await watched.read_messages("s", MessageQuery(limit=20))) == 20
    assert commands.names == ["find"]


async def test_window_reads_as_many_documents_as_it_returns(watched: MongoDBRepository, commands: Commands) -> None:
    await filled(watched, [new_message(0, role="system"), *new_messages(500)])
    commands.sent.clear()
    await watched.read_messages("s", WINDOW)
    assert sorted(command.get("limit", 0) for command in commands.sent) == [0, 20]
    (kept,) = (command for command in commands.sent if "limit" not in command)
    assert kept["filter"]["role"] == {"$in": ["developer", "system"]}
    assert kept["hint"] == "by_role"


async def test_session_is_one_query(watched: MongoDBRepository, commands: Commands) -> None:
    await filled(watched, new_messages(2))
    commands.sent.clear()
    await watched.fetch_session("s")
    assert commands.names == ["find"]


async def test_session_with_messages_is_two_queries(watched: MongoDBRepository, commands: Commands) -> None:
    await filled(watched, new_messages(2))
    commands.sent.clear()
    await watched.fetch_with_messages("s", MessageQuery(limit=1))
    assert commands.names == ["find", "find"]


async def test_page_of_sessions_is_one_query(watched: MongoDBRepository, commands: Commands) -> None:
    await watched.insert_session(new_session())
    commands.sent.clear()
    await watched.list_sessions(SessionQuery())
    assert commands.names == ["find"]


async def test_opening_a_store_again_makes_no_index(watched: MongoDBRepository, commands: Commands) -> None:
    await watched.open()
    assert "createIndexes" not in commands.names


QUERIES: dict[str, tuple[dict[str, Any], str]] = {
    "everything": ({}, "by_created"),
    "live": ({"live_at": START}, "by_created"),
    "a user's": ({"user_id": "u", "live_at": START}, "by_user"),
    "a user's of a status": ({"user_id": "u", "status": "active"}, "by_user"),
    "an agent's": ({"agent_id": "a", "live_at": START}, "by_agent"),
    "of a status": ({"status": "archived", "live_at": START}, "by_status"),
    "next page": ({"live_at": START, "after": (START, "s")}, "by_created"),
    "a user's next page": ({"user_id": "u", "after": (START, "s")}, "by_user"),
}


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)  # the gateway knows no explain
@pytest.mark.parametrize("query", QUERIES)
async def test_listing_walks_an_index_in_its_order(
    watched: MongoDBRepository, commands: Commands, raw: Database, query: str
) -> None:
    conditions, index = QUERIES[query]
    await watched.insert_session(new_session("s", user_id="u", agent_id="a"))
    commands.sent.clear()
    await watched.list_sessions(SessionQuery(**conditions))
    (sent,) = commands.sent
    find = {name: sent[name] for name in ("find", "filter", "sort", "hint", "limit")}
    assert (find["sort"], find["hint"]) == ({"created": -1, "_id": -1}, index)
    assert index in str(await raw.command({"explain": find, "verbosity": "queryPlanner"}))


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_messages_are_read_by_the_index_of_their_order(
    watched: MongoDBRepository, commands: Commands, raw: Database
) -> None:
    await filled(watched, new_messages(3))
    commands.sent.clear()
    await watched.read_messages("s", WINDOW)
    for sent in commands.sent:
        find = {name: sent[name] for name in ("find", "filter", "sort", "hint", "limit") if name in sent}
        assert find["hint"] in str(await raw.command({"explain": find, "verbosity": "queryPlanner"}))
