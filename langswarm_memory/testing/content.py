"""Rules for content: everything comes back byte for byte, on every store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ..interfaces.message import Message
from ..interfaces.timestamps import Timestamp
from ..repository.protocol import MemoryRepository
from .samples import (
    MICROSECOND,
    SQL,
    START,
    TEXTS,
    VALUES,
    exact_message,
    exact_session,
    exact_summary,
    fetch,
    filled,
    new_message,
    new_session,
    new_summary,
    read,
)

TEXT_PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "content": lambda text: {"content": text},
    "name": lambda text: {"name": text},
    "tool_call_id": lambda text: {"tool_call_id": text},
    "text block": lambda text: {"content": [{"type": "text", "text": text}]},
    "bare block": lambda text: {"content": [text, text]},
}

VALUE_PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "content block": lambda value: {"content": [{"type": "image", "data": value}]},
    "metadata": lambda value: {"metadata": {"key": value}},
    "tool_calls": lambda value: {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": value}}]},
    "function_call": lambda value: {"function_call": {"name": "f", "arguments": value}},
}

EMPTY: dict[str, dict[str, Any]] = {
    "content none": {"content": None},
    "content empty text": {"content": ""},
    "content no blocks": {"content": []},
    "no tool calls": {"content": None, "tool_calls": []},
    "no function call": {"content": None, "function_call": {}},
    "name empty": {"name": ""},
    "tool_call_id empty": {"tool_call_id": ""},
    "metadata that names a tool": {"metadata": {"tool_call_id": "in metadata", "tool_name": "in metadata"}},
}
"""What looks empty and still differs from nothing."""

ROLES = ["user", "assistant", "system", "developer", "tool", "function", "critic", "USER", " user", "критик", "😀", SQL]

INSTANTS = {
    "microsecond": START + MICROSECOND,
    "whole second": START.replace(microsecond=0),
    "year 1": datetime(1, 1, 1, tzinfo=UTC),
    "year 1, last microsecond of its first second": datetime(1, 1, 1, 0, 0, 0, 999_999, UTC),
    "year 9999": datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
    "before 1970": datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
    "leap day": datetime(2096, 2, 29, 23, 59, 59, 1, UTC),
    "half hour east": datetime(2100, 1, 1, 0, 0, 0, 7, timezone(timedelta(hours=5, minutes=30))),
    "seconds west": datetime(2100, 1, 1, 0, 0, 0, 7, timezone(-timedelta(hours=3, minutes=7, seconds=9))),
    "naive": datetime(2100, 7, 1, 12, 0, 0, 7),
}
"""Instants that some store has rounded, shifted or refused. Naive ones mean local time."""


async def changed_on_the_way(
    repository: MemoryRepository, messages: dict[str, Message], *, at_once: bool = False
) -> dict[str, Any]:
    """Store messages, read them, and return those that came back otherwise: name → (given, returned)."""
    await repository.insert_session(new_session())
    given_at_once = [list(messages.values())] if at_once else [[message] for message in messages.values()]
    for batch in given_at_once:
        await repository.append("s", batch, now=START)
    returned = [exact_message(message) for message in await read(repository)]
    assert len(returned) == len(messages)
    given = [exact_message(message) for message in messages.values()]
    return {
        name: (before, after) for name, before, after in zip(messages, given, returned, strict=True) if before != after
    }


def each(values: dict[str, Any], place: Callable[[Any], dict[str, Any]]) -> dict[str, Message]:
    """Return a message for each value."""
    return {
        name: new_message(number, **{"content": "text", **place(value)})
        for number, (name, value) in enumerate(values.items())
    }


class ContentRules:
    """What is stored is what comes back."""

    @pytest.mark.parametrize("place", TEXT_PLACES)
    async def test_text_comes_back_as_given(self, repository: MemoryRepository, place: str) -> None:
        """NUL, lone surrogates and all; in the content one by one, elsewhere in one batch."""
        messages = each(TEXTS, TEXT_PLACES[place])
        assert await changed_on_the_way(repository, messages, at_once=place != "content") == {}

    @pytest.mark.parametrize("place", VALUE_PLACES)
    async def test_json_comes_back_as_given(self, repository: MemoryRepository, place: str) -> None:
        """Key order, number forms, NaN and all; in the metadata one by one, elsewhere in one batch."""
        messages = each(VALUES, VALUE_PLACES[place])
        assert await changed_on_the_way(repository, messages, at_once=place != "metadata") == {}

    async def test_empty_comes_back_as_given(self, repository: MemoryRepository) -> None:
        """None, empty text, an empty list and an empty object are four things."""
        assert await changed_on_the_way(repository, each(EMPTY, lambda fields: fields)) == {}

    async def test_role_comes_back_as_given(self, repository: MemoryRepository) -> None:
        """Known or not."""
        roles = {role: role for role in ROLES}
        assert await changed_on_the_way(repository, each(roles, lambda role: {"role": role})) == {}

    async def test_fields_do_not_disturb_each_other(self, repository: MemoryRepository) -> None:
        """One message with something difficult in every field."""
        message = new_message(
            1,
            ["\ud800", {"type": "text", "text": "\x00", "n": float("nan")}],
            "assistant",
            name="\x00name",
            tool_call_id="\udc00call",
            tool_calls=[{"id": "\x00"}],
            function_call={"arguments": float("inf")},
            metadata={"verbatim": "\x00", "content": None, "name": "other"},
        )
        assert await changed_on_the_way(repository, {"all": message}) == {}

    async def test_replay_recognises_every_content(self, repository: MemoryRepository) -> None:
        """What is stored compares equal to what was given."""
        messages = list(each(VALUES, lambda value: {"metadata": {"key": value}, "content": [value]}).values())
        seqs = await filled(repository, messages)
        replayed = await repository.append("s", messages, now=START)
        assert (replayed.inserted, replayed.seqs) == (0, seqs)

    async def test_sql_in_every_field_of_a_message_is_only_text(self, repository: MemoryRepository) -> None:
        """Stored, filtered and deleted like any other."""
        fields: dict[str, Any] = {"name": SQL, "tool_call_id": SQL, "metadata": {SQL: SQL}, "tool_calls": [SQL]}
        message = new_message(1, SQL, SQL, message_id=SQL, function_call={SQL: SQL}, **fields)
        await filled(repository, [message, new_message(2)], SQL)
        found = await read(repository, SQL, roles=frozenset({SQL}))
        assert [exact_message(message) for message in found] == [exact_message(message)]
        assert await repository.delete_messages(SQL, keep_roles=frozenset({SQL})) == 1

    async def test_message_returned_is_a_copy(self, repository: MemoryRepository) -> None:
        """What the caller does to an answer is not stored."""
        fields: dict[str, Any] = {"metadata": {"a": {"b": 1}}, "tool_calls": [{"id": "a"}], "function_call": {"n": [1]}}
        before = exact_message(new_message(1, [{"text": "a"}], **fields))
        await filled(repository, [new_message(1, [{"text": "a"}], **fields), new_message(2)])
        answer, plain = await read(repository)
        answer.content[0]["text"] = answer.metadata["a"]["b"] = answer.tool_calls[0]["id"] = "changed"  # type: ignore[index]
        answer.function_call["n"].append(2)  # type: ignore[index]
        plain.metadata["new"] = plain.content = "changed"
        again, plain_again = await read(repository)
        assert exact_message(again) == before
        assert exact_message(plain_again) == exact_message(new_message(2))

    @pytest.mark.parametrize("place", ["tags", "properties"])
    async def test_session_comes_back_as_given(self, repository: MemoryRepository, place: str) -> None:
        """Tags are text, properties any JSON."""
        values = TEXTS if place == "tags" else VALUES
        given: dict[str, dict[str, Any]] = {
            name: {place: [value] if place == "tags" else {"key": value}} for name, value in values.items()
        }
        changed = {}
        for name, fields in given.items():
            await repository.insert_session(new_session(name, **fields))
            returned = exact_session((await fetch(repository, name)).metadata)
            if returned != exact_session(new_session(name, **fields)):
                changed[name] = returned
        assert changed == {}

    @pytest.mark.parametrize("place", ["summary", "key_topics"])
    async def test_summary_comes_back_as_given(self, repository: MemoryRepository, place: str) -> None:
        """Text and topics."""
        await repository.insert_session(new_session())
        topics = place == "key_topics"
        given: dict[str, dict[str, Any]] = {name: {place: [text] if topics else text} for name, text in TEXTS.items()}
        for name, fields in given.items():
            await repository.put_summary(new_summary(name, **fields))
        returned = {summary.summary_id: exact_summary(summary) for summary in await repository.list_summaries("s")}
        assert returned == {name: exact_summary(new_summary(name, **fields)) for name, fields in given.items()}

    # --- time ------------------------------------------------------------------------------------------------------

    async def test_message_timestamp_comes_back_to_the_microsecond(self, repository: MemoryRepository) -> None:
        """The same instant, in UTC."""
        messages = {
            name: new_message(number, timestamp=instant) for number, (name, instant) in enumerate(INSTANTS.items())
        }
        assert await changed_on_the_way(repository, messages) == {}
        assert {message.timestamp.utcoffset() for message in await read(repository)} == {timedelta(0)}

    @pytest.mark.parametrize("instant", INSTANTS)
    async def test_session_times_come_back_to_the_microsecond(self, repository: MemoryRepository, instant: str) -> None:
        """Also where they decide: in the order of a list, and in expiry."""
        value = INSTANTS[instant]
        await repository.insert_session(new_session("s", created_at=value, updated_at=value, expires_at=value))
        metadata = (await fetch(repository)).metadata
        expected = Timestamp.of(value).isoformat()
        assert [metadata.created_at.isoformat(), metadata.updated_at.isoformat()] == [expected] * 2
        assert metadata.expires_at is not None
        assert metadata.expires_at.isoformat() == expected

    async def test_summary_times_come_back_to_the_microsecond(self, repository: MemoryRepository) -> None:
        """The same instants, in UTC."""
        await repository.insert_session(new_session())
        for name, instant in INSTANTS.items():
            summary = new_summary(name, created_at=instant)
            summary.start_time = summary.end_time = Timestamp.of(instant)
            await repository.put_summary(summary)
        returned = {
            summary.summary_id: [
                time.isoformat() for time in (summary.created_at, summary.start_time, summary.end_time)
            ]
            for summary in await repository.list_summaries("s")
        }
        assert returned == {name: [Timestamp.of(instant).isoformat()] * 3 for name, instant in INSTANTS.items()}

    async def test_naive_time_in_a_call_means_local_time(self, repository: MemoryRepository) -> None:
        """As ``datetime.now()`` gives it, in `now` and in `since`."""
        naive = datetime(2100, 7, 1, 12, 0, 0, 7)
        await repository.insert_session(new_session())
        await repository.append("s", [new_message(1, timestamp=naive)], now=naive, expires_at=naive + timedelta(days=1))
        metadata = (await fetch(repository)).metadata
        assert metadata.updated_at == naive.astimezone(UTC)
        assert metadata.expires_at == (naive + timedelta(days=1)).astimezone(UTC)
        assert len(await read(repository, since=naive)) == 1
        assert await read(repository, since=naive + MICROSECOND) == []
