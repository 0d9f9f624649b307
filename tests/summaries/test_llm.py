"""A model as summarizer: clients of either shape, what they are asked, and answers of every kind."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from langswarm_memory import InMemoryBackend, LangSwarmMemoryError, MemoryConfigurationError, Message
from langswarm_memory.summaries import Digest, LLMSummarizer, SummarizerError
from langswarm_memory.summaries.llm import read_digest

from .conftest import session_of, turns

ANSWER = json.dumps({"summary": "They spoke of trains.", "key_topics": ["trains", "Rome"]})
DIGEST = Digest("They spoke of trains.", ["trains", "Rome"])


class Client:
    """A client of one of the two shapes that notes the request and the thread."""

    def __init__(
        self, shape: str, *, blocking: bool = False, wrapped: bool = False, answer: str | None = ANSWER
    ) -> None:
        self.request: dict[str, Any] = {}
        self.thread: threading.Thread | None = None

        def answered(**request: Any) -> Any:
            self.request, self.thread = request, threading.current_thread()
            if shape == "openai":
                return SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content=answer))])
            blocks = [SimpleNamespace(type="thinking", thinking="Hm."), SimpleNamespace(type="text", text=answer)]
            return SimpleNamespace(content=blocks)

        async def awaited(**request: Any) -> Any:
            await asyncio.sleep(0)
            return answered(**request)

        create = answered if blocking else (lambda **request: awaited(**request)) if wrapped else awaited
        if shape == "openai":
            self.chat = SimpleNamespace(completions=SimpleNamespace(create=create))
        else:
            self.messages = SimpleNamespace(create=create)


@pytest.mark.parametrize("shape", ["openai", "anthropic"])
@pytest.mark.parametrize("kind", [{}, {"blocking": True}, {"wrapped": True}], ids=["async", "blocking", "wrapped"])
async def test_client_of_each_shape_makes_the_digest(shape: str, kind: dict[str, bool]) -> None:
    assert await LLMSummarizer(Client(shape, **kind), "model")(None, turns(2)) == DIGEST


async def test_blocking_client_does_not_hold_the_event_loop() -> None:
    client = Client("openai", blocking=True)
    await LLMSummarizer(client, "model")(None, turns(2))
    assert client.thread not in (None, threading.current_thread())


async def test_model_gets_the_summary_so_far_and_the_messages() -> None:
    client = Client("openai")
    await LLMSummarizer(client, "model")("They met.", turns(2))
    prompt = client.request["messages"][-1]["content"]
    assert prompt == (
        "Summary so far:\nThey met.\n\n"
        "Messages since:\nuser: Sentence 0 about trains.\nassistant: Sentence 1 about trains."
    )


async def test_model_gets_tool_calls() -> None:
    client = Client("openai")
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"to": "Rome"}'}}
    await LLMSummarizer(client, "model")(None, [Message("assistant", None, tool_calls=[call])])
    assert '[calls find with {"to": "Rome"}]' in client.request["messages"][-1]["content"]


async def test_long_message_is_cut() -> None:
    client = Client("openai")
    await LLMSummarizer(client, "model", max_message_chars=5)(None, [Message("tool", "x" * 50)])
    assert client.request["messages"][-1]["content"] == "Messages since:\ntool: xxxxx [cut]"


async def test_anthropic_gets_instructions_beside_the_messages_and_a_bound() -> None:
    client = Client("anthropic")
    await LLMSummarizer(client, "model", instructions="Sum up.", max_tokens=99)(None, turns(1))
    assert {name: client.request[name] for name in ("model", "system", "max_tokens")} == {
        "model": "model",
        "system": "Sum up.",
        "max_tokens": 99,
    }
    assert [message["role"] for message in client.request["messages"]] == ["user"]


async def test_options_are_handed_on() -> None:
    client = Client("openai")
    await LLMSummarizer(client, "model", options={"temperature": 0})(None, turns(1))
    assert client.request["temperature"] == 0


async def test_error_of_the_client_passes_through() -> None:
    async def refuse(**_request: Any) -> Any:
        raise TimeoutError("no answer")

    client = SimpleNamespace(messages=SimpleNamespace(create=refuse))
    with pytest.raises(TimeoutError):
        await LLMSummarizer(client, "model")(None, turns(1))


async def test_session_takes_it_as_its_summarizer() -> None:
    backend = InMemoryBackend(summarizer=LLMSummarizer(Client("anthropic"), "model"))
    session = await session_of(backend, 6)
    summary = await session.create_summary()
    assert summary is not None
    assert (summary.summary, summary.key_topics) == DIGEST


@pytest.mark.parametrize("client", [object(), SimpleNamespace(chat=SimpleNamespace()), SimpleNamespace(messages=[])])
def test_client_of_no_known_shape_is_refused(client: Any) -> None:
    with pytest.raises(MemoryConfigurationError, match=r"neither chat\.completions\.create nor messages\.create"):
        LLMSummarizer(client, "model")


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        f"```json\n{ANSWER}\n```",
        f"Here it is, {{as asked}}: {ANSWER} Anything else?",
        '{"summary": " They spoke of trains.\n", "key_topics": ["trains", 7, "", "Rome"]}',
    ],
)
def test_digest_is_found_in_the_answer(answer: str) -> None:
    assert read_digest(answer) == DIGEST


def test_answer_without_topics_has_none() -> None:
    assert read_digest('{"summary": "Short."}') == Digest("Short.", [])


def test_plain_text_is_the_summary() -> None:
    assert read_digest(" They spoke of trains. ") == Digest("They spoke of trains.", [])


@pytest.mark.parametrize(
    "answer", ["", "  ", '{"summary": "They sp', '{"summary": ""}', '{"summary": 7}', "{}", "[" * 9 + "{" * 9]
)
def test_answer_without_a_summary_is_an_error(answer: str) -> None:
    with pytest.raises(SummarizerError) as caught:
        read_digest(answer)
    assert isinstance(caught.value, LangSwarmMemoryError)
    assert "They" not in str(caught.value)


@pytest.mark.parametrize("shape", ["openai", "anthropic"])
async def test_refusal_without_text_is_an_error(shape: str) -> None:
    with pytest.raises(SummarizerError):
        await LLMSummarizer(Client(shape, answer=None), "model")(None, turns(1))
