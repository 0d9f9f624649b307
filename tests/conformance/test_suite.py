"""The shipped suite bites: each of these stores breaks one rule, and the test of that rule says so."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from langswarm_memory.errors import ConflictError, MissingDependencyError, SessionExistsError, SessionNotFoundError
from langswarm_memory.interfaces.message import Message
from langswarm_memory.interfaces.records import ConversationSummary, SessionMetadata
from langswarm_memory.repository.memory import InMemoryRepository
from langswarm_memory.repository.protocol import Appended, MessageQuery, Rewrite, SessionQuery, SessionRecord
from langswarm_memory.repository.text_search import SearchFilter, SearchHit, TextQuery
from langswarm_memory.testing import RepositoryConformance
from langswarm_memory.testing.samples import MICROSECOND


class StoresReplaysAgain(InMemoryRepository):
    async def append(self, session_id: str, messages: Sequence[Message], **options: Any) -> Appended:
        anew = [replace(message, message_id=f"{message.message_id} {id(message)}") for message in messages]
        return await super().append(session_id, anew, **options)


class OverwritesReplays(InMemoryRepository):
    async def append(self, session_id: str, messages: Sequence[Message], **options: Any) -> Appended:
        stored = {message.message_id: message for message in await self.read_messages(session_id, MessageQuery())}
        known = [stored.get(message.message_id, message) for message in messages]
        return await super().append(session_id, known, **options)


class StoresBatchesOneByOne(InMemoryRepository):
    async def append(self, session_id: str, messages: Sequence[Message], **options: Any) -> Appended:
        each = []
        for message in messages:
            each.append(await super().append(session_id, [message], **options))
            await asyncio.sleep(0)
        seqs = tuple(one.seqs[0] for one in each)
        return Appended(seqs, sum(one.inserted for one in each), each[-1].message_count, each[-1].last_seq)


class AppendsAreEdits(InMemoryRepository):
    async def append(self, session_id: str, messages: Sequence[Message], **options: Any) -> Appended:
        appended = await super().append(session_id, messages, **options)
        record = await self.fetch_session(session_id)
        assert record is not None
        await self.replace_session(record.metadata, expected_revision=record.revision)
        return appended


class ExpiresAMicrosecondLate(InMemoryRepository):
    async def append(self, session_id: str, messages: Sequence[Message], *, now: Any, **options: Any) -> Appended:
        return await super().append(session_id, messages, now=now - MICROSECOND, **options)


class StripsNul(InMemoryRepository):
    async def append(self, session_id: str, messages: Sequence[Message], **options: Any) -> Appended:
        def stripped(content: Any) -> Any:
            return content.replace("\x00", "") if isinstance(content, str) else content

        return await super().append(
            session_id, [replace(message, content=stripped(message.content)) for message in messages], **options
        )


class SortsKeys(InMemoryRepository):
    async def append(self, session_id: str, messages: Sequence[Message], **options: Any) -> Appended:
        def ordered(value: Any) -> Any:
            return {key: ordered(value[key]) for key in sorted(value)} if isinstance(value, dict) else value

        ordered_messages = [replace(message, metadata=ordered(message.metadata)) for message in messages]
        return await super().append(session_id, ordered_messages, **options)


class RoundsToMilliseconds(InMemoryRepository):
    async def append(self, session_id: str, messages: Sequence[Message], **options: Any) -> Appended:
        def rounded(message: Message) -> Message:
            time = message.timestamp
            return replace(message, timestamp=time.replace(microsecond=time.microsecond // 1_000 * 1_000))

        return await super().append(session_id, [rounded(message) for message in messages], **options)


class ChecksThenReplaces(InMemoryRepository):
    async def replace_session(self, metadata: SessionMetadata, *, expected_revision: int) -> SessionRecord:
        record = await self.fetch_session(metadata.session_id)
        assert record is not None
        if record.revision != expected_revision:
            raise ConflictError("changed", retryable=True)
        await asyncio.sleep(0)
        record = await self.fetch_session(metadata.session_id)
        assert record is not None
        return await super().replace_session(metadata, expected_revision=record.revision)


class ChecksThenInserts(InMemoryRepository):
    async def insert_session(self, metadata: SessionMetadata) -> SessionRecord:
        if await self.fetch_session(metadata.session_id) is not None:
            raise SessionExistsError(metadata.session_id)
        await asyncio.sleep(0)
        await self.delete_sessions([metadata.session_id])
        return await super().insert_session(metadata)


class HandsOutItsOwnObjects(InMemoryRepository):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, Message] = {}

    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        found = await super().read_messages(session_id, query)
        return [self.kept.setdefault(message.seq or 0, message) for message in found]


class ReadsMissingSessionsAsEmpty(InMemoryRepository):
    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        try:
            return await super().read_messages(session_id, query)
        except SessionNotFoundError:
            return []


class GuessesTheLengthOfAWindow(InMemoryRepository):
    async def read_messages(self, session_id: str, query: MessageQuery) -> list[Message]:
        found = await super().read_messages(session_id, query)
        return found if query.max_tokens is None else found[-20:]


class CountsWhatWasDeleted(InMemoryRepository):
    async def fetch_session(self, session_id: str) -> SessionRecord | None:
        record = await super().fetch_session(session_id)
        return record and record._replace(message_count=record.last_seq)


class PagesByOffsetOnly(InMemoryRepository):
    async def list_sessions(self, query: SessionQuery) -> list[SessionRecord]:
        return await super().list_sessions(replace(query, after=None))


class ListsSummariesOldestFirst(InMemoryRepository):
    async def list_summaries(self, session_id: str, *, limit: int | None = None) -> list[ConversationSummary]:
        return (await super().list_summaries(session_id))[::-1][:limit]


class SearchesForAnyWordOfAPhrase(InMemoryRepository):
    async def search_text(self, query: TextQuery, where: SearchFilter, **options: Any) -> list[SearchHit]:
        words = tuple(word for phrase in query.phrases for word in phrase)
        loose = replace(query, words=query.words + words, phrases=())
        return await super().search_text(loose, where, **options)


class RewritesWhateverChanged(InMemoryRepository):
    async def rewrite(self, session_id: str, change: Rewrite, *, now: datetime) -> SessionRecord:
        record = await self.fetch_session(session_id)
        edits = change.edits if record is None else record.edits
        return await super().rewrite(session_id, replace(change, edits=edits, last_seq=None), now=now)


BROKEN: list[tuple[type[InMemoryRepository], str, dict[str, Any]]] = [
    (StoresReplaysAgain, "replayed_id_is_stored_once", {}),
    (OverwritesReplays, "replay_with_other_content_raises", {"field": "content"}),
    (StoresBatchesOneByOne, "batch_with_a_conflict_writes_nothing", {}),
    (StoresBatchesOneByOne, "reader_never_sees_part_of_a_batch", {}),
    (AppendsAreEdits, "append_leaves_the_revision", {}),
    (ExpiresAMicrosecondLate, "append_from_expiry_on_is_refused", {}),
    (ExpiresAMicrosecondLate, "append_sets_updated_at", {}),
    (StripsNul, "text_comes_back_as_given", {"place": "content"}),
    (SortsKeys, "json_comes_back_as_given", {"place": "metadata"}),
    (RoundsToMilliseconds, "message_timestamp_comes_back_to_the_microsecond", {}),
    (ChecksThenReplaces, "one_of_several_replaces_wins", {}),
    (ChecksThenInserts, "one_of_several_inserts_wins", {}),
    (HandsOutItsOwnObjects, "message_returned_is_a_copy", {}),
    (ReadsMissingSessionsAsEmpty, "missing_session_is_an_error_elsewhere", {"call": "read_messages"}),
    (GuessesTheLengthOfAWindow, "budget_fits_however_uneven_the_messages", {"old": 100_000, "budget": 90}),
    (CountsWhatWasDeleted, "delete_messages_corrects_the_counters", {}),
    (PagesByOffsetOnly, "pages_by_cursor_are_the_whole_list", {}),
    (ListsSummariesOldestFirst, "summaries_list_newest_first", {}),
    (SearchesForAnyWordOfAPhrase, "search_for_a_phrase_requires_it", {}),
    (RewritesWhateverChanged, "rewrite_of_other_edits_is_a_conflict", {}),
    (RewritesWhateverChanged, "of_concurrent_rewrites_one_is_carried_out", {}),
]


@pytest.mark.parametrize(("store", "rule", "case"), BROKEN)
async def test_store_that_breaks_a_rule_fails_its_test(
    store: type[InMemoryRepository], rule: str, case: dict[str, Any]
) -> None:
    test = getattr(RepositoryConformance(), f"test_{rule}")
    await test(InMemoryRepository(), **case)  # which a sound store passes
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await test(store(), **case)


def test_missing_pytest_is_told_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "langswarm_memory.testing")
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        importlib.import_module("langswarm_memory.testing")


def test_package_does_not_import_pytest() -> None:
    code = "import sys, langswarm_memory, langswarm_memory.factory; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
