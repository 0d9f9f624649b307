"""What goes wrong between us and a model: it cannot be reached, or its answer is not what was asked for."""

from __future__ import annotations

from ..errors import LangSwarmMemoryError, describe

RETRYABLE_STATUS = frozenset({408, 409, 429})  # timeout, conflict, too many requests: what the SDKs repeat themselves


class ProviderError(LangSwarmMemoryError):
    """The client of a model failed. Its error is the ``__cause__``, and is named by class and code only.

    Args:
        provider: Name of the provider.
        operation: The method that was called.
        error: The client's error.
    """

    def __init__(self, provider: str, operation: str, error: BaseException | None = None) -> None:
        self.provider = provider
        self.operation = operation
        self.original_error = error
        status = getattr(error, "status_code", None)
        if isinstance(status, int):
            self.retryable = status in RETRYABLE_STATUS or status >= 500
        else:
            self.retryable = error is not None  # no status: the server was not reached, or did not answer in time
        cause = f" ({describe(error)})" if error is not None else ""
        super().__init__(f"{provider}: {operation} failed{cause}")


class InvalidAnswerError(ProviderError):
    """A model's answer is no JSON, or not of the form that was asked for. Asking again may help.

    The message names the place and what is wrong there, never what the model wrote.

    Args:
        provider: Name of the provider.
        operation: The method that was called.
        place: Where in the answer, for example ``entities[2].type``; empty for the whole.
        issue: What is wrong there.
    """

    def __init__(self, provider: str, operation: str, place: str, issue: str) -> None:
        super().__init__(provider, operation)
        self.retryable = True
        self.place = place
        self.issue = issue
        self.message = f"{provider}: {operation} got an answer whose {place or 'whole'} {issue}"
        self.args = (self.message,)
