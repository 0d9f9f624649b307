"""Rules for stores with text search."""

from __future__ import annotations

from typing import Any

import pytest

from ..repository.protocol import MemoryRepository, TextSearch
from .samples import SQL, START, at, exact_message, filled, new_message, new_session, read


async def found(repository: MemoryRepository, *words: str, **scope: Any) -> list[str]:
    """Return the ids of the messages that hold the words."""
    if not repository.features.text_search:
        pytest.skip(f"{repository.name} has no text search")
    assert isinstance(repository, TextSearch)
    hits = await repository.search_text(words, **{"session_ids": None, "user_id": None, "limit": 100, **scope})
    return [hit.message.message_id for hit in hits]


class SearchRules:
    """``search_text``."""

    async def test_search_finds_messages_that_hold_every_word(self, repository: MemoryRepository) -> None:
        """In any order, and inside longer words."""
        texts = ["the red car", "a car, reddish", "a red bus", ""]
        await filled(repository, [new_message(number, text) for number, text in enumerate(texts, 1)])
        assert await found(repository, "car", "red") == ["m2", "m1"]

    @pytest.mark.parametrize(
        ("text", "word"), [("Invoice", "inVOICE"), ("ÉCOLE", "école"), ("привет", "ПРИВЕТ"), ("ωμέγα", "ΩΜΈΓΑ")]
    )
    async def test_search_ignores_case(self, repository: MemoryRepository, text: str, word: str) -> None:
        """In every alphabet."""
        await filled(repository, [new_message(1, text), new_message(2, "else")])
        assert await found(repository, word) == ["m1"]

    @pytest.mark.parametrize("word", ["%", "_", "\\", "/", "'", '"', "a%c", "a_c", "[b]", "*", "?", "100%"])
    async def test_search_takes_words_literally(self, repository: MemoryRepository, word: str) -> None:
        """No character is a pattern."""
        await filled(repository, [new_message(1, f"before {word} after"), new_message(2, "abc 100 before after")])
        assert await found(repository, word) == ["m1"]

    async def test_search_looks_into_text_blocks(self, repository: MemoryRepository) -> None:
        """At their text, not at their keys or at other blocks."""
        blocks = [{"type": "text", "text": "one"}, {"type": "image", "alt": "two"}, {"type": "text", "text": "three"}]
        await filled(repository, [new_message(1, blocks)])
        assert await found(repository, "one", "three") == ["m1"]
        assert await found(repository, "two") == []
        assert await found(repository, "type") == []

    async def test_search_does_not_look_into_metadata(self, repository: MemoryRepository) -> None:
        """Only at what was said."""
        fields: dict[str, Any] = {"metadata": {"a": "word"}, "name": "word", "tool_calls": [{"id": "word"}]}
        await filled(repository, [new_message(1, "else", **fields)])
        assert await found(repository, "word") == []

    async def test_search_answers_newest_first(self, repository: MemoryRepository) -> None:
        """By timestamp over all sessions; at most `limit`."""
        await filled(repository, [new_message(number, "word", timestamp=at(number)) for number in (1, 4)], "a")
        await filled(repository, [new_message(number, "word", timestamp=at(number)) for number in (3, 2)], "b")
        assert await found(repository, "word") == ["m4", "m3", "m2", "m1"]
        assert await found(repository, "word", limit=2) == ["m4", "m3"]
        assert await found(repository, "word", limit=0) == []

    async def test_search_stays_within_the_sessions_named(self, repository: MemoryRepository) -> None:
        """None is all of them, an empty list is none."""
        for number, session_id in enumerate("abc"):
            await filled(repository, [new_message(number, "word")], session_id)
        assert await found(repository, "word", session_ids=["a", "c", "missing"]) == ["m2", "m0"]
        assert await found(repository, "word", session_ids=[]) == []

    async def test_search_stays_within_the_user(self, repository: MemoryRepository) -> None:
        """Naming another user's session does not open it."""
        for number, user_id in enumerate(["me", "you", None]):
            session_id = f"of {user_id}"
            await repository.insert_session(new_session(session_id, user_id=user_id))
            await repository.append(session_id, [new_message(number, "word")], now=START)
        assert await found(repository, "word", user_id="me") == ["m0"]
        assert await found(repository, "word", user_id="me", session_ids=["of you"]) == []

    async def test_search_answers_whole_messages(self, repository: MemoryRepository) -> None:
        """With their session and seq."""
        message = new_message(1, "word \x00", name="n", metadata={"a": 1.0}, tool_calls=[{"id": "x"}])
        await filled(repository, [message])
        if not isinstance(repository, TextSearch):
            pytest.skip(f"{repository.name} has no text search")
        (hit,) = await repository.search_text(["word"], session_ids=None, user_id=None, limit=5)
        (stored,) = await read(repository)
        assert (hit.session_id, hit.message.seq) == ("s", stored.seq)
        assert exact_message(hit.message) == exact_message(message)

    async def test_search_does_not_find_what_was_deleted(self, repository: MemoryRepository) -> None:
        """Neither deleted messages nor those of deleted sessions."""
        await filled(repository, [new_message(1, "word")], "a")
        await filled(repository, [new_message(2, "word")], "b")
        await repository.delete_messages("a")
        await repository.delete_sessions(["b"])
        assert await found(repository, "word") == []

    async def test_sql_in_a_search_is_only_text(self, repository: MemoryRepository) -> None:
        """In words and in scopes."""
        await filled(repository, [new_message(1, f"a {SQL} b"), new_message(2, "c")])
        assert await found(repository, SQL) == ["m1"]
        assert await found(repository, "c", user_id=SQL) == []
        assert await found(repository, "c", session_ids=[SQL]) == []
