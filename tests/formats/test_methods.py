"""The methods of a message are the functions of the package."""

from __future__ import annotations

from typing import Any

import pytest

from langswarm_memory.interfaces.message import Message

FORMS: dict[str, tuple[str, str, Any]] = {
    "openai": ("from_openai", "to_openai_format", {"content": "x", "role": "user", "n": 1.0}),
    "anthropic": ("from_anthropic", "to_anthropic_format", {"content": "x", "role": "user", "n": 1.0}),
    "gemini": ("from_gemini", "to_gemini_format", {"parts": [{"text": "x"}, {"n": 1.0}], "role": "model"}),
}


@pytest.mark.parametrize(("there", "back", "data"), FORMS.values(), ids=FORMS)
def test_method_gives_the_message_again(there: str, back: str, data: Any) -> None:
    assert list(getattr(getattr(Message, there)(data, message_id="m"), back)().items()) == list(data.items())


def test_item_is_given_again() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": []}
    assert Message.from_responses(item, message_id="m").to_responses_format() == [item]


@pytest.mark.parametrize("there", ["from_openai", "from_anthropic", "from_gemini", "from_responses"])
def test_fields_the_form_lacks_are_taken(there: str) -> None:
    data = {"role": "user", "content": "x", "parts": [{"text": "x"}]}
    message = getattr(Message, there)(data, message_id="m", token_count=3, metadata={"a": 1})
    assert (message.message_id, message.token_count, message.metadata["a"]) == ("m", 3, 1)
