"""Text search: what is stored for it, what it costs, and messages that were stored before there was any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from langswarm_memory.backends.mongodb import MongoDBBackend
from langswarm_memory.errors import UnsupportedOperationError
from langswarm_memory.repository.mongodb import search
from langswarm_memory.repository.mongodb.repository import MongoDBRepository
from langswarm_memory.repository.mongodb.terms import SEARCHED_CHARACTERS, TERMS_BYTES, text_fields
from langswarm_memory.repository.protocol import Rewrite
from langswarm_memory.repository.text_search import SearchFilter
from langswarm_memory.search import parse
from langswarm_memory.testing.samples import START, at, filled, new_message, new_messages, new_session, read
from tests.stores.mongodb.conftest import Commands, Database


async def found(repository: MongoDBRepository, text: str, *, limit: int = 100, **scope: Any) -> list[str]:
    """Return the ids of what a search finds, best first."""
    hits = await repository.search_text(parse(text), SearchFilter(**scope), limit=limit)
    return [hit.message.message_id for hit in hits]


async def test_message_is_found_by_its_different_stems(repository: MongoDBRepository, raw: Database) -> None:
    await filled(repository, [new_message(1, "Lanterns, lantern's painting; 我们")])
    (stored,) = await raw.messages.find().to_list(None)
    assert (stored["terms"], stored["length"]) == (["lantern", "s", "paint", "我", "们", "我们"], 7)


async def test_message_without_words_has_no_terms(repository: MongoDBRepository, raw: Database) -> None:
    await filled(repository, [new_message(1, "?!")])
    (stored,) = await raw.messages.find().to_list(None)
    assert (stored["terms"], stored["length"]) == ([], 0)


def test_terms_take_no_more_room_than_there_is() -> None:
    text = " ".join(f"w{number}" for number in range(1_000))
    assert len(text_fields(text, 100)["terms"]) == 5  # of 18 bytes, and some of 19
    assert len(text_fields(text, TERMS_BYTES)["terms"]) == 1_000


async def test_large_message_is_found_by_its_beginning_alone(repository: MongoDBRepository) -> None:
    await filled(repository, [new_message(1, f"violet {'x' * SEARCHED_CHARACTERS} lantern")])
    assert await found(repository, "violet") == ["m1"]
    assert await found(repository, "lantern") == []


async def test_search_is_six_commands_or_seven_in_a_scope(watched: MongoDBRepository, commands: Commands) -> None:
    await filled(watched, new_messages(3))
    commands.sent.clear()
    assert await found(watched, "text 2") == ["m2", "m3", "m1"]
    # How rare are the words (of so many)? Which are the best candidates? What are they?
    assert sorted(commands.names[:3]) == ["aggregate", "aggregate", "count"]
    assert commands.names[3:] == ["aggregate", "find", "find"]
    commands.sent.clear()
    await found(watched, "text 2", session_ids=frozenset({"s"}))
    assert commands.names[3:] == ["find", "aggregate", "find", "find"]


async def test_search_reads_no_more_messages_than_a_page(watched: MongoDBRepository, commands: Commands) -> None:
    await filled(watched, new_messages(200))
    commands.sent.clear()
    assert len(await found(watched, "text", limit=5)) == 5
    (asked,) = (command for command in commands.sent if command.get("find") == "messages")
    assert len(asked["filter"]["_id"]["$in"]) == search.PAGE


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)  # the gateway knows no explain
async def test_candidates_are_found_by_the_index(watched: MongoDBRepository, commands: Commands, raw: Database) -> None:
    await filled(watched, [*new_messages(300), new_message(999, "lantern")])
    commands.sent.clear()
    assert await found(watched, "lantern") == ["m999"]
    (sent,) = (one for one in commands.sent if one.get("pipeline", [{}])[-1].get("$limit"))
    find = {"find": "messages", "filter": sent["pipeline"][0]["$match"]}
    assert "by_term" in str(await raw.command({"explain": find, "verbosity": "queryPlanner"}))


async def test_user_of_more_sessions_than_are_named_is_searched_whole(
    repository: MongoDBRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SCOPE", 3)
    await filled(repository, [new_message(number, "lantern lantern") for number in range(200)], "others")
    for number in range(5):
        await repository.insert_session(new_session(f"s{number}", user_id="me"))
        await repository.append(f"s{number}", [new_message(500 + number, "one lantern " + "x " * 50)], now=START)
    assert sorted(await found(repository, "lantern", user_id="me")) == [f"m{number}" for number in range(500, 505)]


async def test_messages_of_a_session_that_is_gone_are_not_found(repository: MongoDBRepository, raw: Database) -> None:
    await filled(repository, [new_message(1, "lantern")])
    await raw.sessions.delete_one({})  # as an append does, that was under way while its session was deleted
    assert await found(repository, "lantern") == []


async def test_messages_stored_before_there_was_search_are_found_once_the_store_is_opened(
    repository: MongoDBRepository, raw: Database
) -> None:
    await filled(repository, new_messages(3))
    await raw.messages.update_many({}, {"$unset": {"terms": "", "length": ""}})
    assert await found(repository, "text") == []
    await repository.open()
    assert sorted(await found(repository, "text")) == ["m1", "m2", "m3"]


async def test_more_old_messages_than_a_page_are_made_searchable(
    repository: MongoDBRepository, raw: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BUILD_PAGE", 4)
    await filled(repository, new_messages(10))
    await raw.messages.update_many({}, {"$unset": {"terms": "", "length": ""}})
    await repository.open()
    assert len(await found(repository, "text")) == 10


async def test_corrupt_message_does_not_keep_a_store_from_opening(repository: MongoDBRepository, raw: Database) -> None:
    await filled(repository, new_messages(2))
    await raw.messages.update_many({}, {"$unset": {"terms": "", "length": ""}})
    await raw.messages.update_one({"seq": 1}, {"$set": {"document": b"{"}})
    await repository.open()
    assert await found(repository, "text") == ["m2"]


async def test_store_without_search_keeps_no_terms(options: dict[str, Any], raw: Database) -> None:
    async with MongoDBBackend(options, text_search=False) as backend:
        await filled(backend.repository, new_messages(1))
        assert not backend.features.text_search
        with pytest.raises(UnsupportedOperationError, match="text_search"):
            await found(backend.repository, "text")
    (stored,) = await raw.messages.find().to_list(None)
    assert "terms" not in stored


async def test_message_rewritten_without_search_is_found_by_its_new_text_when_it_is_on_again(
    options: dict[str, Any],
) -> None:
    async with MongoDBBackend(options) as backend:
        await filled(backend.repository, [new_message(1, "violet")])
    async with MongoDBBackend(options, text_search=False) as backend:
        (stored,) = await read(backend.repository)
        change = Rewrite(edits=0, replaced=((stored, replace(stored, content="lantern")),))
        await backend.repository.rewrite("s", change, now=at(1))
    async with MongoDBBackend(options) as backend:
        assert await found(backend.repository, "violet") == []
        assert await found(backend.repository, "lantern") == ["m1"]


async def test_search_that_meets_a_torn_rewrite_finishes_it(repository: MongoDBRepository, raw: Database) -> None:
    await filled(repository, [new_message(1, "lantern here"), new_message(2, "lantern there")])
    await filled(repository, [new_message(2, "lantern anew")], "t")
    new = await raw.messages.find_one({"session_id": "t"})
    assert new is not None
    fields = {name: new[name] for name in ("role", "at", "tokens", "document", "terms", "length")}
    for seq, following in ((1, None), (2, fields)):
        note = {"id": "r", "edits": 0, "next": following}
        await raw.messages.update_one({"session_id": "s", "seq": seq}, {"$push": {"rewriting": note}})
    mark = {"id": "r", "first": 1, "last": 2, "removed": 1, "replaced": 1, "roles": False}
    await raw.sessions.update_one({"_id": "s"}, {"$set": {"rewriting": mark, "edits": 1}})
    hits = await repository.search_text(parse("lantern"), SearchFilter(session_ids=frozenset({"s"})), limit=5)
    assert [hit.message.text for hit in hits] == ["lantern anew"]
