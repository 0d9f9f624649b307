"""The provider of OpenAI's API, with the real client against a stand-in of the endpoint."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from langswarm_memory.embeddings import OpenAIEmbeddingProvider
from langswarm_memory.errors import EmbeddingError, InvalidInputError, MemoryConfigurationError
from tests.embeddings.conftest import AT_ONCE
from tests.embeddings.server import EmbeddingServer, answer, refusal, vector_of

Make = Callable[..., OpenAIEmbeddingProvider]


async def test_vectors_come_in_the_order_of_the_texts(openai: Make) -> None:
    vectors = await openai().embed_batch(["a", "bbb", "cc"])
    assert [vector[0] for vector in vectors] == [1, 3, 2]


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_both_encodings_give_the_same_vector(openai: Make, server: EmbeddingServer, encoding: str) -> None:
    assert await openai(encoding_format=encoding).embed_text("four") == vector_of("four", 1536)
    assert server.requests[0]["encoding_format"] == encoding


async def test_an_encoding_of_the_clients_choice_is_read(server: EmbeddingServer) -> None:
    async with AsyncOpenAI(api_key="mine", base_url=server.url) as client:
        assert await OpenAIEmbeddingProvider(client=client).embed_text("four") == vector_of("four", 1536)
    assert server.requests[0]["encoding_format"] == "base64"  # else this test says nothing


async def test_no_texts_are_no_request(openai: Make, server: EmbeddingServer) -> None:
    assert await openai().embed_batch([]) == []
    assert server.requests == []


@pytest.mark.parametrize(
    ("model", "dimension"),
    [("text-embedding-3-small", 1536), ("text-embedding-3-large", 3072), ("text-embedding-ada-002", 1536), ("x", 1536)],
)
def test_dimensions_of_models(openai: Make, model: str, dimension: int) -> None:
    assert openai(model).get_dimension() == dimension


async def test_a_shortened_vector_is_asked_for_and_bears_another_name(openai: Make, server: EmbeddingServer) -> None:
    provider = openai("text-embedding-3-large", dimensions=256)
    assert len(await provider.embed_text("a")) == provider.get_dimension() == 256
    assert server.requests[0]["dimensions"] == 256
    assert provider.model == "text-embedding-3-large@256"


async def test_an_unknown_model_is_asked_for_its_dimension(openai: Make, server: EmbeddingServer) -> None:
    server.otherwise = lambda request: answer(request, 768)
    provider = openai("nomic-embed-text")
    assert await provider.measure_dimension() == 768
    assert provider.get_dimension() == 768


async def test_another_dimension_than_promised_names_both(openai: Make, server: EmbeddingServer) -> None:
    server.otherwise = lambda request: answer(request, 768)
    provider = openai("nomic-embed-text")
    assert provider.get_dimension() == 1536
    with pytest.raises(MemoryConfigurationError, match=r"768.*1536"):
        await provider.embed_text("a")


async def test_requests_are_bounded_by_number(openai: Make, server: EmbeddingServer) -> None:
    await openai(batch_size=2).embed_batch(["a", "b", "c", "d", "e"])
    assert server.inputs == [["a", "b"], ["c", "d"], ["e"]]


async def test_requests_are_bounded_by_tokens(openai: Make, server: EmbeddingServer) -> None:
    long = "word " * 20  # 21 tokens by the estimate
    await openai(max_batch_tokens=45).embed_batch([long, long, long])
    assert [len(texts) for texts in server.inputs] == [2, 1]


async def test_a_text_that_is_too_long_is_cut_and_counted(openai: Make, server: EmbeddingServer) -> None:
    provider = openai(max_text_tokens=100)
    await provider.embed_batch(["word " * 1000, "short"])
    cut, short = server.inputs[0]
    assert "word " * 50 in cut
    assert len(cut) < 500
    assert short == "short"
    assert provider.usage.truncated == 1


async def test_half_a_surrogate_pair_is_sent_as_a_replacement(openai: Make, server: EmbeddingServer) -> None:
    await openai().embed_batch(["a\ud800b", "😀", ""])
    assert server.inputs == [["a\ufffdb", "😀", " "]]


async def test_texts_have_to_be_texts(openai: Make) -> None:
    with pytest.raises(InvalidInputError):
        await openai().embed_batch("abc")  # type: ignore[arg-type]


async def test_usage_counts_what_the_server_says(openai: Make) -> None:
    provider = openai(batch_size=2)
    await provider.embed_batch(["a", "b", "c"])
    usage = provider.usage
    assert (usage.texts, usage.tokens, usage.requests, usage.retries) == (3, 21, 2, 0)


@pytest.mark.parametrize("reply", [refusal(429), refusal(408), refusal(500), refusal(503), None], ids=str)
async def test_what_may_pass_is_tried_again(openai: Make, server: EmbeddingServer, reply: Any) -> None:
    server.replies = [reply, reply]
    provider = openai()
    assert (await provider.embed_text("abc"))[0] == 3
    assert (provider.usage.requests, provider.usage.retries) == (3, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
async def test_what_is_the_callers_fault_is_not_tried_again(openai: Make, server: EmbeddingServer, status: int) -> None:
    server.replies = [refusal(status)]
    with pytest.raises(EmbeddingError) as caught:
        await openai().embed_text("abc")
    assert not caught.value.retryable
    assert len(server.requests) == 1


async def test_an_empty_account_is_not_asked_again(openai: Make, server: EmbeddingServer) -> None:
    server.replies = [refusal(429, "insufficient_quota")]
    with pytest.raises(EmbeddingError, match="insufficient_quota") as caught:
        await openai().embed_text("abc")
    assert not caught.value.retryable
    assert len(server.requests) == 1


async def test_the_last_failure_is_raised_as_retryable(openai: Make, server: EmbeddingServer) -> None:
    server.otherwise = lambda _: refusal(503)
    with pytest.raises(EmbeddingError) as caught:
        await openai().embed_text("abc")
    assert caught.value.retryable
    assert len(server.requests) == AT_ONCE.attempts


async def test_a_server_that_asks_for_a_long_pause_is_left_alone(openai: Make, server: EmbeddingServer) -> None:
    server.replies = [refusal(429, retry_after="3600")]
    with pytest.raises(EmbeddingError) as caught:
        await openai().embed_text("abc")
    assert caught.value.retryable
    assert len(server.requests) == 1


async def test_a_short_pause_that_the_server_asks_for_is_made(openai: Make, server: EmbeddingServer) -> None:
    server.replies = [refusal(429, retry_after_ms="20")]
    await openai().embed_text("abc")
    assert len(server.requests) == 2


async def test_a_server_that_is_not_there_is_retryable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    provider = OpenAIEmbeddingProvider("key", base_url=f"http://127.0.0.1:{port}/v1", retry=AT_ONCE)
    with pytest.raises(EmbeddingError) as caught:
        await provider.embed_text("abc")
    assert caught.value.retryable
    assert provider.usage.requests == AT_ONCE.attempts
    await provider.aclose()


@pytest.mark.parametrize(
    ("document", "issue"),
    [
        ({"data": []}, "0 vectors for 1 texts"),
        ({"data": [{"index": 0, "embedding": ["SECRET"]}]}, "not a list of numbers"),
        ({"data": [{"index": 0, "embedding": "no base64"}]}, "not a list of numbers"),
        ({"data": [{"index": 0, "embedding": "AAA="}]}, "not a list of numbers"),
        ({"data": [{"index": 0, "embedding": []}]}, "not a list of numbers"),
        ({"data": [{"index": 5, "embedding": [1.0]}]}, "not numbered"),
    ],
)
async def test_an_answer_of_another_form_is_an_error(
    openai: Make, server: EmbeddingServer, document: Any, issue: str
) -> None:
    server.replies = [(200, {}, document)]
    with pytest.raises(EmbeddingError, match=issue):
        await openai().embed_text("abc")


async def test_neither_errors_nor_logs_show_a_text(
    openai: Make, server: EmbeddingServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.otherwise = lambda _: refusal(500)
    with caplog.at_level(logging.WARNING), pytest.raises(EmbeddingError) as caught:
        await openai().embed_text("SECRET")
    assert "stamina" in caplog.text  # the repetitions are told
    assert "SECRET" not in caplog.text + str(caught.value) + repr(caught.value)


async def test_the_key_of_openai_is_not_sent_elsewhere(
    openai: Make, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    provider = OpenAIEmbeddingProvider(base_url=server.url)
    await provider.embed_text("a")
    await provider.aclose()
    assert server.keys == ["Bearer none"]


def test_without_a_key_there_is_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(MemoryConfigurationError, match="API key"):
        OpenAIEmbeddingProvider()


@pytest.mark.parametrize("option", ["batch_size", "max_batch_tokens", "dimensions"])
def test_a_number_out_of_range_is_refused(option: str) -> None:
    with pytest.raises(MemoryConfigurationError):
        OpenAIEmbeddingProvider("key", **{option: -1})  # type: ignore[arg-type]


async def test_a_client_of_the_callers_is_used_and_left_open(server: EmbeddingServer) -> None:
    async with AsyncOpenAI(api_key="mine", base_url=server.url) as client:
        provider = OpenAIEmbeddingProvider(client=client)
        await provider.embed_text("a")
        await provider.aclose()
        await provider.embed_text("a")
    assert server.keys == ["Bearer mine"] * 2


async def test_a_clients_own_repetitions_do_not_multiply_ours(server: EmbeddingServer) -> None:
    server.otherwise = lambda _: refusal(500)
    async with AsyncOpenAI(api_key="mine", base_url=server.url, max_retries=5) as client:
        with pytest.raises(EmbeddingError):
            await OpenAIEmbeddingProvider(client=client, retry=AT_ONCE).embed_text("a")
    assert len(server.requests) == AT_ONCE.attempts


async def test_a_blocking_client_will_do(server: EmbeddingServer) -> None:
    with OpenAI(api_key="mine", base_url=server.url) as client:
        assert len(await OpenAIEmbeddingProvider(client=client).embed_text("a")) == 1536


async def test_a_client_that_answers_plain_json_will_do() -> None:
    async def create(**request: Any) -> Any:
        return answer(request, 3)[2]

    client = SimpleNamespace(embeddings=SimpleNamespace(create=create))
    assert await OpenAIEmbeddingProvider(client=client, model="mine").embed_text("ab") == vector_of("ab", 3)


def test_a_client_without_embeddings_is_refused() -> None:
    with pytest.raises(MemoryConfigurationError, match=r"embeddings\.create"):
        OpenAIEmbeddingProvider(client=SimpleNamespace())
