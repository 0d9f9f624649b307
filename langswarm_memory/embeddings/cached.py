"""Vectors that were made once are not made again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from weakref import WeakKeyDictionary

from ..errors import MemoryConfigurationError
from .failures import bad_answer
from .provider import EmbeddingUsage, IEmbeddingProvider
from .store import FileShelf, MemoryShelf, packed, unpacked
from .texts import readable

Make = Callable[[list[str]], Awaitable[list[list[float]]]]
Flight = asyncio.Task[dict[bytes, bytes]]
"""Makes the vectors of several keys at once."""


class CachedEmbeddingProvider(IEmbeddingProvider):
    """Another provider's vectors, kept by the hash of model and text; in memory, and in a file if one is given.

    The same text is asked for once, however many want it at the same time. A caller who gives up does not stop the
    request: others may wait for it, and the next finds it done. The file holds hashes and vectors (float32), no text.

    Args:
        inner: The provider that makes them. It is closed with this one.
        path: An SQLite file, which several processes may share. None: memory alone.
        max_entries: Vectors kept in memory; those unused for longest go.
        max_file_entries: Vectors kept in the file.
    """

    def __init__(
        self,
        inner: IEmbeddingProvider,
        path: str | Path | None = None,
        max_entries: int = 10_000,
        *,
        max_file_entries: int = 1_000_000,
    ) -> None:
        if max_entries < 0 or max_file_entries < 1:
            raise MemoryConfigurationError("max_entries is from 0 and max_file_entries from 1")
        self.inner = inner
        self.model = inner.model
        self._memory = MemoryShelf(max_entries)
        self._file = FileShelf(Path(path), max_file_entries) if path is not None else None
        self._texts = self._hits = 0
        # By loop: a task of a loop that has ended would be waited for in vain.
        self._flights: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bytes, Flight]] = WeakKeyDictionary()

    async def embed_text(self, text: str) -> list[float]:
        """Return the vector of a text."""
        return (await self.embed_batch([text]))[0]

    async def embed_batch(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in their order; the inner provider sees each new text once."""
        return await self._vectors(readable(texts), "", self.inner.embed_batch)

    async def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question; kept apart from that of a text if the inner provider tells them apart."""
        if type(self.inner).embed_query is IEmbeddingProvider.embed_query:
            return await self.embed_text(text)

        async def one_by_one(texts: list[str]) -> list[list[float]]:
            return [await self.inner.embed_query(each) for each in texts]

        return (await self._vectors(readable([text]), "query", one_by_one))[0]

    def get_dimension(self) -> int:
        """Return the length of every vector."""
        return self.inner.get_dimension()

    async def measure_dimension(self) -> int:
        """Return the length of every vector; a model that nobody knows is asked for one."""
        return await self.inner.measure_dimension()

    @property
    def usage(self) -> EmbeddingUsage:
        """What was asked for and found here, and what the inner provider did for the rest."""
        inner = self.inner.usage
        return EmbeddingUsage(
            self._texts, inner.tokens, inner.requests, inner.retries, self._hits + inner.cache_hits, inner.truncated
        )

    async def aclose(self) -> None:
        """Await what is under way, then close the inner provider."""
        flights = set(self._flights.get(asyncio.get_running_loop(), {}).values())
        if flights:
            await asyncio.wait(flights)
        await self.inner.aclose()

    async def _vectors(self, texts: list[str], kind: str, make: Make) -> list[list[float]]:
        keys = [self._key(kind, text) for text in texts]
        self._texts += len(texts)
        flights = self._flights.setdefault(asyncio.get_running_loop(), {})
        got: dict[bytes, bytes] = {}
        awaited: dict[bytes, Flight] = {}
        missing: dict[bytes, str] = {}
        for key, text in zip(keys, texts, strict=True):
            vector = self._memory.get(key)
            if vector is not None:
                got[key] = vector
            elif key in flights:
                awaited[key] = flights[key]
            else:
                missing[key] = text
        self._hits += len(texts) - len(missing)
        if missing:
            awaited |= dict.fromkeys(missing, self._take_off(missing, flights, make))
        for key, flight in awaited.items():
            got[key] = (await asyncio.shield(flight))[key]
        return [unpacked(got[key]) for key in keys]

    def _take_off(self, missing: dict[bytes, str], flights: dict[bytes, Flight], make: Make) -> Flight:
        """Begin to make vectors, in a task of its own: no caller's cancellation stops it."""
        flight = asyncio.create_task(self._made(missing, make))
        flights.update(dict.fromkeys(missing, flight))

        def land(flight: Flight) -> None:
            for key in missing:
                flights.pop(key, None)
            if not flight.cancelled():
                flight.exception()  # seen, so that asyncio does not report it as lost when every caller has given up

        flight.add_done_callback(land)
        return flight

    async def _made(self, missing: dict[bytes, str], make: Make) -> dict[bytes, bytes]:
        """Return the vectors of texts: from the file, or of the inner provider; kept from now on."""
        found: dict[bytes, bytes] = {}
        if self._file is not None:
            found = await asyncio.to_thread(self._file.get, list(missing))
            self._hits += len(found)
        rest = {key: text for key, text in missing.items() if key not in found}
        new: dict[bytes, bytes] = {}
        if rest:
            vectors = await make(list(rest.values()))
            if len(vectors) != len(rest):
                raise bad_answer("embed", self.model, f"{len(vectors)} vectors for {len(rest)} texts")
            new = {key: packed(vector) for key, vector in zip(rest, vectors, strict=True)}
            found |= new
        for key, vector in found.items():
            self._memory.put(key, vector)
        if new and self._file is not None:
            # Last: if the file takes nothing, what was paid for is at least in memory when the caller comes back.
            await asyncio.to_thread(self._file.put, new)
        return found

    def _key(self, kind: str, text: str) -> bytes:
        return hashlib.sha256("\0".join((self.model, kind, text)).encode()).digest()
