"""How many model tokens a text, a message or a whole request takes.

Without any library: an estimate (:func:`estimate_tokens`). With the extra ``tokens``: exact counts, offline, by the
vocabularies that OpenAI publishes (:func:`get_token_counter`). Nothing is loaded before it is asked for.
"""

from __future__ import annotations

from .counters import (
    MESSAGE_OVERHEAD,
    count_messages,
    count_text,
    count_tools,
    estimate_tokens,
    get_token_counter,
    openai_counter,
)
from .counting import MessageCounter, TokenCounter
from .estimate import estimate_text
from .rules import PROVIDERS
from .vocabulary import ENCODINGS, encoding_for_model

__all__ = [
    "ENCODINGS",
    "MESSAGE_OVERHEAD",
    "PROVIDERS",
    "MessageCounter",
    "TokenCounter",
    "count_messages",
    "count_text",
    "count_tools",
    "encoding_for_model",
    "estimate_text",
    "estimate_tokens",
    "get_token_counter",
    "openai_counter",
]
