"""Insights: what is counted is exact, and what no count shows is listed as unknown."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from langswarm_memory import (
    ConversationSummary,
    IMemorySession,
    InMemoryBackend,
    Message,
    SessionMetadata,
)
from langswarm_memory.providers import LocalProvider
from tests.providers.sessions import WEDNESDAY, call, said, session_of

CONVERSATION = (
    said("system", "Be brief", token_count=2),
    said("user", "Where is my parcel?", 0, token_count=5),
    said("assistant", None, 1, tool_calls=[call("find", "a"), call("weigh", "b"), call("find", "c")], token_count=9),
    said("tool", "on its way", 2, tool_call_id="a", token_count=4),
    said("tool", "2 kg", 3, tool_call_id="b", token_count=3),
    said("assistant", "The parcel is on its way", 4, token_count=7),
    said("user", "Is the parcel heavy?", 10, token_count=5),
    said("assistant", "It weighs 2 kg", 11, token_count=5),
)


async def insights(session: IMemorySession) -> dict[str, Any]:
    return await LocalProvider().get_insights(session)


async def test_messages_are_counted_by_role(backend: InMemoryBackend) -> None:
    found = await insights(await session_of(backend, *CONVERSATION))
    assert found["messages"] == {"total": 8, "by_role": {"system": 1, "user": 2, "assistant": 3, "tool": 2}}


async def test_tokens_are_those_stored(backend: InMemoryBackend) -> None:
    found = await insights(await session_of(backend, *CONVERSATION))
    assert (found["tokens"]["total"], found["tokens"]["by_role"]["tool"]) == (40, 7)


async def test_tools_are_counted_by_name(backend: InMemoryBackend) -> None:
    found = await insights(await session_of(backend, *CONVERSATION))
    assert found["tools"] == {"calls": 3, "results": 2, "unanswered": 1, "by_name": {"find": 2, "weigh": 1}}


async def test_answer_takes_until_the_assistant_says_something(backend: InMemoryBackend) -> None:
    found = (await insights(await session_of(backend, *CONVERSATION)))["time"]
    assert (found["responses"], found["response_seconds_median"], found["response_seconds_max"]) == (2, 2.5, 4)


async def test_two_answers_to_one_question_are_one_response(backend: InMemoryBackend) -> None:
    session = await session_of(backend, said("user", "Hi"), said("assistant", "Hello", 2), said("assistant", "Yes?", 9))
    assert (await insights(session))["time"]["responses"] == 1


async def test_user_who_asks_twice_waits_since_the_first(backend: InMemoryBackend) -> None:
    session = await session_of(backend, said("user", "Hi"), said("user", "Hello?", 5), said("assistant", "Yes?", 9))
    assert (await insights(session))["time"]["response_seconds_max"] == 9


async def test_duration_is_in_seconds(backend: InMemoryBackend) -> None:
    assert (await insights(await session_of(backend, *CONVERSATION)))["time"]["duration_seconds"] == 11


async def test_topics_are_words_that_recur(backend: InMemoryBackend) -> None:
    found = await insights(await session_of(backend, *CONVERSATION))
    assert found["topics"]["value"][0] == "parcel"


async def test_whole_history_is_counted_not_the_window(backend: InMemoryBackend) -> None:
    session = await session_of(backend, *(said("user", f"message {n}") for n in range(30)), max_messages=5)
    assert (await insights(session))["messages"]["total"] == 30


async def test_outcome_is_unknown_without_a_model(backend: InMemoryBackend) -> None:
    found = await insights(await session_of(backend, *CONVERSATION))
    assert (found["outcome"]["value"], found["unknown"]) == (None, ["outcome", "satisfaction"])


async def test_empty_session_says_what_it_cannot_know(backend: InMemoryBackend) -> None:
    found = await insights(await session_of(backend))
    assert {"topics", "time.started_at", "time.response_seconds_median"} <= set(found["unknown"])


async def test_calls_are_counted_in_every_providers_form(backend: InMemoryBackend) -> None:
    session = await session_of(
        backend,
        said("assistant", [{"type": "tool_use", "id": "a", "name": "find", "input": {}}]),
        said("user", [{"type": "tool_result", "tool_use_id": "a", "content": "1"}]),
        said("assistant", [{"functionCall": {"name": "find", "args": {}}}]),
        said("user", [{"functionResponse": {"name": "find", "response": {}}}]),
        said("assistant", None, function_call={"name": "find", "arguments": "{}"}),
        said("function", "1", name="find"),
    )
    found = await insights(session)
    assert (found["tools"]["by_name"], found["tools"]["results"], found["turns"]) == ({"find": 3}, 3, 0)


class ForeignSession(IMemorySession):
    """A session of another package: the interface and nothing else."""

    session_id = "foreign"
    metadata = SessionMetadata("foreign", created_at=WEDNESDAY)

    async def get_messages(
        self, limit: int | None = None, include_system: bool = True, since: datetime | None = None
    ) -> list[Message]:
        return list(CONVERSATION)

    async def get_summary(self) -> ConversationSummary | None:
        return None

    async def add_message(self, message: Message) -> bool:
        raise NotImplementedError

    async def get_recent_context(self, max_tokens: int | None = None) -> list[Message]:
        raise NotImplementedError

    async def clear_messages(self, keep_system: bool = True) -> bool:
        raise NotImplementedError

    async def create_summary(self, force: bool = False) -> ConversationSummary | None:
        raise NotImplementedError

    async def update_metadata(self, **kwargs: Any) -> bool:
        raise NotImplementedError

    async def close(self) -> bool:
        raise NotImplementedError


async def test_session_of_another_package_is_read_by_its_interface() -> None:
    assert (await insights(ForeignSession()))["messages"]["total"] == 8


async def test_breaks_of_another_packages_session_are_unknown() -> None:
    assert "tools.unanswered" in (await insights(ForeignSession()))["unknown"]
