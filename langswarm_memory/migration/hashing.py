"""One hash of what a session holds, equal in every store that holds the same.

SHA-256 over, in this order:

* every field of the metadata: id, owner, agent, workflow, limits, summary settings, status, the three instants to the
  microsecond, tags and properties with the order of their keys and the form of their numbers;
* every message, oldest first: every field of it, likewise exact, its token count included;
* every summary, ordered by instant and content: every field. Of its range, how many messages lie in front of it and how
  many up to its end; of an id that tells a range (see ``summaries/coverage.py``), only whether it is one of its own
  stretch.

Positions themselves (``seq``), revisions and counters belong to a store and are not covered: the order of the messages
is.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence

from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata
from ..repository.documents import pack_message, pack_metadata, pack_summary
from .closing import closing
from .numbering import Ranks
from .source import Source, SourceSession

_KINDS = {"metadata": b"S", "message": b"M", "summary": b"Y"}


class ContentHash:
    """The hash of a session, fed page by page.

    Args:
        metadata: The session.
        summaries: Its summaries.
    """

    def __init__(self, metadata: SessionMetadata, summaries: Sequence[ConversationSummary]) -> None:
        self._hash = hashlib.sha256()
        self._summaries = summaries
        self._ranks = Ranks(summaries)
        self._count = 0
        self._add("metadata", pack_metadata(metadata))

    def _add(self, kind: str, document: bytes) -> None:
        self._hash.update(b"%s%d:" % (_KINDS[kind], len(document)))
        self._hash.update(document)

    def add(self, page: Sequence[Message]) -> None:
        """Take the next messages."""
        self.add_packed(page, [pack_message(message) for message in page])

    def add_packed(self, page: Sequence[Message], documents: Sequence[bytes]) -> None:
        """Take the next messages, which are packed already."""
        for document in documents:
            self._add("message", document)
        seqs = [self._count + place if one.seq is None else one.seq for place, one in enumerate(page, 1)]
        self._ranks.add(seqs)
        self._count += len(page)

    def hexdigest(self) -> str:
        """Return the hash, all messages being taken; call it once."""
        packed = [(summary.created_at, pack_summary(self._ranks.plain(summary))) for summary in self._summaries]
        for _, document in sorted(packed):
            self._add("summary", document)
        return self._hash.hexdigest()


async def hash_session(session: SourceSession) -> str:
    """Return the hash of a session of any source."""
    content = ContentHash(session.metadata, await session.summaries())
    async with closing(session.pages()) as pages:
        async for page in pages:
            content.add(page)
    return content.hexdigest()


async def content_hashes(source: Source) -> AsyncIterator[tuple[str, str]]:
    """Yield the id and the hash of each session of a source, which is open."""
    async with closing(source.sessions()) as sessions:
        async for session in sessions:
            yield session.metadata.session_id, await hash_session(session)
