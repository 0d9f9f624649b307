"""The same file again, changed files, and sessions that are somebody else's or have gone on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import (
    ConflictError,
    ImportReport,
    InvalidInputError,
    MemoryManager,
    Message,
    SessionOwnershipError,
    SQLiteBackend,
    import_conversations,
)
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.conversations import read_conversations
from langswarm_memory.importing import BATCH
from tests.importing.conversations import (
    COLLECTED,
    ORDER,
    WEATHER,
    as_array,
    as_lines,
    everything,
    exact,
    stored,
    write,
)

Outcome = tuple[int, int, int, int, int]


def outcome(report: ImportReport) -> Outcome:
    return report.imported, report.continued, report.unchanged, len(report.failures), report.messages


async def do(backend: BaseMemoryBackend | MemoryManager, values: list[Any], folder: Path) -> ImportReport:
    return await import_conversations(backend, write(folder, as_lines(values), "conversations.jsonl"))


# --- the same again ------------------------------------------------------------------------------------------------


async def test_first_import_counts_what_it_stored(backend: BaseMemoryBackend, tmp_path: Path) -> None:
    assert outcome(await do(backend, COLLECTED, tmp_path)) == (2, 0, 0, 0, len(ORDER) + len(WEATHER))


async def test_second_import_stores_nothing(backend: BaseMemoryBackend, tmp_path: Path) -> None:
    await do(backend, COLLECTED, tmp_path)
    assert outcome(await do(backend, COLLECTED, tmp_path)) == (0, 0, 2, 0, 0)


async def test_second_import_changes_nothing(backend: BaseMemoryBackend, tmp_path: Path) -> None:
    async def state() -> list[Any]:
        found = []
        for metadata in await backend.list_sessions():
            session: Any = await backend.get_session(metadata.session_id)
            found.append((metadata, await session.get_messages(full_history=True)))
        return found

    await do(backend, COLLECTED, tmp_path)
    before = await state()
    await do(backend, COLLECTED, tmp_path)
    assert await state() == before


async def test_conversation_that_is_twice_in_a_file_is_stored_once(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    assert outcome(await do(memory, [ORDER, ORDER], tmp_path)) == (1, 0, 1, 0, len(ORDER))


async def test_order_of_the_file_does_not_matter(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    await do(memory, COLLECTED, tmp_path)
    assert outcome(await do(memory, COLLECTED[::-1], tmp_path)) == (0, 0, 2, 0, 0)


# --- what has changed ----------------------------------------------------------------------------------------------


def changed(place: int, **keys: Any) -> list[dict[str, Any]]:
    """Return the first conversation with one message changed, and the second as it is."""
    messages = [{**message, **keys} if at == place else message for at, message in enumerate(ORDER)]
    return [{**COLLECTED[0], "messages": messages}, COLLECTED[1]]


CHANGED = {
    "content": changed(1, content="Where is order 4712?"),
    "the last message": changed(4, content="It was sent today."),
    "a role": changed(1, role="assistant"),
    "a further key": changed(0, refusal=None),
    "an argument": changed(2, tool_calls=[{**ORDER[2]["tool_calls"][0], "id": "call_2"}]),
    "the order of keys": changed(2, tool_calls=[dict(reversed(ORDER[2]["tool_calls"][0].items()))]),
    "a message less at the beginning": [{**COLLECTED[0], "messages": ORDER[1:]}, COLLECTED[1]],
    "messages in another order": [{**COLLECTED[0], "messages": ORDER[::-1]}, COLLECTED[1]],
}


@pytest.mark.parametrize("values", CHANGED.values(), ids=CHANGED)
async def test_changed_conversation_is_a_conflict(
    backend: BaseMemoryBackend, values: list[Any], tmp_path: Path
) -> None:
    await do(backend, COLLECTED, tmp_path)
    (failure,) = (await do(backend, values, tmp_path)).failures
    assert isinstance(failure.error, ConflictError)


async def test_conflict_names_conversation_and_message(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    await do(memory, COLLECTED, tmp_path)
    (failure,) = (await do(memory, changed(3, content="lost"), tmp_path)).failures
    place = f"{tmp_path / 'conversations.jsonl'}: conversation 1 (line 1, session 'order'): message 4 "
    assert str(failure.error).startswith(place)


@pytest.mark.parametrize("values", CHANGED.values(), ids=CHANGED)
async def test_conflict_changes_nothing(backend: BaseMemoryBackend, values: list[Any], tmp_path: Path) -> None:
    await do(backend, COLLECTED, tmp_path)
    await do(backend, values, tmp_path)
    assert exact(await stored(backend, "order")) == exact(ORDER)


async def test_others_go_on_after_a_conflict(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    await do(memory, COLLECTED[:1], tmp_path)
    report = await do(memory, changed(1, content="x"), tmp_path)
    assert outcome(report) == (1, 0, 0, 1, len(WEATHER))


async def test_same_id_with_other_content_in_one_file_is_a_conflict(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    report = await do(memory, [COLLECTED[0], {"id": "order", "messages": WEATHER}], tmp_path)
    assert ([failure.number for failure in report.failures], report.imported) == ([2], 1)


async def test_conversation_that_has_grown_gets_what_is_new(backend: BaseMemoryBackend, tmp_path: Path) -> None:
    await do(backend, [{"id": "order", "messages": ORDER[:2]}], tmp_path)
    report = await do(backend, [{"id": "order", "messages": ORDER}], tmp_path)
    assert outcome(report) == (0, 1, 0, 0, len(ORDER) - 2)
    assert exact(await stored(backend, "order")) == exact(ORDER)


async def test_metadata_that_was_changed_since_stays(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    await do(memory, COLLECTED, tmp_path)
    session: Any = await memory.get_session("order")
    await session.update_metadata(tags=["closed"])
    await do(memory, COLLECTED, tmp_path)
    assert (await session.refresh()).tags == ["closed"]


async def test_session_that_has_gone_on_is_unchanged(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    await do(memory, COLLECTED, tmp_path)
    session: Any = await memory.get_session("order")
    await session.add_message(Message("user", "Thank you!"))
    assert outcome(await do(memory, COLLECTED, tmp_path)) == (0, 0, 2, 0, 0)


async def test_session_that_has_gone_on_takes_no_more_of_the_file(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    await do(memory, [{"id": "order", "messages": ORDER[:2]}], tmp_path)
    session: Any = await memory.get_session("order")
    await session.add_message(Message("user", "Hello?"))
    (failure,) = (await do(memory, [{"id": "order", "messages": ORDER}], tmp_path)).failures
    assert isinstance(failure.error, ConflictError)
    assert len(await stored(memory, "order")) == 3


async def test_session_of_the_application_is_a_conflict(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    session = await MemoryManager(memory).create_session("order")
    await session.add_message(Message("user", "mine"))
    (failure,) = (await do(memory, COLLECTED[:1], tmp_path)).failures
    assert isinstance(failure.error, ConflictError)
    assert exact(await stored(memory, "order")) == exact([{"role": "user", "content": "mine"}])


async def test_foreign_message_between_those_of_the_file_is_a_conflict(
    memory: BaseMemoryBackend, tmp_path: Path
) -> None:
    (conversation,) = read_conversations(write(tmp_path, as_array(COLLECTED[:1])))
    session: Any = await MemoryManager(memory).create_session("order")
    await session.add_messages([Message("user", "mine"), *conversation.messages])
    (failure,) = (await do(memory, COLLECTED[:1], tmp_path)).failures
    assert isinstance(failure.error, ConflictError)


async def test_store_that_deletes_overflow_is_left_alone_the_second_time(tmp_path: Path) -> None:
    messages = [ORDER[0], *({"role": "user", "content": str(n)} for n in range(30))]
    async with SQLiteBackend(db_path=str(tmp_path / "m.db"), overflow="delete", max_messages=10) as backend:
        await do(backend, [{"id": "s", "messages": messages}], tmp_path)
        assert outcome(await do(backend, [{"id": "s", "messages": messages}], tmp_path)) == (0, 0, 1, 0, 0)
        assert exact(await stored(backend, "s")) == exact([messages[0], *messages[-10:]])


# --- owners --------------------------------------------------------------------------------------------------------


async def test_session_of_another_user_is_refused(backend: BaseMemoryBackend, tmp_path: Path) -> None:
    await do(backend, [{**COLLECTED[0], "user_id": "eve"}], tmp_path)
    (failure,) = (await do(backend, COLLECTED, tmp_path)).failures
    assert isinstance(failure.error, SessionOwnershipError)


async def test_confined_manager_imports_for_its_user(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    manager = MemoryManager(memory).for_user("ada")
    await do(manager, [{"id": "order", "messages": ORDER}], tmp_path)
    assert [metadata.user_id for metadata in await memory.list_sessions()] == ["ada"]


async def test_confined_manager_imports_for_nobody_else(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    manager = MemoryManager(memory).for_user("eve")
    (failure,) = (await do(manager, COLLECTED[:1], tmp_path)).failures
    assert isinstance(failure.error, InvalidInputError)
    assert await everything(memory) == {}


async def test_confined_manager_cannot_reach_a_session_of_another(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    await do(memory, [COLLECTED[0]], tmp_path)
    manager = MemoryManager(memory).for_user("eve")
    (failure,) = (await do(manager, [{"id": "order", "messages": ORDER}], tmp_path)).failures
    assert isinstance(failure.error, SessionOwnershipError)


# --- progress ------------------------------------------------------------------------------------------------------


async def progress_of(backend: BaseMemoryBackend, values: list[Any], folder: Path) -> list[tuple[int, int, str]]:
    calls: list[tuple[int, int, str]] = []
    await import_conversations(backend, write(folder, as_array(values)), lambda *call: calls.append(call))
    return calls


async def test_progress_counts_messages(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    total = len(ORDER) + len(WEATHER)
    assert await progress_of(memory, COLLECTED, tmp_path) == [
        (len(ORDER), total, "order"),
        (total, total, "weather"),
    ]


async def test_progress_counts_what_was_stored_before(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    first = await progress_of(memory, COLLECTED, tmp_path)
    assert await progress_of(memory, COLLECTED, tmp_path) == first


async def test_long_conversation_is_stored_in_batches(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": str(n)} for n in range(2 * BATCH + 1)]
    calls = await progress_of(memory, [{"id": "s", "messages": messages}], tmp_path)
    assert [done for done, _total, _session in calls] == [BATCH, 2 * BATCH, 2 * BATCH + 1]
