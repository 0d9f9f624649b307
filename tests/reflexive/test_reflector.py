"""Lessons that a model draws, over the real client and a stand-in for the service."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from langswarm_memory.errors import MemoryConfigurationError
from langswarm_memory.providers import InvalidAnswerError, ProviderError
from langswarm_memory.reflexive import Lesson, LessonConsolidator, LessonStore, ReflectorAgent
from tests.providers.clients import answering, anthropic_client, messages_answer
from tests.reflexive.model_server import ModelServer

ANSWER = {"rule_text": "Ask first.", "suggested_scope": "ROLE", "trigger_vector_text": "Where is my parcel?"}
TEXTS = ("Where is it?", "In Rome.", "No, that is another one.")


async def drawn(agent: ReflectorAgent) -> Lesson:
    lesson = await agent.analyze_failure(*TEXTS, agent_role="support")
    assert lesson is not None
    return lesson


@pytest.mark.parametrize(("scope", "role"), [("ROLE", "support"), ("GLOBAL", None)])
async def test_answer_becomes_a_lesson(model: ModelServer, client: AsyncOpenAI, scope: str, role: str | None) -> None:
    model.says({**ANSWER, "suggested_scope": scope})
    lesson = await drawn(ReflectorAgent(client=client))
    assert (lesson.rule_content, lesson.trigger_scenario_text) == ("Ask first.", "Where is my parcel?")
    assert (lesson.scope, lesson.target_role) == (scope.lower(), role)
    assert lesson.source_incident == "No, that is another one."


async def test_model_reads_all_that_was_said(model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(ANSWER)
    await drawn(ReflectorAgent(client=client))
    (request,) = model.requests
    assert json.loads(request["messages"][1]["content"]) == {
        "agent_role": "support",
        "user_query": "Where is it?",
        "agent_response": "In Rome.",
        "user_correction": "No, that is another one.",
    }


async def test_default_model_is_gpt_4o(model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(ANSWER)
    await drawn(ReflectorAgent(client=client))
    assert model.requests[0]["model"] == "gpt-4o"


async def test_endless_answer_is_cut(model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(ANSWER)
    await ReflectorAgent(client=client).analyze_failure("q", "x" * 1_000_000, "no")
    assert len(model.requests[0]["messages"][1]["content"]) < 10_000


async def test_nothing_to_learn_is_no_lesson(model: ModelServer, client: AsyncOpenAI) -> None:
    model.says({"rule_text": None})
    assert await ReflectorAgent(client=client).analyze_failure(*TEXTS) is None


async def test_blocking_client_works(model: ModelServer) -> None:
    model.says(ANSWER)
    with OpenAI(api_key="key", base_url=model.url, max_retries=0) as client:
        assert (await drawn(ReflectorAgent(client=client))).rule_content == "Ask first."


async def test_client_shaped_like_anthropic_works() -> None:
    client = anthropic_client(answering(messages_answer(json.dumps(ANSWER))))
    assert (await drawn(ReflectorAgent(client=client))).rule_content == "Ask first."


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("Sure! secret", "whole is no JSON"),
        ({**ANSWER, "rule_text": ["secret"]}, "rule_text"),
        ({**ANSWER, "suggested_scope": "secret"}, "suggested_scope"),
        ({**ANSWER, "trigger_vector_text": ""}, "trigger_vector_text"),
    ],
)
async def test_bad_answer_is_told_without_its_text(
    model: ModelServer, client: AsyncOpenAI, answer: Any, place: str
) -> None:
    model.says(answer)
    with pytest.raises(InvalidAnswerError, match=place) as caught:
        await ReflectorAgent(client=client).analyze_failure(*TEXTS)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("status", "retryable"), [(401, False), (429, True), (500, True)])
async def test_failure_of_the_service_is_told(
    model: ModelServer, client: AsyncOpenAI, status: int, retryable: bool
) -> None:
    model.says(status)
    with pytest.raises(ProviderError, match="analyze_failure failed") as caught:
        await ReflectorAgent(client=client).analyze_failure(*TEXTS)
    assert caught.value.retryable is retryable


def test_client_of_another_shape_is_told() -> None:
    with pytest.raises(MemoryConfigurationError, match="object"):
        ReflectorAgent(client=object())


def test_missing_key_is_told(monkeypatch: pytest.MonkeyPatch, lessons: LessonStore) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(MemoryConfigurationError, match="OPENAI_API_KEY"):
        LessonConsolidator(lessons)


async def test_key_makes_a_client_of_our_own() -> None:
    agent = ReflectorAgent("key")
    assert isinstance(agent.client, AsyncOpenAI)
    await agent.aclose()
    assert agent.client.is_closed()


async def test_client_of_the_caller_stays_open(client: AsyncOpenAI) -> None:
    await ReflectorAgent(client=client).aclose()
    assert not client.is_closed()
