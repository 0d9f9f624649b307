"""Documents of LangSwarm V1 and of memswarm in Redis: a string per document, its key without any prefix."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from .base import PAGE
from .documents import Document, DocumentsSource
from .layouts import read_object
from .redis_source import RedisSource, translated
from .values import decode_text


class RedisDocumentsSource(RedisSource, DocumentsSource):
    """Strings that hold ``{"value": ..., "metadata": ...}``, as ``str()`` of a dict or as JSON, in the order of keys.

    The keys of all documents are kept in memory.
    """

    format = "LangSwarm V1 documents"

    async def names(self) -> AsyncIterator[list[bytes]]:
        """Yield the keys of documents."""
        async for keys in self.keys("", "string"):
            yield [document.place for document in await self._fetch(keys)]

    async def _walk(self) -> AsyncIterator[list[Document]]:
        found = sorted({key async for keys in self.names() for key in keys})
        for start in range(0, len(found), PAGE):
            yield await self._fetch(found[start : start + PAGE])

    async def _fetch(self, places: Sequence[Any]) -> list[Document]:
        if not places:
            return []
        with translated():
            stored = await self.client.mget(list(places))
        found = []
        for key, text in zip(places, stored, strict=True):
            value = read_object(text) if isinstance(text, bytes) else None
            if value is not None and "value" in value and value.keys() <= {"value", "metadata"}:
                found.append(Document(key, decode_text(key), value["value"], value.get("metadata") or {}))
        return found
