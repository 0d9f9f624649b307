"""Analysis of conversations: offline with :class:`LocalProvider`, by a model with :class:`LLMProvider`.

Both fulfil ``IMemoryProvider`` and return dictionaries of the same keys; ``docs/providers.md`` lists them with ranges
and units. Nothing is loaded before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from .errors import InvalidAnswerError, ProviderError
    from .llm import LLMProvider
    from .local import LocalProvider

__all__ = ["InvalidAnswerError", "LLMProvider", "LocalProvider", "ProviderError"]

__getattr__ = attach(
    __name__,
    {
        "InvalidAnswerError": f"{__name__}.errors",
        "LLMProvider": f"{__name__}.llm",
        "LocalProvider": f"{__name__}.local",
        "ProviderError": f"{__name__}.errors",
    },
)
