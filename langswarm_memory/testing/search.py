"""Rules for stores with text search."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ..interfaces.enums import SessionStatus
from ..repository.protocol import MemoryRepository, Rewrite
from ..repository.text_search import SearchCursor, SearchFilter, SearchHit, TextSearch
from ..search import parse
from .rewrites import changed
from .samples import SQL, START, at, exact_message, fetch, filled, new_message, new_session, read


async def hits(repository: MemoryRepository, text: str, *, limit: int = 100, **scope: Any) -> list[SearchHit]:
    """Return what a search finds."""
    if not repository.features.text_search:
        pytest.skip(f"{repository.name} has no text search")
    assert isinstance(repository, TextSearch)
    after: SearchCursor | None = scope.pop("after", None)
    return await repository.search_text(parse(text), SearchFilter(**scope), limit=limit, after=after)


async def found(repository: MemoryRepository, text: str, **scope: Any) -> list[str]:
    """Return the ids of the messages that a search finds, best first."""
    return [hit.message.message_id for hit in await hits(repository, text, **scope)]


async def said(repository: MemoryRepository, *texts: str, session_id: str = "s", **fields: Any) -> None:
    """Store a session of messages m1, m2, … with these texts."""
    await filled(repository, [new_message(number, text, **fields) for number, text in enumerate(texts, 1)], session_id)


async def of(repository: MemoryRepository, text: str, number: int, session_id: str, **session: Any) -> None:
    """Store a session with one message."""
    await repository.insert_session(new_session(session_id, number, **session))
    await repository.append(session_id, [new_message(number, text)], now=START)


class SearchRules:
    """``search_text``."""

    async def test_search_finds_messages_that_hold_any_word(self, repository: MemoryRepository) -> None:
        """Whole words; a question matches on those that tell something."""
        await said(repository, "a harbour at dawn", "the kettle whistles", "carpets", "")
        assert sorted(await found(repository, "what is in the harbour or the kettle")) == ["m1", "m2"]
        assert await found(repository, "carp") == []

    async def test_search_ranks_more_of_the_words_higher(self, repository: MemoryRepository) -> None:
        """Messages of the same length."""
        await said(repository, "violet lantern garden", "violet umbrella garden", "purple umbrella garden")
        assert await found(repository, "violet lantern") == ["m1", "m2"]

    async def test_search_ranks_rare_words_higher(self, repository: MemoryRepository) -> None:
        """Common ones tell less."""
        common = [f"weather report number{number} arrived" for number in range(12)]
        await said(repository, *common, "glacier report number99 arrived")
        assert (await found(repository, "weather glacier"))[0] == "m13"

    async def test_search_scores_descend(self, repository: MemoryRepository) -> None:
        """And are above zero."""
        await said(repository, "violet lantern garden", "violet umbrella garden", "violet " + "umbrella " * 30)
        scores = [hit.score for hit in await hits(repository, "violet lantern")]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 3
        assert scores[-1] > 0

    async def test_search_for_a_phrase_requires_it(self, repository: MemoryRepository) -> None:
        """Its words in their order, side by side."""
        await said(repository, "a red stone bridge", "a stone red bridge", "red and stone", "stone")
        assert await found(repository, '"red stone"') == ["m1"]

    async def test_words_beside_a_phrase_only_rank(self, repository: MemoryRepository) -> None:
        """The phrase decides."""
        await said(repository, "red stone bridge here", "red stone lantern here", "a lantern alone here")
        assert await found(repository, '"red stone" lantern') == ["m2", "m1"]

    async def test_every_phrase_is_required(self, repository: MemoryRepository) -> None:
        """Of two, both."""
        await said(repository, "red stone, old bridge", "red stone", "old bridge")
        assert await found(repository, '"red stone" "old bridge"') == ["m1"]

    async def test_search_excludes_words(self, repository: MemoryRepository) -> None:
        """Messages that hold them are not found."""
        await said(repository, "violet lantern", "violet umbrella", "umbrella")
        assert await found(repository, "violet -umbrella") == ["m1"]

    async def test_search_excludes_phrases(self, repository: MemoryRepository) -> None:
        """Their words apart do no harm."""
        await said(repository, "violet red stone", "violet stone red")
        assert await found(repository, 'violet -"red stone"') == ["m2"]

    async def test_search_finds_prefixes(self, repository: MemoryRepository) -> None:
        """Where the asterisk asks for it."""
        await said(repository, "telescopes", "a telephone", "television", "tent")
        assert sorted(await found(repository, "tele*")) == ["m1", "m2", "m3"]

    @pytest.mark.parametrize(
        ("text", "word"), [("Invoice", "inVOICE"), ("ÉCOLE", "école"), ("привет", "ПРИВЕТ"), ("ωμεγα", "ΩΜΕΓΑ")]
    )
    async def test_search_ignores_case(self, repository: MemoryRepository, text: str, word: str) -> None:
        """In every alphabet."""
        await said(repository, text, "else")
        assert await found(repository, word) == ["m1"]

    async def test_search_ignores_inflection(self, repository: MemoryRepository) -> None:
        """Of English words."""
        await said(repository, "she was painting lanterns", "a pain")
        assert await found(repository, "painted lantern") == ["m1"]

    @pytest.mark.parametrize(
        "word", ["%", "a%c", "a_c", "[b]", "100%", "\\", "a:b", "@text", "{a}", "~b", "a|b", "b AND"]
    )
    async def test_search_takes_punctuation_for_none(self, repository: MemoryRepository, word: str) -> None:
        """No character is a pattern or an operator; a query without a word is refused before."""
        await said(repository, "zebra", "zebra zebra")
        assert len(await found(repository, f"{word} zebra")) == 2

    @pytest.mark.parametrize("text", ["www.example.org/lantern-house", "lantern@example.org", "a-lantern", "lantern's"])
    async def test_search_finds_parts_of_names(self, repository: MemoryRepository, text: str) -> None:
        """Punctuation parts words, in addresses too."""
        await said(repository, f"see {text} now", "else")
        assert await found(repository, "lantern") == ["m1"]

    async def test_search_finds_numbers(self, repository: MemoryRepository) -> None:
        """Order numbers are what people look for."""
        await said(repository, "order 48213 is late", "order 48214 is late")
        assert await found(repository, "48213") == ["m1"]

    async def test_search_looks_into_text_blocks(self, repository: MemoryRepository) -> None:
        """At their text, not at their keys or at other blocks."""
        blocks = [{"type": "text", "text": "one"}, {"type": "image", "alt": "zwei"}, {"type": "text", "text": "drei"}]
        await filled(repository, [new_message(1, blocks)])
        assert await found(repository, "drei") == ["m1"]
        assert await found(repository, "zwei") == []
        assert await found(repository, "type") == []

    async def test_search_does_not_look_into_metadata(self, repository: MemoryRepository) -> None:
        """Only at what was said."""
        fields: dict[str, Any] = {"metadata": {"a": "word"}, "name": "word", "tool_calls": [{"id": "word"}]}
        await filled(repository, [new_message(1, "else", **fields)])
        assert await found(repository, "word") == []

    async def test_search_answers_at_most_the_limit(self, repository: MemoryRepository) -> None:
        """The best."""
        await said(repository, "lantern here now today", "violet lantern here now", "lantern on my table")
        assert await found(repository, "violet lantern", limit=1) == ["m2"]

    async def test_search_pages_hold_every_hit_once(self, repository: MemoryRepository) -> None:
        """Of many equal scores too."""
        for session_id in ("b", "a"):
            await said(
                repository, *(f"lantern {'garden ' * (number % 3)}" for number in range(7)), session_id=session_id
            )
        whole = await hits(repository, "lantern")
        paged: list[SearchHit] = []
        after = None
        while page := await hits(repository, "lantern", limit=3, after=after):
            paged += page
            after = SearchCursor(page[-1].score, page[-1].session_id, page[-1].message.seq or 0)
        places = [(hit.session_id, hit.message.message_id) for hit in paged]
        assert len(places) == 14
        assert places == [(hit.session_id, hit.message.message_id) for hit in whole]
        ordered = sorted(whole, key=lambda hit: (-hit.score, hit.session_id, -(hit.message.seq or 0)))
        assert [(hit.session_id, hit.message.seq) for hit in whole] == [(h.session_id, h.message.seq) for h in ordered]

    async def test_search_stays_within_the_sessions_named(self, repository: MemoryRepository) -> None:
        """None is all of them, an empty set is none."""
        for number, session_id in enumerate("abc", 1):
            await of(repository, "lantern", number, session_id)
        assert sorted(await found(repository, "lantern", session_ids=frozenset({"a", "c", "missing"}))) == ["m1", "m3"]
        assert await found(repository, "lantern", session_ids=frozenset()) == []

    async def test_search_stays_within_the_user(self, repository: MemoryRepository) -> None:
        """Naming another user's session does not open it."""
        for number, user_id in enumerate(["me", "you", None], 1):
            await of(repository, "lantern", number, f"of {user_id}", user_id=user_id)
        assert await found(repository, "lantern", user_id="me") == ["m1"]
        assert await found(repository, "lantern", user_id="me", session_ids=frozenset({"of you"})) == []

    async def test_search_stays_within_the_agent(self, repository: MemoryRepository) -> None:
        """Together with a user, both."""
        await of(repository, "lantern", 1, "a", user_id="u", agent_id="x")
        await of(repository, "lantern", 2, "b", user_id="u", agent_id="y")
        await of(repository, "lantern", 3, "c", user_id="v", agent_id="x")
        assert sorted(await found(repository, "lantern", agent_id="x")) == ["m1", "m3"]
        assert await found(repository, "lantern", agent_id="x", user_id="u") == ["m1"]

    async def test_search_stays_within_tags(self, repository: MemoryRepository) -> None:
        """Of several, a session has all."""
        await of(repository, "lantern", 1, "a", tags=["red", 'b"l,ue'])
        await of(repository, "lantern", 2, "b", tags=["red"])
        await of(repository, "lantern", 3, "c", tags=["reddish"])
        assert sorted(await found(repository, "lantern", tags=frozenset({"red"}))) == ["m1", "m2"]
        assert await found(repository, "lantern", tags=frozenset({"red", 'b"l,ue'})) == ["m1"]

    async def test_search_sees_changed_metadata_of_a_session(self, repository: MemoryRepository) -> None:
        """Tags and owner as they are now."""
        await of(repository, "lantern", 1, "s", tags=["old"], user_id="me")
        record = await fetch(repository)
        record.metadata.tags, record.metadata.user_id = ["new"], "you"
        await repository.replace_session(record.metadata, expected_revision=record.revision)
        assert await found(repository, "lantern", tags=frozenset({"old"})) == []
        assert await found(repository, "lantern", user_id="me") == []
        assert await found(repository, "lantern", tags=frozenset({"new"}), user_id="you") == ["m1"]

    async def test_search_stays_within_roles(self, repository: MemoryRepository) -> None:
        """Any text is one."""
        roles = ["user", "assistant", "critic"]
        await filled(repository, [new_message(n, "lantern", role=role) for n, role in enumerate(roles, 1)])
        assert sorted(await found(repository, "lantern", roles=frozenset({"user", "critic"}))) == ["m1", "m3"]

    async def test_search_stays_within_times(self, repository: MemoryRepository) -> None:
        """The first inclusive, the last exclusive, to the microsecond."""
        await said(repository, *["lantern"] * 4)
        assert sorted(await found(repository, "lantern", since=at(2), until=at(4))) == ["m2", "m3"]
        late = at(2) + timedelta(microseconds=1)
        assert sorted(await found(repository, "lantern", since=late)) == ["m3", "m4"]

    async def test_search_stays_within_metadata(self, repository: MemoryRepository) -> None:
        """Equal values of the same kind; keys and values are only text."""
        kinds: list[dict[str, Any]] = [{"k": 1}, {"k": "1"}, {"k": True}, {"k": 1.0}, {"other": 1}, {"k": SQL}]
        await filled(repository, [new_message(n, "lantern", metadata=one) for n, one in enumerate(kinds, 1)])
        assert sorted(await found(repository, "lantern", metadata={"k": 1})) == ["m1", "m4"]
        assert await found(repository, "lantern", metadata={"k": "1"}) == ["m2"]
        assert await found(repository, "lantern", metadata={"k": True}) == ["m3"]
        assert await found(repository, "lantern", metadata={"k": SQL}) == ["m6"]
        assert await found(repository, "lantern", metadata={SQL: 1}) == []
        assert await found(repository, "lantern", metadata={"k": 1, "other": 1}) == []

    async def test_search_leaves_expired_sessions_out(self, repository: MemoryRepository) -> None:
        """At the instant asked about; None: expired or not."""
        await of(repository, "lantern", 1, "a", expires_at=at(50))
        await of(repository, "lantern", 2, "b")
        await of(repository, "lantern", 3, "c", status=SessionStatus.EXPIRED)
        assert sorted(await found(repository, "lantern", live_at=at(49))) == ["m1", "m2"]
        assert await found(repository, "lantern", live_at=at(50)) == ["m2"]
        assert len(await found(repository, "lantern")) == 3

    async def test_scope_is_searched_whole(self, repository: MemoryRepository) -> None:
        """However much better the hits outside of it are."""
        await said(repository, *["lantern lantern"] * 300, session_id="others")
        await of(repository, "a lantern among many other words that make it a poor hit", 900, "mine", user_id="me")
        assert await found(repository, "lantern", user_id="me", limit=5) == ["m900"]

    async def test_search_answers_whole_messages(self, repository: MemoryRepository) -> None:
        """With their session and seq."""
        message = new_message(1, "word \x00", name="n", metadata={"a": 1.0}, tool_calls=[{"id": "x"}])
        await filled(repository, [message])
        (hit,) = await hits(repository, "word")
        (stored,) = await read(repository)
        assert (hit.session_id, hit.message.seq) == ("s", stored.seq)
        assert exact_message(hit.message) == exact_message(message)

    async def test_search_does_not_find_what_was_deleted(self, repository: MemoryRepository) -> None:
        """Neither deleted messages nor those of deleted sessions."""
        await of(repository, "lantern", 1, "a")
        await of(repository, "lantern", 2, "b")
        await repository.delete_messages("a")
        await repository.delete_sessions(["b"])
        assert await found(repository, "lantern") == []

    async def test_search_follows_rewrites(self, repository: MemoryRepository) -> None:
        """New texts are found, old ones and removed messages are not."""
        await said(repository, "violet", "lantern", "umbrella")
        stored = await read(repository)
        change = Rewrite(edits=0, removed=(stored[0],), replaced=(changed(stored[1], content="kettle"),))
        await repository.rewrite("s", change, now=at(9))
        assert await found(repository, "violet lantern") == []
        assert sorted(await found(repository, "kettle umbrella")) == ["m2", "m3"]

    async def test_search_finds_text_without_spaces(self, repository: MemoryRepository) -> None:
        """Inside of longer runs."""
        await said(repository, "我们的数据库很大", "今天天气很好", "データベース")
        assert await found(repository, "数据库") == ["m1"]
        assert await found(repository, '"天气"') == ["m2"]

    async def test_search_of_large_messages(self, repository: MemoryRepository) -> None:
        """They are stored and found by what they begin with."""
        words = " ".join(f"word{number}" for number in range(200_000))
        await said(repository, f"lantern {words}")
        assert await found(repository, "lantern") == ["m1"]

    async def test_sql_in_a_search_is_only_text(self, repository: MemoryRepository) -> None:
        """In words and in scopes."""
        await said(repository, f"a {SQL} b", "c lantern")
        assert "m1" in await found(repository, SQL)
        assert await found(repository, "lantern", user_id=SQL) == []
        assert await found(repository, "lantern", session_ids=frozenset({SQL})) == []
        assert await found(repository, "lantern", tags=frozenset({SQL}), roles=frozenset({SQL})) == []
