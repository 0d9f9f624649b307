"""The forms a file may have, and that what was read out of them comes back exactly."""

from __future__ import annotations

import codecs
import json
import time
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langswarm_memory import conversation_files, import_conversations
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.conversation_files import read_records
from langswarm_memory.conversations import read_conversations
from tests.importing.conversations import (
    AIRLINE,
    COLLECTED,
    FORMS,
    ORDER,
    SUPPORT,
    WEATHER,
    as_array,
    as_formatted_array,
    as_formatted_values,
    as_lines,
    conversations_of,
    everything,
    exact,
    stored,
    write,
)

Form = Callable[[Iterable[Any]], str]

# --- round trips ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_objects_come_back_exactly(backend: BaseMemoryBackend, form: Form, tmp_path: Path) -> None:
    await import_conversations(backend, write(tmp_path, form(COLLECTED)))
    assert exact(await stored(backend, "order")) == exact(ORDER)
    assert exact(await stored(backend, "weather")) == exact(WEATHER)


@pytest.mark.parametrize("form", [as_array, as_formatted_array, as_lines])
async def test_lists_of_messages_are_a_conversation_each(memory: BaseMemoryBackend, form: Form, tmp_path: Path) -> None:
    await import_conversations(memory, write(tmp_path, form([ORDER, WEATHER])))
    found = (await everything(memory)).values()
    assert sorted(map(exact, found)) == sorted(map(exact, [ORDER, WEATHER]))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_messages_alone_are_one_conversation(memory: BaseMemoryBackend, form: Form, tmp_path: Path) -> None:
    await import_conversations(memory, write(tmp_path, form(ORDER)))
    (found,) = (await everything(memory)).values()
    assert exact(found) == exact(ORDER)


async def test_one_object_is_one_conversation(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    await import_conversations(memory, write(tmp_path, as_formatted_values(COLLECTED[:1])))
    assert exact(await everything(memory)) == exact({"order": ORDER})


@pytest.mark.parametrize("file", [SUPPORT, AIRLINE], ids=["support", "airline"])
async def test_files_of_conversations_come_back_exactly(backend: BaseMemoryBackend, file: Path) -> None:
    given = {conversation["id"]: conversation["messages"] for conversation in conversations_of(file)}
    report = await import_conversations(backend, file)
    found = await everything(backend)
    assert {name: exact(messages) for name, messages in found.items()} == {
        name: exact(messages) for name, messages in given.items()
    }
    assert report.messages == sum(map(len, given.values()))


HARD = {
    "NUL": {"role": "user", "content": "a\x00b"},
    "a lone surrogate": {"role": "user", "content": "\ud83d", "name": "\udc00"},
    "numbers": {"role": "user", "content": None, "x": [1.0, 1e22, -0.0, 10**400, 1, True]},
    "not a number": {"role": "user", "content": "x", "n": float("inf")},
    "an unknown role": {"role": "Überwacher", "content": "x"},
    "a role of another spelling": {"role": "human", "content": "x"},
    "no content": {"role": "assistant"},
    "nulls": {"tool_calls": None, "role": "assistant", "name": None, "content": None, "function_call": None},
    "keys like our own": {"role": "user", "content": "x", "metadata": {"openai": 1}, "message_id": "m", "seq": 9},
    "the key of our note": {"role": "user", "openai": {"keys": []}, "content": "x"},
    "an older call": {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": "{broken"}},
    "an empty list of calls": {"role": "assistant", "content": "x", "tool_calls": []},
    "nesting": {"role": "user", "content": "x", "deep": json.loads("[" * 200 + "]" * 200)},
    "a long text": {"role": "user", "content": "ü" * 200_000},
    "a time": {"role": "user", "content": "x", "timestamp": "2025-07-08T10:00:00", "created_at": 17},
}


@pytest.mark.parametrize("message", HARD.values(), ids=HARD)
async def test_hard_message_comes_back_exactly(
    backend: BaseMemoryBackend, message: dict[str, Any], tmp_path: Path
) -> None:
    report = await import_conversations(backend, write(tmp_path, as_lines([{"id": "s", "messages": [message]}])))
    report.raise_for_failures()
    assert exact(await stored(backend, "s")) == exact([message])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "ai", "x"]), "content": st.none() | st.text()},
    optional={"name": st.text(), "tool_call_id": st.text(), "extra": JSON, "timestamp": JSON, "refusal": st.none()},
).flatmap(lambda message: st.permutations(list(message.items())).map(dict))
CONVERSATIONS = st.lists(
    st.fixed_dictionaries(
        {"messages": st.lists(MESSAGE, max_size=4)}, optional={"user_id": st.none(), "more": JSON, "created_at": JSON}
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(conversations=CONVERSATIONS, form=st.sampled_from(list(FORMS.values())), chunk=st.integers(1, 40))
def test_whatever_a_file_holds_is_read_exactly_wherever_reading_stops(
    conversations: list[Any], form: Form, chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("read"), form(conversations))
    with mock.patch.object(conversation_files, "CHUNK", chunk):
        found = list(read_conversations(path))
    assert exact([[message.to_openai_format() for message in read.messages] for read in found]) == exact(
        [conversation["messages"] for conversation in conversations]
    )


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_records_name_the_line_they_begin_in(form: Form, tmp_path: Path) -> None:
    text = form(COLLECTED)
    lines = [record.line for record in read_records(write(tmp_path, text))]
    normal = text.replace("\r\n", "\n")
    begins = [normal.index(f'"{name}"') for name in ("order", "weather")]
    opened = [normal.rindex("{", 0, begin) for begin in begins]
    assert lines == [normal.count("\n", 0, at) + 1 for at in opened]


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-16-le", "utf-16-be"],
)
async def test_byte_order_mark_is_heeded(
    memory: BaseMemoryBackend, encoded: Callable[[str], bytes], tmp_path: Path
) -> None:
    await import_conversations(memory, write(tmp_path, encoded(as_formatted_array(COLLECTED))))
    assert exact(await stored(memory, "weather")) == exact(WEATHER)


@pytest.mark.parametrize("form", [as_lines, as_array], ids=["lines", "array"])
def test_reading_holds_one_conversation_at_a_time(form: Form, tmp_path: Path) -> None:
    conversation = {"messages": [{"role": "user", "content": "x" * 1_000}] * 100}
    path = write(tmp_path, form([conversation] * 100))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_records(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 100
    assert peak < path.stat().st_size / 5


# --- sessions ------------------------------------------------------------------------------------------------------


async def metadata_of(backend: BaseMemoryBackend, value: Any, folder: Path, **options: Any) -> Any:
    """Import one conversation and return the metadata of its session."""
    report = await import_conversations(backend, write(folder, as_array([value])), **options)
    report.raise_for_failures()
    (metadata,) = await backend.list_sessions()
    return metadata


async def test_keys_become_fields_of_the_session(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    value = {"id": "s", "user_id": "ada", "agent_id": "a", "workflow_id": "w", "tags": ["t", "日本"], "messages": ORDER}
    metadata = await metadata_of(memory, value, tmp_path)
    found = [getattr(metadata, name) for name in ("session_id", "user_id", "agent_id", "workflow_id", "tags")]
    assert found == ["s", "ada", "a", "w", ["t", "日本"]]


async def test_other_keys_become_properties(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    value = {"reward": 0.0, "messages": ORDER, "model": {"name": "x"}, "metadata": {"a": 1}, "status": "done"}
    metadata = await metadata_of(memory, value, tmp_path)
    assert exact(metadata.properties) == exact(
        {"reward": 0.0, "model": {"name": "x"}, "metadata": {"a": 1}, "status": "done"}
    )


async def test_id_that_is_a_number_becomes_text(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    metadata = await metadata_of(memory, {"id": 17, "user_id": 4, "messages": ORDER}, tmp_path)
    assert (metadata.session_id, metadata.user_id) == ("17", "4")


async def test_session_id_stands_in_for_a_missing_id(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    metadata = await metadata_of(memory, {"session_id": "s", "messages": ORDER}, tmp_path)
    assert (metadata.session_id, metadata.properties) == ("s", {})


async def test_session_id_beside_an_id_is_a_property(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    metadata = await metadata_of(memory, {"session_id": "s", "id": "i", "messages": ORDER}, tmp_path)
    assert (metadata.session_id, metadata.properties) == ("i", {"session_id": "s"})


async def test_conversation_without_id_has_the_same_one_in_every_file(
    memory: BaseMemoryBackend, tmp_path: Path
) -> None:
    await import_conversations(memory, write(tmp_path, as_lines([ORDER, WEATHER]), "a.jsonl"))
    report = await import_conversations(memory, write(tmp_path, as_array([WEATHER, ORDER]), "b.json"))
    assert (report.unchanged, len(await memory.list_sessions())) == (2, 2)


async def test_given_user_owns_conversations_without_one(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    await import_conversations(memory, write(tmp_path, as_lines(COLLECTED)), user_id="eve")
    owners = {metadata.session_id: metadata.user_id for metadata in await memory.list_sessions()}
    assert owners == {"order": "ada", "weather": "eve"}


async def test_empty_conversation_is_a_session_without_messages(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    await metadata_of(memory, {"id": "s", "messages": []}, tmp_path)
    assert await stored(memory, "s") == []


# --- times ---------------------------------------------------------------------------------------------------------


async def times_of(backend: BaseMemoryBackend, value: Any, folder: Path) -> tuple[str, list[str]]:
    metadata = await metadata_of(backend, value, folder)
    session = await backend.get_session(metadata.session_id)
    assert session is not None
    messages = await session.get_messages(full_history=True)
    return metadata.created_at.isoformat(), [message.timestamp.isoformat() for message in messages]


@pytest.mark.parametrize(
    "given",
    [
        "2025-07-08T10:00:00Z",
        "2025-07-08T12:00:00+02:00",
        "2025-07-08 10:00:00",
        1751968800,
        1751968800.0,
        1751968800000,
    ],
)
@pytest.mark.parametrize("key", ["timestamp", "created_at"])
async def test_message_has_its_own_time(memory: BaseMemoryBackend, given: Any, key: str, tmp_path: Path) -> None:
    value = {"messages": [{"role": "user", "content": "x", key: given}]}
    assert await times_of(memory, value, tmp_path) == ("2025-07-08T10:00:00+00:00", ["2025-07-08T10:00:00+00:00"])


async def test_time_without_offset_is_utc(
    memory: BaseMemoryBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        value = {"messages": [{"role": "user", "content": "x", "timestamp": "2025-07-08T10:00:00"}]}
        _created, (found,) = await times_of(memory, value, tmp_path)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == "2025-07-08T10:00:00+00:00"


async def test_messages_without_time_follow_by_microseconds(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    plain = {"role": "user", "content": "x"}
    value = {"created_at": 1751968800, "messages": [plain, plain, {**plain, "timestamp": 1751968810}, plain]}
    begin = "2025-07-08T10:00:"
    assert await times_of(memory, value, tmp_path) == (
        f"{begin}00+00:00",
        [f"{begin}00+00:00", f"{begin}00.000001+00:00", f"{begin}10+00:00", f"{begin}10.000001+00:00"],
    )


async def test_undated_conversation_begins_now(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    before = memory.clock()
    created, (first, second, *_) = await times_of(memory, ORDER, tmp_path)
    assert before.isoformat() <= created == first < second <= memory.clock().isoformat()


@pytest.mark.parametrize("given", ["yesterday", 1e300, -(10**30), True, {"a": 1}, "", float("nan")])
async def test_time_that_cannot_be_read_stays_in_the_message(
    memory: BaseMemoryBackend, given: Any, tmp_path: Path
) -> None:
    message = {"role": "user", "content": "x", "timestamp": given}
    await metadata_of(memory, {"id": "s", "created_at": given, "messages": [message]}, tmp_path)
    assert exact(await stored(memory, "s")) == exact([message])


async def test_last_instant_there_is_does_not_overflow(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    last = "9999-12-31T23:59:59.999999+00:00"
    plain = {"role": "user", "content": "x"}
    assert await times_of(memory, {"created_at": last, "messages": [plain, plain]}, tmp_path) == (last, [last, last])
