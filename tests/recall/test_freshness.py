"""What was said is found by meaning once it is embedded; what was changed or deleted leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest

from langswarm_memory.recall.index import SemanticIndex
from langswarm_memory.streaming import INTERRUPTED
from tests.recall.memories import PERSISTENT, START, Memory, found, message, session_of

TEA, SEA, KEY = "the kettle is boiling", "a cat swims at sea", "keys are in the drawer"


async def test_appended_messages_are_found_after_a_flush(manager: Any) -> None:
    await session_of(manager, "s", TEA, SEA, KEY)
    await manager.flush()
    assert (await found(manager, "kettle boiling", limit=1)) == [TEA]


async def test_append_does_not_embed(manager: Any, memory: Memory) -> None:
    await session_of(manager, "s", TEA)
    assert memory.provider.calls == 0


async def test_unflushed_message_is_found_by_its_words_only(manager: Any) -> None:
    await session_of(manager, "s", TEA)
    assert (await found(manager, "kettle"), await found(manager, "kettle", "hybrid")) == ([], [TEA])


async def test_second_flush_embeds_nothing(manager: Any, memory: Memory) -> None:
    await session_of(manager, "s", TEA, SEA)
    await manager.flush()
    await manager.flush()
    assert memory.provider.embedded == [TEA, SEA]


async def test_only_what_is_new_is_embedded(manager: Any, memory: Memory) -> None:
    session = await session_of(manager, "s", TEA)
    await manager.flush()
    await session.add_message(message(SEA, 1))
    await manager.flush()
    assert memory.provider.embedded == [TEA, SEA]


async def test_name_of_a_speaker_is_part_of_what_is_embedded(manager: Any, memory: Memory) -> None:
    await session_of(manager, "s", message(TEA, name="Ada"))
    await manager.flush()
    assert memory.provider.embedded == [f"Ada: {TEA}"]


async def test_results_of_tools_and_empty_messages_are_not_embedded(manager: Any, memory: Memory) -> None:
    await session_of(manager, "s", message("42", role="tool", tool_call_id="t"), message(" "), message(TEA))
    await manager.flush()
    assert memory.provider.embedded == [TEA]


@pytest.mark.parametrize("memory", PERSISTENT, indirect=True)
async def test_restart_embeds_nothing_again(memory: Memory) -> None:
    async with memory.backend() as first:
        await session_of(first, "s", TEA, SEA)
        await first.semantic_index.bring_up_to_date("s")
    manager = memory.manager()
    await manager.flush()
    hits = await found(manager, "cat sea", limit=1)
    await manager.stop()
    assert (memory.provider.embedded, hits) == ([TEA, SEA], [SEA])


async def test_edit_is_found_as_it_is_now(manager: Any) -> None:
    session = await session_of(manager, "s", TEA, SEA)
    await manager.flush()
    await session.edit_message(1, content=KEY)
    await manager.flush()
    assert await found(manager, "keys drawer", limit=1) == [KEY]


async def test_edit_embeds_that_message_alone(manager: Any, memory: Memory) -> None:
    session = await session_of(manager, "s", TEA, SEA)
    await manager.flush()
    await session.edit_message(1, content=KEY)
    await manager.flush()
    assert memory.provider.embedded == [TEA, SEA, KEY]


async def test_edited_message_is_not_found_by_what_it_was(manager: Any) -> None:
    """The index is behind: it finds less, and nothing wrong."""
    session = await session_of(manager, "s", TEA, SEA)
    await manager.flush()
    await session.edit_message(1, content=KEY)
    assert await found(manager, "kettle boiling") == [SEA]


async def test_deleted_messages_leave_the_index(manager: Any, index: SemanticIndex) -> None:
    session = await session_of(manager, "s", TEA, SEA, KEY)
    await manager.flush()
    await session.delete_messages([1, 3])
    assert await found(manager, "kettle") == [SEA]
    await manager.flush()
    assert await index.embedded.count() == 1


async def test_rewind_leaves_the_index(manager: Any, index: SemanticIndex) -> None:
    session = await session_of(manager, "s", TEA, SEA, KEY)
    await manager.flush()
    stored = await session.get_messages()
    await session.rewind(stored[0])
    await session.add_message(message("a second try", 9))
    await manager.flush()
    assert sorted(await found(manager, "kettle")) == ["a second try", TEA]
    assert await index.embedded.count() == 2


async def test_cleared_session_leaves_the_index(manager: Any, index: SemanticIndex) -> None:
    session = await session_of(manager, "s", TEA, SEA)
    await manager.flush()
    await session.clear_messages()
    await manager.flush()
    assert await index.embedded.count() == 0


async def test_message_is_not_embedded_while_it_is_written(manager: Any, memory: Memory) -> None:
    session = await session_of(manager, "s", message(TEA, metadata={INTERRUPTED: True}))
    await manager.flush()
    assert memory.provider.embedded == []
    await session.edit_message(1, metadata={})
    await manager.flush()
    assert memory.provider.embedded == [TEA]


async def test_deleted_session_leaves_the_index(manager: Any, index: SemanticIndex) -> None:
    await session_of(manager, "s", TEA)
    await session_of(manager, "other", SEA)
    await manager.flush()
    await manager.delete_session("s")
    assert await index.embedded.count() == 1


async def test_expired_session_that_is_cleaned_up_leaves_the_index(manager: Any, index: SemanticIndex) -> None:
    session = await session_of(manager, "s", TEA)
    await manager.flush()
    await session.update_metadata(expires_at=START)
    await manager.cleanup_expired_sessions()
    assert await found(manager, "kettle") == []  # what a store let expire by itself is seen here
    assert await index.embedded.count() == 0


async def test_expired_session_is_not_found(manager: Any) -> None:
    session = await session_of(manager, "s", TEA)
    await manager.flush()
    await session.update_metadata(expires_at=START)
    assert await found(manager, "kettle") == []


async def test_session_that_is_made_anew_is_embedded_anew(manager: Any) -> None:
    await session_of(manager, "s", TEA, SEA, KEY)
    await manager.flush()
    await manager.delete_session("s")
    await session_of(manager, "s", "an umbrella")
    await manager.flush()
    assert await found(manager, "kettle sea keys") == ["an umbrella"]


async def test_changed_role_is_filtered_by_what_it_is_now(manager: Any) -> None:
    session = await session_of(manager, "s", TEA, SEA)
    await manager.flush()
    await session.edit_message(1, role="assistant")
    await manager.flush()
    assert await found(manager, "kettle", roles=["assistant"]) == [TEA]


async def test_message_that_became_a_tool_result_leaves_the_index(manager: Any, index: SemanticIndex) -> None:
    session = await session_of(manager, "s", TEA, SEA)
    await manager.flush()
    await session.edit_message(1, role="tool")
    await manager.flush()
    assert await index.embedded.count() == 1
