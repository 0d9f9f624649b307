"""What the search index holds of messages: their words, and what searches are confined by, as tokens.

    {prefix}text:{id}:{seq}   hash: text (the words, as ``search.words`` tells them), role, time, metadata, place
                              ('session number', the order of equal scores), and of the session: token (which one of
                              that id it is), session, user, agent, tags

Everything but words, time and place is a token: a letter and a digest, so that no character needs escaping, and case,
blanks and length do not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...interfaces.message import Message
from ...interfaces.records import SessionMetadata
from ...search.words import tokenize
from .layout import NONE

MAX_WORDS = 20_000
"""Words of a message that are indexed, from its beginning. The server stands still while it takes them apart."""

_LAST = 2**53  # the scripts' numbers are exact up to here
_DIGEST_BYTES = 12


def token(text: str) -> str:
    """Return what stands for a text in the index."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES)
    return "x" + digest.hexdigest()


def session_token(session_id: str) -> str:
    """Return what stands for a session's id: readable, and in the same order."""
    return "x" + session_id.encode("utf-8", "surrogatepass").hex()


class Place(NamedTuple):
    """Where a message is: what equal scores are ordered by."""

    session_id: str
    seq: int

    @property
    def text(self) -> str:
        """The place as it stands in the index; ascending by session, descending by seq."""
        return f"{session_token(self.session_id)} {_LAST - self.seq:016d}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Return the place that stands in the index."""
        session, _, number = text.partition(" ")
        return cls(bytes.fromhex(session[1:]).decode(), _LAST - int(number))


def _tokens(texts: Iterable[str]) -> str:
    return ",".join(sorted({token(text) for text in texts})) or NONE


def owner_of(metadata: SessionMetadata) -> str:
    """Return what the texts of a session's messages say of the session: session, user, agent and tags."""
    user, agent = (NONE if one is None else token(one) for one in (metadata.user_id, metadata.agent_id))
    return f" {session_token(metadata.session_id)} {user} {agent} {_tokens(metadata.tags)}"


def scalar_token(key: str, value: str | float | bool) -> str:
    """Return what stands for an entry of a message's metadata: the same for equal values of the same kind."""
    if isinstance(value, bool):
        kind = "bool"
    elif isinstance(value, str):
        kind = "text"
    else:
        kind = "number"
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # 1.0 equals 1
    return token(f"{len(key)}:{key}={kind}:{value}")


def metadata_tokens(metadata: Mapping[str, Any]) -> str:
    """Return the tokens of all entries that can be searched for."""
    found = {scalar_token(key, value) for key, value in metadata.items() if isinstance(value, str | int | float)}
    return ",".join(sorted(found)) or NONE


def text_of(message: Message) -> bytes:
    """Return what the scripts put into the index for a message: role, metadata and words."""
    role = str(getattr(message.role, "value", message.role))
    words = " ".join(tokenize(message.text)[:MAX_WORDS])
    return f"{token(role)} {metadata_tokens(message.metadata or {})} {words}".encode()
