"""Rules for opening and closing."""

from __future__ import annotations

from ..repository.protocol import MemoryRepository
from .samples import filled, new_message, read_ids


class LifecycleRules:
    """``open close ping``."""

    async def test_open_is_idempotent(self, repository: MemoryRepository) -> None:
        """A second time, it changes nothing."""
        await filled(repository, [new_message(1)])
        await repository.open()
        assert await read_ids(repository) == ["m1"]

    async def test_close_is_idempotent(self, repository: MemoryRepository) -> None:
        """Whoever closes twice gets no error."""
        await repository.close()
        await repository.close()

    async def test_reopened_store_works(self, repository: MemoryRepository) -> None:
        """What is kept beyond the connection is there again."""
        await filled(repository, [new_message(1)])
        await repository.close()
        await repository.open()
        if repository.features.persistent:
            assert await read_ids(repository) == ["m1"]
        else:
            await repository.delete_sessions(["s"])
            await filled(repository, [new_message(1)])

    async def test_ping_of_an_open_store_answers(self, repository: MemoryRepository) -> None:
        """Without error, that is, and however often."""
        for _ in range(3):
            await repository.ping()
