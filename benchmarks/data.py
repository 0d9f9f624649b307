"""What is stored: conversations of the size that agents have, the same for both sides and in every run."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from langswarm_memory.tokens import MESSAGE_OVERHEAD, estimate_text

USERS = 20
TEXT_CHARACTERS = (200, 400)
START = datetime(2025, 1, 1, tzinfo=UTC)

SENTENCES = (
    "I have looked up the reservation and it is still open for changes until tomorrow evening.",
    "The flight at 07:35 has two seats left, but the fare is higher than the one you paid before.",
    "Could you check whether the refund for order 48-1193 has been sent to the original card?",
    "The search returned twelve documents; three of them mention the retention policy directly.",
    "According to the log the job failed at step four because the token had expired.",
    "Yes, please go ahead and book it, and send the confirmation to my work address.",
    "Here is what I would do next: compare both quotes, ask for the missing invoice, then decide.",
    "The tests pass on my machine, though the third one needs nearly a minute to finish.",
    "No, the café in Zürich is closed on Mondays, so we should meet somewhere else.",
    "I cannot change the name on the ticket, but I can cancel it and book a new one for you.",
    "That makes 1,284.50 in total, of which 214.08 is tax; shall I prepare the summary?",
    "Thanks. One more thing: the address in the profile is outdated, it should be the new office.",
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before either side has made it its own."""

    message_id: str
    role: str
    content: str
    timestamp: datetime
    token_count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A session to be stored."""

    session_id: str
    user_id: str
    created_at: datetime


class Writer:
    """Writes drafts, always the same ones for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._count = 0

    def drafts(self, count: int) -> list[Draft]:
        """Return the next messages, users and assistants by turns."""
        return [self._draft() for _ in range(count)]

    def system(self) -> Draft:
        """Return a system message, with which real conversations begin."""
        return self._draft("system")

    def _draft(self, role: str | None = None) -> Draft:
        self._count += 1
        size, text = self._random.randint(*TEXT_CHARACTERS), ""
        while len(text) < size:
            text += self._random.choice(SENTENCES) + " "
        text = text[:size]
        return Draft(
            str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            role or ("user", "assistant")[self._count % 2],
            text,
            START + timedelta(seconds=self._count),
            tokens(text),
        )


def tokens(text: str) -> int:
    """Return the tokens of a message with this text as the package estimates them: both stop at the same message."""
    return estimate_text(text) + MESSAGE_OVERHEAD


def plans(count: int) -> list[Plan]:
    """Return sessions, spread over the users, each created later than the one before."""
    return [
        Plan(f"listed-{index:06}", f"user-{index % USERS}", START + timedelta(seconds=index)) for index in range(count)
    ]
