"""The counter: a vocabulary (or the estimate), and the rules of a provider's format."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

from ..errors import InvalidInputError, MemoryConfigurationError
from ..interfaces.enums import MessageRole
from ..interfaces.message import Message
from .blocks import TEXT_KEYS, as_text, call_of, declaration_of, declarations, is_binary, result_of
from .estimate import estimate_text
from .images import image_of, image_size
from .rules import BINARY_TOKENS, rules_of
from .vocabulary import exact_counter

ESTIMATE = "estimate"
"""The name of the counter without a vocabulary."""

FUNCTION_TOKENS = {"cl100k_base": 10}
OTHER_FUNCTION_TOKENS = 7
PROPERTIES_TOKENS = 3
PROPERTY_TOKENS = 3
ENUM_TOKENS = -3
ENUM_ITEM_TOKENS = 3
"""Constants of OpenAI's rule of tool declarations: cookbook, "How to count tokens with tiktoken", section 7."""


class TokenCounter(Protocol):
    """Counts the tokens of one message, format overhead included."""

    def __call__(self, message: Message) -> int:
        """Return the number of tokens."""


class MessageCounter:
    """A :class:`TokenCounter` for one vocabulary and one provider's format.

    Args:
        encoding: ``"o200k_base"``, ``"cl100k_base"``, or ``"estimate"``, which needs no library.
        provider: ``"openai"``, ``"anthropic"`` or ``"gemini"``: whose format the messages will be sent in.
        model: Whose rule of images holds. None: the provider's usual one.
        margin: What counts of text are multiplied by. None: the provider's: 1 for OpenAI, 1.2 for the others.

    Raises:
        MemoryConfigurationError: No such encoding or provider, or a margin that is not positive.
        MissingDependencyError: The extra ``tokens`` is not installed, and the encoding is not the estimate.
    """

    __slots__ = ("_count", "_rules", "encoding", "margin", "model", "provider")

    def __init__(
        self,
        encoding: str = "o200k_base",
        provider: str = "openai",
        *,
        model: str | None = None,
        margin: float | None = None,
    ) -> None:
        if margin is not None and not margin > 0:
            raise MemoryConfigurationError(f"margin must be a positive number, got {margin!r}")
        self._rules = rules_of(provider)
        self._count = estimate_text if encoding == ESTIMATE else exact_counter(encoding)
        self.encoding = encoding
        self.provider = provider
        self.model = model
        self.margin = self._rules.margin if margin is None else margin

    def __repr__(self) -> str:
        return f"<MessageCounter {self.encoding} {self.provider}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # The vocabulary stays behind: it is loaded again where the counter arrives.
        return _restore, (self.encoding, self.provider, self.model, self.margin)

    def count_text(self, text: str) -> int:
        """Return the tokens of a text alone, margin included."""
        count = self._count(text)
        return count if self.margin == 1 else math.ceil(count * self.margin)

    def __call__(self, message: Message) -> int:
        """Return the tokens of a message: overhead, role, name, content and calls. The answer's priming is not in it.

        The id that ties a result to its call is not counted: it is not shown to the model.
        """
        rules = self._rules
        role = message.role
        known = isinstance(role, MessageRole) or not isinstance(role, str)  # what is no text is refused when encoded
        total = rules.per_message + (1 if known else self.count_text(role))
        if message.name:
            total += rules.per_name + self.count_text(message.name)
        if message.content is not None:
            total += self._content(message.content)
        if message.function_call:
            total += self._call(message.function_call)
        if message.tool_calls:
            total += sum([self._call(call) for call in message.tool_calls])
            if len(message.tool_calls) > 1:
                total += rules.parallel_calls + rules.per_further_call * (len(message.tool_calls) - 1)
        return total

    def count_messages(self, messages: Iterable[Message], tools: Iterable[dict[str, Any]] | None = None) -> int:
        """Return the tokens of a whole request: messages, tool definitions and the answer's priming."""
        total = self._rules.priming + self.count_tools(tools or ())
        for message in messages:
            if not isinstance(message, Message):
                raise InvalidInputError(f"a Message is needed, got {type(message).__name__}")
            total += self(message)
        return total

    def count_tools(self, tools: Iterable[dict[str, Any]]) -> int:
        """Return the tokens of tool definitions, in any provider's form; 0 when there are none.

        OpenAI turns definitions into a declaration of its own before the model sees them. The published rule covers
        flat properties with descriptions; nested ones are counted by the same constants, level by level. A provider's
        built-in tool, which has no schema, is counted as its JSON.
        """
        found = declarations(tools)
        if not found:
            return 0
        if not self._rules.declares:
            return self._rules.tools + sum([self.count_text(as_text(tool)) for tool in found])
        return self._rules.tools + sum([self._declaration(tool) for tool in found])

    def _content(self, content: Any) -> int:
        if isinstance(content, str):
            return self.count_text(content)
        if isinstance(content, list):
            return sum([self._block(block) for block in content])
        return self.count_text(as_text(content))

    def _block(self, block: Any) -> int:
        if not isinstance(block, dict):
            return self.count_text(as_text(block))
        if image := image_of(block):
            data, detail = image
            return self._rules.image(*image_size(data), detail, self.model)
        if result := result_of(block):
            name, content = result
            return self.count_text(name) + self._content(content)
        if is_binary(block):
            return BINARY_TOKENS
        for key in TEXT_KEYS:
            if isinstance(block.get(key), str):
                return self.count_text(block[key])
        return self._call(block)

    def _call(self, call: Any) -> int:
        parts = call_of(call)
        if parts is None:
            return self.count_text(as_text(call))
        return self._rules.per_call + sum([self.count_text(part) for part in parts])

    def _declaration(self, tool: Any) -> int:
        parts = declaration_of(tool) if isinstance(tool, dict) else None
        if parts is None:
            return self.count_text(as_text(tool))
        name, description, schema = parts
        total = FUNCTION_TOKENS.get(self.encoding, OTHER_FUNCTION_TOKENS)
        return total + self.count_text(f"{name}:{description.removesuffix('.')}") + self._properties(schema)

    def _properties(self, schema: Any) -> int:
        """Count the properties of an object, of the objects in it, and of those that an array is made of."""
        if not isinstance(schema, dict):
            return 0
        properties = schema.get("properties")
        if not isinstance(properties, dict) or not properties:
            return self._properties(schema.get("items"))
        total = PROPERTIES_TOKENS
        for name, given in properties.items():
            inner = given if isinstance(given, dict) else {}
            total += PROPERTY_TOKENS
            choices = inner.get("enum")
            if isinstance(choices, list):
                total += ENUM_TOKENS + sum([ENUM_ITEM_TOKENS + self.count_text(as_text(item)) for item in choices])
            # A union has no type of its own; what it says instead is counted in its place.
            kind = as_text(inner.get("type", inner.get("anyOf", inner.get("oneOf", inner.get("$ref")))))
            description = as_text(inner.get("description")).removesuffix(".")
            total += self.count_text(f"{name}:{kind}:{description}") + self._properties(inner)
        return total


def _restore(encoding: str, provider: str, model: str | None, margin: float) -> MessageCounter:
    return MessageCounter(encoding, provider, model=model, margin=margin)
