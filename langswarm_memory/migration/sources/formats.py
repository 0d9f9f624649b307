"""The earlier formats that are read, and the errors of what is in none of them."""

from __future__ import annotations

from ...errors import InvalidInputError

UNDERSTOOD = (
    "langswarm-memory 0.1 and 0.2 (SQLite, PostgreSQL, Redis, MongoDB)",
    "LangSwarm V1 sessions (SQLite), and documents of LangSwarm V1 or memswarm (SQLite, Redis)",
    "langswarm.core.session (SQLite)",
    "one table of messages, or one hash per conversation, as LangSwarm's migration guide has them (SQLite, Redis)",
    "LangChain message_store (SQLite, PostgreSQL, Redis)",
)
"""Every earlier format that is read."""


class UnknownFormatError(InvalidInputError):
    """What was found is in no earlier format that is understood; ``details["found"]`` names the tables or keys."""

    def __init__(self, place: str, found: list[str]) -> None:
        super().__init__(
            f"{place} is in no format that is understood",
            {"found": found},
            "understood are " + "; ".join(UNDERSTOOD),
        )


class CurrentFormatError(InvalidInputError):
    """It is no earlier format, but that of the present version: a store to be opened as such."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place} is a store of the present version", suggestion="open it as a backend")
