"""Searching for words: what a search costs, what it leaves out, and messages that an earlier version stored."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from langswarm_memory import StorageUnavailableError
from langswarm_memory.interfaces.message import Message
from langswarm_memory.repository import codec
from langswarm_memory.repository.elasticsearch import ElasticsearchRepository, schema, search
from langswarm_memory.repository.elasticsearch.records import document_id, message_source, session_source
from langswarm_memory.repository.protocol import Rewrite
from langswarm_memory.repository.text_search import SearchFilter
from langswarm_memory.search import parse
from langswarm_memory.testing.rewrites import changed
from langswarm_memory.testing.samples import START, new_message, new_messages, new_session, read
from tests.stores.elasticsearch.conftest import MakeBackend, Wire
from tests.stores.elasticsearch.test_raw_form import session_key, source

pytestmark = pytest.mark.store("elasticsearch")

NEW_FIELDS = {
    "sessions": ("edits", "editor", "rewrite", "indexed", "indexes", "fresh"),
    "messages": ("stems", "metadata", "edit"),
    "summaries": (),
}
"""Fields that the first version of the mappings did not know."""


async def found(store: ElasticsearchRepository, text: str, *, limit: int = 100, **scope: Any) -> list[str]:
    """Return the texts of what a search finds."""
    hits = await store.search_text(parse(text), SearchFilter(**scope), limit=limit)
    return [hit.message.text for hit in hits]


# ---- what it costs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "requests"),
    [
        ({}, ["_messages/_refresh", "_messages/_search", "_sessions/_mget"]),
        ({"live_at": START}, ["_messages/_refresh", "_messages/_search", "_sessions/_mget"]),
        (
            {"user_id": "u"},
            ["_messages,{}_sessions/_refresh", "_sessions/_search", "_messages/_search", "_sessions/_mget"],
        ),
        ({"session_ids": frozenset()}, []),
    ],
)
async def test_search_is_a_few_requests(
    make: MakeBackend, wired: AsyncElasticsearch, prefix: str, scope: dict[str, Any], requests: list[str]
) -> None:
    async with make(client=wired) as backend:
        await backend.repository.insert_session(new_session("s", user_id="u"))
        await backend.repository.append("s", [new_message(1, "lantern")], now=START)
        Wire.seen.clear()
        await found(backend.repository, "lantern", **scope)
    assert [name.partition(" ")[2] for name in Wire.seen] == [f"/{prefix}{each.format(prefix)}" for each in requests]


async def test_stems_are_not_kept_in_the_source(make: MakeBackend, raw: AsyncElasticsearch, prefix: str) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", [new_message(1, "lanterns")], now=START)
    key = await session_key(raw, prefix)
    assert "stems" not in await source(raw, f"{prefix}_messages", document_id(key, "m1"), key)


async def test_only_the_beginning_of_a_long_message_is_searched(make: MakeBackend) -> None:
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", [new_message(1, "lantern " + "x " * 50_000 + "kettle")], now=START)
        assert len(await found(backend.repository, "lantern")) == 1
        assert await found(backend.repository, "kettle") == []


async def test_word_longer_than_the_servers_tokens_is_found(make: MakeBackend) -> None:
    word = "x1y2z3" * 100
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", [new_message(1, f"a {word} b"), new_message(2, word[:255])], now=START)
        assert await found(backend.repository, word) == [f"a {word} b"]


# ---- phrases and prefixes together ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('"red stone*"', ["red stones lie", "red stonework"]),
        ('"red sto*" -"stones li*"', ["red stonework"]),
        ("red -stonew*", ["red stones lie"]),
        ('"is re*"', ["the stonework is red"]),
        ("happily*", ["happily ever"]),
        ('"东京 tower"', ["东京 tower at night"]),
    ],
)
async def test_phrases_with_prefixes_are_looked_at(make: MakeBackend, query: str, expected: list[str]) -> None:
    texts = [
        "red stones lie",
        "red stonework",
        "the stonework is red",
        "a happy end",
        "happily ever",
        "东京 tower at night",
    ]
    async with make() as backend:
        await backend.repository.insert_session(new_session())
        messages = [new_message(number, text) for number, text in enumerate(texts, 1)]
        await backend.repository.append("s", messages, now=START)
        hits = await found(backend.repository, query)
    assert sorted(hits) == sorted(expected)


# ---- what is left out ----------------------------------------------------------------------------------------


async def test_changes_that_are_not_carried_out_are_not_found(
    make: MakeBackend, wired: AsyncElasticsearch, raw: AsyncElasticsearch
) -> None:
    """Neither a removed message nor the first form of a replaced one."""
    async with make(client=wired) as backend, make() as other:
        store = backend.repository
        await store.insert_session(new_session())
        messages = [new_message(number, f"lantern {number}") for number in (1, 2, 3)]
        await store.append("s", messages, now=START)
        stored = await read(store)
        Wire.refuse = "_messages/_bulk"
        change = Rewrite(edits=0, removed=(stored[0],), replaced=(changed(stored[1], content="lantern new"),))
        with pytest.raises(StorageUnavailableError):
            await store.rewrite("s", change, now=START)
        assert await found(other.repository, "lantern") == ["lantern 3"]
        Wire.refuse = None
        await other.repository.append("s", [new_message(4)], now=START)
        assert sorted(await found(other.repository, "lantern")) == ["lantern 3", "lantern new"]


async def test_session_deleted_during_a_search_is_not_found(make: MakeBackend, wired: AsyncElasticsearch) -> None:
    async with make(client=wired) as backend, make() as other:
        for session_id in "ab":
            await backend.repository.insert_session(new_session(session_id))
            await backend.repository.append(session_id, [new_message(1, f"lantern {session_id}")], now=START)
        Wire.meanwhile = ("_sessions/_mget", lambda: other.repository.delete_sessions(["a"]))
        assert await found(backend.repository, "lantern") == ["lantern b"]
        assert Wire.meanwhile is None


async def test_messages_of_an_earlier_session_of_that_id_are_not_found(
    make: MakeBackend, wired: AsyncElasticsearch
) -> None:
    async with make(client=wired) as backend, make() as other:
        await backend.repository.insert_session(new_session())
        await backend.repository.append("s", [new_message(1, "lantern")], now=START)

        async def make_anew() -> None:
            await other.repository.delete_sessions(["s"])
            await other.repository.insert_session(new_session())

        Wire.meanwhile = ("_sessions/_mget", make_anew)
        assert await found(backend.repository, "lantern") == []
        assert Wire.meanwhile is None


async def test_limit_is_filled_from_further_pages(make: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SMALLEST_PAGE", 2)
    async with make() as backend:
        for number in range(12):
            await backend.repository.insert_session(
                new_session(f"s{number:02}", status="expired" if number < 9 else "active")
            )
            await backend.repository.append(f"s{number:02}", [new_message(number, "lantern")], now=START)
        hits = await backend.repository.search_text(parse("lantern"), SearchFilter(live_at=START), limit=2)
    assert [hit.session_id for hit in hits] == ["s09", "s10"]


async def test_filter_that_is_about_too_many_sessions_is_applied_afterwards(
    make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_SESSIONS", 3)
    async with make() as backend:
        for number in range(8):
            await backend.repository.insert_session(new_session(f"s{number}", user_id="other" if number == 2 else "me"))
            await backend.repository.append(f"s{number}", [new_message(number, f"lantern {number}")], now=START)
        assert len(await found(backend.repository, "lantern", user_id="me")) == 7
        names = frozenset(f"s{number}" for number in range(6))
        assert len(await found(backend.repository, "lantern", user_id="me", session_ids=names)) == 5


# ---- messages of an earlier version --------------------------------------------------------------------------


@pytest.fixture
async def old(raw: AsyncElasticsearch, elasticsearch_prefix: str) -> str:
    """The prefix of indexes as the first version made them, with a session of three messages."""
    prefix = elasticsearch_prefix
    for name, gone in NEW_FIELDS.items():
        mappings: dict[str, Any] = schema.mappings(name) | {"_meta": {"schema": 1}}
        mappings.pop("_source", None)
        mappings["properties"] = {key: kind for key, kind in schema.FIELDS[name].items() if key not in gone}
        await raw.indices.create(index=f"{prefix}_{name}", mappings=mappings, settings={"number_of_replicas": 0})
    messages = [new_message(1, "lantern", metadata={"k": 1}), new_message(2, "kettle"), new_message(3, "lanterns")]
    entries = [first_form(message, seq) for seq, message in enumerate(messages, 1)]
    numbers = {"revision": 1, "message_count": 3, "token_count": 3, "last_seq": 3}
    document = session_source(new_session(), {"session_key": "k" * 32, **numbers, "pending": entries[2:]})
    await raw.index(index=f"{prefix}_sessions", id="s", document=document)
    for entry in entries:
        await raw.index(
            index=f"{prefix}_messages",
            id=document_id("k" * 32, entry["message_id"]),
            routing="k" * 32,
            document={"session_id": "s", "session_key": "k" * 32, **entry},
            version=entry["seq"],
            version_type="external",
        )
    return prefix


def first_form(message: Message, seq: int) -> dict[str, Any]:
    entry = {"seq": seq, **message_source(codec.encode_message(message), message, "b")}
    del entry["metadata"]
    return entry


async def test_messages_of_an_earlier_version_are_found_once_they_are_indexed_anew(make: MakeBackend, old: str) -> None:
    async with make(index_prefix=old) as backend:
        assert await found(backend.repository, "lantern") == []
        assert await backend.reindex_messages() == 3
        assert sorted(await found(backend.repository, "lantern")) == ["lantern", "lanterns"]
        assert await found(backend.repository, "lantern", metadata={"k": 1.0}) == ["lantern"]
        assert [message.text for message in await read(backend.repository)] == ["lantern", "kettle", "lanterns"]


async def test_indexing_anew_may_be_repeated(make: MakeBackend, old: str) -> None:
    async with make(index_prefix=old) as backend:
        await backend.reindex_messages()
        await backend.repository.append("s", new_messages(2, first=4), now=START)
        assert await backend.reindex_messages() == 0


@pytest.mark.parametrize("deletion", ["messages", "session", "rewrite"])
async def test_indexing_anew_brings_nothing_back(
    make: MakeBackend, wired: AsyncElasticsearch, old: str, raw: AsyncElasticsearch, deletion: str
) -> None:
    async with make(index_prefix=old, client=wired) as backend, make(index_prefix=old) as other:

        async def delete() -> None:
            if deletion == "messages":
                await other.repository.delete_messages("s")
            elif deletion == "session":
                await other.repository.delete_sessions(["s"])
            else:
                stored = await read(other.repository)
                replaced = tuple(changed(message, content="new") for message in stored)
                await other.repository.rewrite("s", Rewrite(edits=0, replaced=replaced), now=START)

        Wire.meanwhile = ("_messages/_bulk", delete)
        assert await backend.reindex_messages() == 0
        assert Wire.meanwhile is None
    await raw.indices.refresh(index=f"{old}_messages")
    answer = await raw.search(index=f"{old}_messages", query={"exists": {"field": "role"}})
    expected = ["new"] * 3 if deletion == "rewrite" else []
    assert [hit["_source"]["content"] for hit in answer["hits"]["hits"]] == expected
