"""The provider over a model: what it sends, what it takes for an answer, and what its errors say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from langswarm_memory import InMemoryBackend, MemoryConfigurationError, Message
from langswarm_memory.providers import InvalidAnswerError, LLMProvider, LocalProvider, ProviderError
from tests.providers.clients import (
    Asked,
    answering,
    anthropic_client,
    blocking,
    chat_answer,
    decorated,
    messages_answer,
    openai_client,
    wrapped,
)
from tests.providers.sessions import said, session_of

SECRET = "the blue parcel"
CONVERSATION = [said("system", "Obey"), said("user", f"Where is {SECRET}, Mia asks?"), said("assistant", "In Boston.")]


def judged(value: Any, confidence: Any = 0.75) -> dict[str, Any]:
    return {"value": value, "confidence": confidence}


ANALYSIS: dict[str, Any] = {
    "language": judged("en"),
    "sentiment": judged(-0.5),
    "topics": judged(["parcel"]),
    "summary": judged("A parcel is sought."),
    "intent": judged("find the parcel"),
    "resolved": judged(None),
}
INSIGHTS = {"topics": judged(["parcel"]), "outcome": judged("reached"), "satisfaction": judged(0)}


def provider(answer: Any, asked: Asked | None = None, **options: Any) -> LLMProvider:
    text = answer if isinstance(answer, str | None) else json.dumps(answer)
    return LLMProvider(openai_client(answering(chat_answer(text), asked)), "gpt-test", **options)


# --- clients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "client",
    [
        openai_client(answering(chat_answer(json.dumps(ANALYSIS)))),
        openai_client(blocking(chat_answer(json.dumps(ANALYSIS)))),
        openai_client(wrapped(answering(chat_answer(json.dumps(ANALYSIS))))),
        openai_client(decorated(answering(chat_answer(json.dumps(ANALYSIS))))),
        openai_client(answering({"choices": [{"message": {"content": json.dumps(ANALYSIS)}}]})),
        anthropic_client(answering(messages_answer(json.dumps(ANALYSIS)))),
        anthropic_client(blocking(messages_answer(json.dumps(ANALYSIS)))),
    ],
    ids=["async", "sync", "wrapped", "decorated", "dicts", "anthropic", "anthropic-sync"],
)
async def test_every_shape_of_client_is_understood(client: Any) -> None:
    found = await LLMProvider(client, "m").analyze_conversation(CONVERSATION)
    assert found["intent"] == {"value": "find the parcel", "method": "llm:m", "confidence": 0.75}


@pytest.mark.parametrize("client", [None, object(), openai_client("create")])  # type: ignore[arg-type]
def test_what_is_no_client_is_refused(client: Any) -> None:
    with pytest.raises(MemoryConfigurationError):
        LLMProvider(client, "m")


async def test_anthropic_is_given_the_bound_that_it_demands() -> None:
    asked: Asked = []
    client = anthropic_client(answering(messages_answer(json.dumps(ANALYSIS)), asked))
    await LLMProvider(client, "m", max_answer_tokens=77).analyze_conversation(CONVERSATION)
    assert (asked[0]["max_tokens"], asked[0]["messages"][0]["role"]) == (77, "user")


async def test_options_win() -> None:
    asked: Asked = []
    await provider(ANALYSIS, asked, options={"temperature": 0, "model": "other"}).analyze_conversation(CONVERSATION)
    assert (asked[0]["temperature"], asked[0]["model"]) == (0, "other")


# --- what is sent --------------------------------------------------------------------------------------------------


def sent(asked: Asked) -> list[dict[str, Any]]:
    return [json.loads(line) for line in asked[0]["messages"][1]["content"].splitlines()]


async def test_conversation_is_sent_as_data_without_instructions() -> None:
    asked: Asked = []
    await provider(ANALYSIS, asked).analyze_conversation(CONVERSATION)
    assert [(line["role"], line["text"]) for line in sent(asked)] == [
        ("user", CONVERSATION[1].content),
        ("assistant", "In Boston."),
    ]


async def test_newest_messages_are_sent_when_not_all_fit() -> None:
    asked: Asked = []
    messages = [said("user", f"message {number} " + "word " * 50) for number in range(40)]
    found = await provider(ANALYSIS, asked, max_input_tokens=500).analyze_conversation(messages)
    numbers = [line["i"] for line in sent(asked)]
    assert numbers == list(range(40 - len(numbers), 40))
    assert 0 < found["messages_read"] == len(numbers) < 40


async def test_nobody_is_asked_about_an_empty_conversation() -> None:
    asked: Asked = []
    found = await provider(ANALYSIS, asked).analyze_conversation([said("system", "Obey")])
    assert (asked, len(found["unknown"])) == ([], 6)


async def test_lone_surrogate_can_be_sent() -> None:
    asked: Asked = []
    await provider(ANALYSIS, asked).analyze_conversation([said("user", "a\ud800b")])
    assert sent(asked)[0]["text"].encode() == b"a?b"


# --- answers -------------------------------------------------------------------------------------------------------


async def test_both_providers_answer_with_the_same_keys() -> None:
    mine = await provider(ANALYSIS).analyze_conversation(CONVERSATION)
    assert list(mine) == list(await LocalProvider().analyze_conversation(CONVERSATION))


async def test_fenced_answer_is_read() -> None:
    found = await provider(f"```json\n{json.dumps(ANALYSIS)}\n```").analyze_conversation(CONVERSATION)
    assert found["unknown"] == ["resolved"]


def but(name: str, value: Any) -> dict[str, Any]:
    return {**ANALYSIS, name: value}


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("certainly! {}", ""),
        ("[]", ""),
        ("", ""),
        (None, ""),
        ("{" * 100_000, ""),
        ('{"language": NaN}', ""),
        ("{}", "language"),
        (but("sentiment", judged(1.01)), "sentiment.value"),
        (but("sentiment", judged(True)), "sentiment.value"),
        (but("sentiment", judged("bad")), "sentiment.value"),
        (but("topics", judged("parcel")), "topics.value"),
        (but("topics", judged(["parcel", 1])), "topics.value"),
        (but("summary", judged("")), "summary.value"),
        (but("resolved", judged("yes")), "resolved.value"),
        (but("intent", judged("x", 2)), "intent.confidence"),
        (but("intent", judged("x", None)), "intent.confidence"),
        (but("intent", "x"), "intent"),
    ],
)
async def test_wrong_answer_is_refused_at_its_place(answer: Any, place: str) -> None:
    with pytest.raises(InvalidAnswerError) as caught:
        await provider(answer).analyze_conversation(CONVERSATION)
    assert (caught.value.place, caught.value.retryable) == (place, True)


@pytest.mark.parametrize(
    "client",
    [
        openai_client(answering(chat_answer(json.dumps(ANALYSIS), "length"))),
        anthropic_client(answering(messages_answer(json.dumps(ANALYSIS), "max_tokens"))),
    ],
    ids=["openai", "anthropic"],
)
async def test_answer_that_was_cut_off_is_refused(client: Any) -> None:
    with pytest.raises(InvalidAnswerError, match="cut off"):
        await LLMProvider(client, "m").analyze_conversation(CONVERSATION)


async def test_error_of_a_wrong_answer_holds_none_of_its_words() -> None:
    with pytest.raises(InvalidAnswerError) as caught:
        await provider(but("intent", judged(SECRET, 7))).analyze_conversation(CONVERSATION)
    assert SECRET not in str(caught.value)


async def test_error_of_no_json_is_chained_to_nothing_that_holds_the_answer() -> None:
    with pytest.raises(InvalidAnswerError) as caught:
        await provider(f"about {SECRET}").analyze_conversation(CONVERSATION)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# --- errors --------------------------------------------------------------------------------------------------------


class SDKError(Exception):
    """The base of an SDK's errors."""

    def __init__(self, status_code: int | None = None) -> None:
        super().__init__(f"the request was {SECRET}")
        if status_code is not None:
            self.status_code = status_code


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK that is loaded, as openai is where its client is used."""
    module = ModuleType("openai")
    module.OpenAIError = SDKError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openai", module)


@pytest.mark.usefixtures("sdk")
@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (SDKError(), True),
        (SDKError(429), True),
        (SDKError(503), True),
        (SDKError(400), False),
        (SDKError(401), False),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
    ],
)
@pytest.mark.parametrize("create", [answering, blocking])
async def test_error_of_a_client_says_whether_to_repeat(
    create: Callable[[Any], Any], error: Exception, retryable: bool
) -> None:
    with pytest.raises(ProviderError) as caught:
        await LLMProvider(openai_client(create(error)), "m").analyze_conversation(CONVERSATION)
    assert (caught.value.retryable, type(caught.value.__cause__)) == (retryable, type(error))


@pytest.mark.usefixtures("sdk")
async def test_error_of_a_client_is_named_without_its_text() -> None:
    with pytest.raises(ProviderError) as caught:
        await LLMProvider(openai_client(answering(SDKError(400))), "m").analyze_conversation(CONVERSATION)
    assert str(caught.value) == "llm: analyze_conversation failed (SDKError)"


async def test_bug_in_a_client_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        await LLMProvider(openai_client(answering(KeyError("x"))), "m").analyze_conversation(CONVERSATION)


# --- entities ------------------------------------------------------------------------------------------------------


def named(kind: str, text: str, value: str | None = None, confidence: float = 0.9) -> dict[str, Any]:
    return {"type": kind, "text": text, "value": value, "confidence": confidence}


async def entities(*given: dict[str, Any]) -> list[dict[str, Any]]:
    return await provider({"entities": list(given)}).extract_entities(CONVERSATION)


async def test_entities_come_in_the_order_of_the_conversation() -> None:
    found = await entities(named("place", "Boston"), named("person", "Mia"), named("product", SECRET))
    assert [one["text"] for one in found] == [SECRET, "Mia", "Boston"]


async def test_entity_that_no_message_holds_is_left_out() -> None:
    assert await entities(named("person", "Omar")) == []


async def test_entity_of_the_instructions_is_left_out() -> None:
    assert await entities(named("other", "Obey")) == []


async def test_mentions_are_looked_up() -> None:
    (one,) = await entities(named("place", "Boston", "Boston, MA"))
    assert [(at["message_id"], at["start"], at["end"]) for at in one["mentions"]] == [
        (CONVERSATION[2].message_id, 3, 9)
    ]


async def test_entity_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(InvalidAnswerError) as caught:
        await entities(named("person", "Mia"), named("spell", "Boston"))
    assert caught.value.place == "entities[1].type"


async def test_both_providers_name_entities_with_the_same_keys() -> None:
    (mine,) = await entities(named("person", "Mia"))
    (theirs,) = await LocalProvider().extract_entities([said("user", "I am x@b.example")])
    assert list(mine) == list(theirs)


# --- sessions ------------------------------------------------------------------------------------------------------


async def test_actions_of_the_rules_come_before_the_models(backend: InMemoryBackend) -> None:
    session = await session_of(backend, said("user", "Where is it?"))
    model = {"action": "look_up_parcel", "reason": "It is sought.", "priority": "high", "confidence": 0.5}
    found = await provider({"actions": [model]}).suggest_actions(session)
    assert [(one["action"], one["method"]) for one in found] == [
        ("answer_user", "rules"),
        ("look_up_parcel", "llm:gpt-test"),
    ]


async def test_insights_are_counted_not_asked_for(backend: InMemoryBackend) -> None:
    session = await session_of(backend, *CONVERSATION)
    lying = {**INSIGHTS, "messages": {"total": 99}, "turns": 99}
    found = await provider(lying).get_insights(session)
    assert (found["messages"]["total"], found["turns"], found["outcome"]["value"]) == (3, 1, "reached")


async def test_zero_satisfaction_is_known(backend: InMemoryBackend) -> None:
    found = await provider(INSIGHTS).get_insights(await session_of(backend, *CONVERSATION))
    assert "satisfaction" not in found["unknown"]


async def test_unknown_outcome_is_refused(backend: InMemoryBackend) -> None:
    session = await session_of(backend, *CONVERSATION)
    with pytest.raises(InvalidAnswerError) as caught:
        await provider({**INSIGHTS, "outcome": judged("splendid")}).get_insights(session)
    assert caught.value.place == "outcome.value"


async def test_both_providers_give_insights_with_the_same_keys(backend: InMemoryBackend) -> None:
    session = await session_of(backend, *CONVERSATION)
    assert list(await provider(INSIGHTS).get_insights(session)) == list(await LocalProvider().get_insights(session))


@pytest.mark.parametrize("options", [{"max_input_tokens": 0}, {"max_answer_tokens": 0}])
def test_bound_that_is_not_positive_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(MemoryConfigurationError):
        provider(ANALYSIS, **options)


async def test_messages_of_any_role_are_read() -> None:
    asked: Asked = []
    await provider(ANALYSIS, asked).analyze_conversation([Message("critic", "hm"), Message("tool", "1")])
    assert [line["role"] for line in sent(asked)] == ["critic", "tool"]
