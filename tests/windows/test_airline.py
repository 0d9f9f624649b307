"""Windows of real conversations: valid for every provider at every budget, and never larger than it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import BaseMemoryBackend, Message
from langswarm_memory.formats import messages_from_openai, messages_to_openai_format
from tests.windows.conftest import stored
from tests.windows.validators import VALIDATORS, faults

AIRLINE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "airline-openai.json"
PARTS = 4  # the conversations are tested in so many parts, to find a fault sooner


@pytest.fixture(scope="module")
def airline() -> list[list[dict[str, Any]]]:
    if not AIRLINE.exists():
        pytest.skip(f"no {AIRLINE.name} beside the checkout")
    return [conversation["messages"] for conversation in json.loads(AIRLINE.read_text())]


def size(messages: list[Message]) -> int:
    return sum(message.token_count or 0 for message in messages)


def budgets(history: list[Message]) -> list[int]:
    """Return every budget at which a window changes, and one in steps between: its suffixes' sizes, system first."""
    total = sum(message.token_count or 0 for message in history if message.role == "system")
    found = {1, total}
    for message in reversed([message for message in history if message.role != "system"]):
        total += message.token_count or 0
        found |= {total - 1, total}
    return sorted(found | set(range(1, total, max(total // 8, 1))))


@pytest.mark.parametrize("provider", list(VALIDATORS))
@pytest.mark.parametrize("part", range(PARTS))
async def test_every_window_is_valid_and_within_its_budget(
    backend: BaseMemoryBackend, airline: list[list[dict[str, Any]]], provider: Any, part: int
) -> None:
    for conversation in airline[part::PARTS]:
        session = await stored(backend, messages_from_openai(conversation), f"{len(await backend.list_sessions())}")
        history = await session.get_messages(full_history=True)
        rules = size([message for message in history if message.role == "system"])
        for budget in budgets(history):
            window = await session.get_recent_context(budget, provider=provider)
            assert faults(provider, window) == [], budget
            assert size(window) <= max(budget, rules)


async def test_window_of_everything_is_the_conversation_itself(
    backend: BaseMemoryBackend, airline: list[list[dict[str, Any]]]
) -> None:
    for number, conversation in enumerate(airline):
        session = await stored(backend, messages_from_openai(conversation), f"s{number}")
        assert json.dumps(messages_to_openai_format(await session.get_recent_context(10**9))) == json.dumps(
            conversation
        )


@pytest.mark.parametrize("provider", list(VALIDATORS))
async def test_window_after_a_crash_at_every_message_is_valid(
    backend: BaseMemoryBackend, airline: list[list[dict[str, Any]]], provider: Any
) -> None:
    conversation = max(airline[:20], key=lambda messages: sum(bool(message.get("tool_calls")) for message in messages))
    messages = messages_from_openai(conversation)
    for length in range(1, len(messages), 2):
        gone = [*messages[:length], *messages[length + 1 :]]
        session = await stored(backend, gone, f"s{length}")
        for budget in (2_000, 3_000, 10**6):
            assert faults(provider, await session.get_recent_context(budget, provider=provider)) == []
