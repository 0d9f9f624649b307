"""The text indexes of the two databases: that they are used, and that they hold what the messages say."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import delete, update

from langswarm_memory import Message
from langswarm_memory.errors import MemoryConfigurationError
from langswarm_memory.models import MessageRow
from langswarm_memory.relational import RelationalBackend
from langswarm_memory.repository.sql.text_index import SEARCHABLE, TABLES_SQLITE
from langswarm_memory.repository.text_search import SearchFilter
from langswarm_memory.search import parse
from tests.sql.databases import Database, converse
from tests.sql.test_migrations_upgrade import furnish

NOW = datetime(2025, 7, 8, tzinfo=UTC)
ROW = (
    "INSERT INTO {table} (session_id, seq, message_id, role, content, timestamp, token_count) "
    "VALUES ('s', 100, 'm100', 'user', '{text}', '2025-07-08 12:00:00.000000{zone}', 1)"
)


async def found(backend: RelationalBackend, query: str, **scope: Any) -> list[Any]:
    """Return what the hits of a search say, best first."""
    return [message.content for message in await backend.search_messages(query, **scope)]


@pytest.fixture
async def opened(database: Database) -> AsyncIterator[RelationalBackend]:
    """A backend over `database`, in which a session "s" talks of lanterns and kettles."""
    async with database.backend() as backend:
        await converse(backend, "s", ["violet lantern", "copper kettle"])
        yield backend


# --- the index is used ---------------------------------------------------------------------------------------------

QUERIES = {
    "a word": "lantern",
    "words": "violet lantern gardens",
    "a prefix": "lant*",
    "a phrase": '"violet lantern"',
    "an exclusion": "lantern -umbrella",
    "characters": "旧灯塔",
}
SCOPES = {
    "everywhere": SearchFilter(),
    "of a user": SearchFilter(user_id="user-7"),
    "in a session": SearchFilter(session_ids=frozenset({"session-7"})),
}
FILL = {
    "sqlite": """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100)
INSERT INTO sessions (session_id, user_id, auto_summarize, summary_threshold, status, created_at, updated_at)
SELECT 'session-' || n, 'user-' || n, 0, 20, 'active', '2025-07-08 12:00:00.000000', '2025-07-08 12:00:00.000000'
FROM numbers;
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5000)
INSERT INTO messages (session_id, seq, message_id, role, content, timestamp, token_count)
SELECT 'session-' || (1 + n % 100), n, 'm' || n, 'user',
       CASE n % 1000 WHEN 7 THEN 'a violet lantern 旧灯塔' ELSE 'grey stones ' || n END, '2025-07-08 12:00:00.000000', 5
FROM numbers;
""",
    "postgres": """
INSERT INTO {sessions} (session_id, user_id, auto_summarize, summary_threshold, status, created_at, updated_at)
SELECT 'session-' || n, 'user-' || n, false, 20, 'active', now(), now() FROM generate_series(1, 100) n;
INSERT INTO {messages} (session_id, seq, message_id, role, content, timestamp, token_count)
SELECT 'session-' || (1 + n % 100), n, 'm' || n, 'user',
       CASE n % 1000 WHEN 7 THEN 'a violet lantern 旧灯塔' ELSE 'grey stones ' || n END, now(), 5
FROM generate_series(1, 5000) n;
ANALYZE {messages}; ANALYZE {sessions};
""",
}


async def plan(database: Database, query: str, where: SearchFilter) -> list[str]:
    """Return the plan of a search, a line per step."""
    async with database.backend() as backend:
        driver: Any = backend.repository.driver
        sql, values = driver.search(parse(query), where, 10, None, bounded=where == SearchFilter())
    if database.kind == "sqlite":
        with closing(sqlite3.connect(database.path)) as connection:
            return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    connection = await asyncpg.connect(database.url)
    try:
        return [row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *values)]
    finally:
        await connection.close()


def scans(lines: list[str]) -> list[str]:
    """Return the steps that read all messages."""
    steps = [line.strip(" ->") for line in lines]
    return [step for step in steps if step in ("SCAN m", "SCAN messages") or step.startswith("Seq Scan on messages")]


@pytest.mark.parametrize("where", SCOPES.values(), ids=SCOPES)
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
async def test_search_reads_the_index_and_never_all_messages(filled: Database, query: str, where: SearchFilter) -> None:
    lines = await plan(filled, query, where)
    assert any("VIRTUAL TABLE INDEX" in line or "Bitmap Index Scan on messages_text" in line for line in lines), lines
    assert scans(lines) == [], lines


@pytest.fixture
async def filled(database: Database) -> Database:
    """A database of 5,000 messages in 100 sessions, of which five are looked for."""
    async with database.backend():
        pass
    tables = {name: database.quoted(name) for name in ("messages", "sessions")}
    database.run(FILL[database.kind].format(**tables))
    return database


async def test_scan_is_noticed(filled: Database) -> None:
    if filled.kind == "postgres":
        filled.run(f"DROP INDEX {filled.quoted('messages_text')}")
        connection = await asyncpg.connect(filled.url)
        sql = f"EXPLAIN SELECT 1 FROM {filled.quoted('messages')} WHERE content LIKE '%x%'"
        lines = [row[0] for row in await connection.fetch(sql)]
        await connection.close()
    else:
        lines = [row[3] for row in filled.rows("EXPLAIN QUERY PLAN SELECT * FROM messages m WHERE content LIKE '%x%'")]
    assert scans(lines) != []


@pytest.mark.parametrize("scope", [{}, {"user_id": "u"}], ids=["everywhere", "of a user"])
async def test_page_is_one_statement(
    opened: RelationalBackend, monkeypatch: pytest.MonkeyPatch, scope: dict[str, str]
) -> None:
    driver: Any = opened.repository.driver
    statements: list[str] = []
    for name in ("fetch", "unit", "query"):
        call = getattr(driver, name)

        async def counted(operation: str, *args: Any, _call: Any = call, **kwargs: Any) -> Any:
            statements.append(operation)
            return await _call(operation, *args, **kwargs)

        monkeypatch.setattr(driver, name, counted)
    assert await found(opened, "lantern", **scope) == ["violet lantern"]
    assert statements == ["search_text"]


# --- whoever writes ------------------------------------------------------------------------------------------------


async def test_row_written_by_plain_sql_is_found(opened: RelationalBackend, database: Database) -> None:
    zone = "+00" if database.kind == "postgres" else ""
    database.run(ROW.format(table=database.quoted("messages"), text="a glacier", zone=zone))
    assert await found(opened, "glacier") == ["a glacier"]


async def test_row_written_by_the_orm_is_found(opened: RelationalBackend) -> None:
    async with opened.orm(write=True) as db:
        db.add(
            MessageRow(
                session_id="s", seq=9, message_id="m", role="user", content="a glacier", timestamp=NOW, token_count=1
            )
        )
    assert await found(opened, "glacier") == ["a glacier"]


async def test_text_changed_by_plain_sql_is_found(opened: RelationalBackend, database: Database) -> None:
    database.run(f"UPDATE {database.quoted('messages')} SET content = 'a glacier' WHERE seq = 1")
    assert await found(opened, "glacier") == ["a glacier"]


async def test_text_changed_by_plain_sql_is_no_longer_found(opened: RelationalBackend, database: Database) -> None:
    database.run(f"UPDATE {database.quoted('messages')} SET content = 'a glacier' WHERE seq = 1")
    assert await found(opened, "lantern") == []


async def test_text_changed_by_the_orm_is_found(opened: RelationalBackend) -> None:
    async with opened.orm(write=True) as db:
        await db.execute(update(MessageRow).where(MessageRow.seq == 1).values(content="a glacier"))
    assert (await found(opened, "glacier"), await found(opened, "lantern")) == (["a glacier"], [])


async def test_row_deleted_by_plain_sql_is_no_longer_found(opened: RelationalBackend, database: Database) -> None:
    database.run(f"DELETE FROM {database.quoted('messages')} WHERE seq = 1")
    assert (await found(opened, "lantern"), await found(opened, "kettle")) == ([], ["copper kettle"])


async def test_row_deleted_by_the_orm_is_no_longer_found(opened: RelationalBackend) -> None:
    async with opened.orm(write=True) as db:
        await db.execute(delete(MessageRow).where(MessageRow.seq == 1))
    assert await found(opened, "lantern") == []


async def test_messages_of_a_deleted_session_are_no_longer_found(opened: RelationalBackend) -> None:
    await opened.delete_session("s")
    assert await found(opened, "lantern kettle") == []


async def test_message_in_the_place_of_a_deleted_one_is_found_by_its_own_words(opened: RelationalBackend) -> None:
    await opened.delete_session("s")
    await converse(opened, "other", ["a glacier", "some ice"])
    assert (await found(opened, "lantern kettle"), await found(opened, "glacier")) == ([], ["a glacier"])


# --- vacuum --------------------------------------------------------------------------------------------------------


async def test_vacuum_keeps_hits_right(opened: RelationalBackend) -> None:
    await converse(opened, "other", ["a glacier", "some ice", "a harbour"])
    await opened.delete_session("s")
    await opened.vacuum_database()
    assert [await found(opened, word) for word in ("ice", "harbour", "lantern")] == [["some ice"], ["a harbour"], []]


async def test_vacuum_by_another_program_keeps_hits_right(opened: RelationalBackend, database: Database) -> None:
    await converse(opened, "other", ["a glacier", "some ice", "a harbour 旧灯塔"])
    await opened.delete_session("s")
    database.run("VACUUM" if database.kind == "sqlite" else f"VACUUM FULL {database.quoted('messages')}")
    assert [await found(opened, word) for word in ("ice", "灯塔")] == [["some ice"], ["a harbour 旧灯塔"]]


@pytest.mark.store("sqlite")
async def test_copy_by_vacuum_into_finds_the_same(tmp_path: Path) -> None:
    database = Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    async with database.backend() as backend:
        await converse(backend, "gone", ["a harbour"])
        await converse(backend, "s", ["violet lantern", "copper kettle"])
        await backend.delete_session("gone")
    database.run(f"VACUUM INTO '{tmp_path / 'copy.db'}'")
    async with Database("sqlite", f"sqlite:///{tmp_path / 'copy.db'}").backend() as backend:
        assert await found(backend, "kettle") == ["copper kettle"]


@pytest.mark.store("sqlite")
async def test_vacuum_takes_deleted_words_out_of_the_file(tmp_path: Path) -> None:
    database = Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    async with database.backend() as backend:
        await converse(backend, "gone", ["xylophonist"])
        await converse(backend, "s", ["copper kettle"])
        await backend.delete_session("gone")
        await backend.vacuum_database()
    assert b"xylophon" not in database.path.read_bytes()


# --- older stores --------------------------------------------------------------------------------------------------


async def test_messages_stored_before_there_was_an_index_are_found(plain: Database) -> None:
    furnish("0001", plain)
    async with plain.backend() as backend:
        assert await found(backend, "parcels") == ["Where is my parcel? 📦"]


async def test_messages_stored_before_there_was_an_index_can_be_deleted(plain: Database) -> None:
    furnish("0001", plain)
    async with plain.backend() as backend:
        await backend.delete_session("order-1")
        assert await found(backend, "parcel") == []
    if plain.kind == "sqlite":
        check_indexes(plain)


@pytest.fixture(params=["sqlite", "postgres"])
def plain(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database, in the schema that connections have by themselves."""
    if request.param == "sqlite":
        return Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    return Database("postgres", request.getfixturevalue("postgres_url"))


# --- length --------------------------------------------------------------------------------------------------------


async def test_message_of_twenty_megabytes_is_found(backend: RelationalBackend) -> None:
    text = "glacier " + "grey stones " * 1_700_000
    await converse(backend, "s", [text])
    assert [len(content) for content in await found(backend, "glacier")] == [len(text)]


@pytest.mark.parametrize(
    "text",
    [
        " ".join(f"w{number:x}" for number in range(20_000)),
        "".join(chr(0x20000 + number) for number in range(40_000)),
        "x" * SEARCHABLE,
        "ß" * SEARCHABLE,
    ],
    ids=["words that differ", "characters that differ", "one word", "one word of two bytes each"],
)
async def test_long_text_of_any_kind_is_stored(backend: RelationalBackend, text: str) -> None:
    await converse(backend, "s", [f"glacier {text}"])
    assert len(await found(backend, "glacier")) == 1


async def test_text_behind_the_searchable_part_is_not_found(backend: RelationalBackend) -> None:
    filling = "grey " * (SEARCHABLE // 5)
    await converse(backend, "s", [f"{filling}glacier"])
    assert await found(backend, "glacier") == []


async def test_text_behind_the_searchable_part_is_stored(backend: RelationalBackend) -> None:
    text = "grey " * (SEARCHABLE // 5) + "glacier"
    await converse(backend, "s", [text])
    assert await found(backend, "grey") == [text]


async def test_text_at_the_end_of_the_searchable_part_is_found(backend: RelationalBackend) -> None:
    text = "grey " * (SEARCHABLE // 5 - 2) + "   glacier" + " stones"
    await converse(backend, "s", [text])
    assert len(await found(backend, "glacier")) == 1


# --- FTS5 ----------------------------------------------------------------------------------------------------------


def check_indexes(database: Database) -> None:
    """Let FTS5 compare its indexes with the messages; raises ``sqlite3.DatabaseError`` where they differ."""
    with closing(sqlite3.connect(database.path)) as connection:
        for table in TABLES_SQLITE:
            connection.execute(f"INSERT INTO {table}({table}, rank) VALUES ('integrity-check', 1)")


WORDS = ("lantern", "kettle", "", "旧灯塔", "ยินดี", "école", "a", "\x00", "\ud83d", "123")


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("seed", range(3))
async def test_indexes_agree_with_the_messages_after_any_writes(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    database = Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")

    def text() -> str | None:
        return chance.choice([None, " ".join(chance.choices(WORDS, k=chance.randrange(5)))])

    async with database.backend() as backend:
        for _ in range(150):
            name = f"s{chance.randrange(4)}"
            session = await backend.get_session(name)
            if session is None:
                await converse(backend, name, ["first"])
                continue
            act = chance.randrange(10)
            seqs = [message.seq for message in await session.get_messages(full_history=True)]
            if act < 5 or not seqs:
                await session.add_messages([Message("assistant", text()) for _ in range(chance.randrange(1, 4))])
            elif act < 7:
                await session.edit_message(chance.choice(seqs), content=text())
            elif act < 8:
                await session.delete_messages([chance.choice(seqs)])
            elif act < 9:
                new = (text() or "").replace("\x00", "").encode("utf-8", "ignore").decode()
                database.run(f"UPDATE messages SET content = '{new}' WHERE seq % 3 = {chance.randrange(3)}")
            else:
                await backend.delete_session(name)
    check_indexes(database)


@pytest.mark.store("sqlite")
async def test_indexes_that_differ_from_the_messages_are_noticed(tmp_path: Path) -> None:
    database = Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    async with database.backend() as backend:
        await converse(backend, "s", ["violet lantern"])
    database.run("DROP TRIGGER messages_text_delete; DELETE FROM messages")
    with pytest.raises(sqlite3.DatabaseError):
        check_indexes(database)


@pytest.mark.store("sqlite")
async def test_indexes_made_by_the_upgrade_agree_with_the_messages(tmp_path: Path) -> None:
    database = Database("sqlite", f"sqlite:///{tmp_path / 'memory.db'}")
    furnish("0001", database)
    async with database.backend() as backend:
        session = await backend.get_session("order-1")
        assert session is not None
        await session.clear_messages()
    check_indexes(database)


# --- language ------------------------------------------------------------------------------------------------------


LAMPS = ["zwei Lampen", "two lanterns"]


def speaking(url: str, language: str, **options: Any) -> RelationalBackend:
    return Database("postgres", url).backend(search_language=language, **options)


@pytest.mark.parametrize(
    ("language", "word", "hits"),
    [
        ("german", "Lampe", ["zwei Lampen"]),
        ("english", "Lampe", []),
        ("english", "lantern", ["two lanterns"]),
        ("simple", "lantern", []),
        ("simple", "lanterns", ["two lanterns"]),
    ],
)
async def test_words_are_reduced_as_the_language_does(
    postgres_url: str, language: str, word: str, hits: list[str]
) -> None:
    async with speaking(postgres_url, language) as backend:
        await converse(backend, "s", LAMPS)
        assert await found(backend, word) == hits


async def test_another_language_has_the_index_made_anew(postgres_url: str) -> None:
    async with speaking(postgres_url, "english") as backend:
        await converse(backend, "s", LAMPS)
    async with speaking(postgres_url, "german") as backend:
        assert await found(backend, "Lampe") == ["zwei Lampen"]


async def test_index_made_anew_is_used(postgres_url: str) -> None:
    database = Database("postgres", postgres_url)
    for language in ("english", "german"):
        async with speaking(postgres_url, language):
            pass
    ((made,),) = database.rows("SELECT pg_get_indexdef('messages_text'::regclass)")
    assert "'german'" in made


async def test_same_language_leaves_the_index_alone(postgres_url: str) -> None:
    database = Database("postgres", postgres_url)
    kept = []
    for _ in range(2):
        async with speaking(postgres_url, "german"):
            kept += database.rows("SELECT 'messages_text'::regclass::oid")
    assert kept[0] == kept[1]


async def test_another_language_is_refused_without_auto_migrate(postgres_url: str) -> None:
    async with speaking(postgres_url, "english"):
        pass
    with pytest.raises(MemoryConfigurationError, match="search_language"):
        await speaking(postgres_url, "german", auto_migrate=False).connect()


async def test_index_that_is_missing_is_made(postgres_url: str) -> None:
    async with speaking(postgres_url, "english") as backend:
        await converse(backend, "s", LAMPS)
    Database("postgres", postgres_url).run("DROP INDEX messages_text")
    async with speaking(postgres_url, "english") as backend:
        assert await found(backend, "lantern") == ["two lanterns"]
    ((made,),) = Database("postgres", postgres_url).rows("SELECT to_regclass('messages_text') IS NOT NULL")
    assert made


async def test_upgrade_makes_the_index_for_the_language(postgres_url: str) -> None:
    database = Database("postgres", postgres_url)
    furnish("0001", database)
    async with speaking(postgres_url, "german"):
        pass
    ((made,),) = database.rows("SELECT pg_get_indexdef('messages_text'::regclass)")
    assert "'german'" in made


async def test_language_that_the_server_does_not_know_is_refused(postgres_url: str) -> None:
    with pytest.raises(MemoryConfigurationError, match="klingon"):
        await speaking(postgres_url, "klingon").connect()


@pytest.mark.parametrize("language", ["", "german'", "pg_catalog.german", "German", "x" * 64])
async def test_language_that_can_be_none_is_refused(postgres_url: str, language: str) -> None:
    with pytest.raises(MemoryConfigurationError, match="search_language"):
        await speaking(postgres_url, language).connect()
