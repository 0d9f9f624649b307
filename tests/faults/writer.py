"""A process that appends and says what was acknowledged; for the tests of crashes and of several processes."""

from __future__ import annotations

import asyncio
import multiprocessing
from itertools import count
from multiprocessing.connection import Connection

# Imported here so that the fork server has all of it before it forks: a process then starts in milliseconds.
import langswarm_memory.backends.postgres
import langswarm_memory.backends.sqlite
import langswarm_memory.context  # noqa: F401
from langswarm_memory import Message, create_memory_manager

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload([__name__])


class Writer:
    """A running writer.

    Args:
        url: Which database.
        session_id: Which session.
        name: Begins the ids of its messages: ``name-number-place``.
        rounds: How many batches; 0: until it is killed.
        batch: Messages per batch.
    """

    def __init__(self, url: str, session_id: str, name: str, rounds: int, batch: int) -> None:
        self.name = name
        self._reports, theirs = FORK.Pipe(duplex=False)
        self._process = FORK.Process(target=_run, args=(url, session_id, name, rounds, batch, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def acknowledged(self) -> int:
        """Wait for the next acknowledged batch and return its number."""
        return int.from_bytes(self._reports.recv_bytes())

    def kill(self) -> int:
        """Kill it as ``kill -9`` does; return how many more batches were acknowledged before."""
        self._process.kill()
        more = 0
        while True:
            try:
                self._reports.recv_bytes()
            except EOFError:
                break
            more += 1
        self._close()
        return more

    def finish(self) -> int:
        """Wait for its end and return its exit code."""
        self._process.join(120)
        code = self._process.exitcode
        self._close()
        return -1 if code is None else code

    def _close(self) -> None:
        self._process.join(30)
        self._process.close()
        self._reports.close()


def _run(url: str, session_id: str, name: str, rounds: int, batch: int, reports: Connection) -> None:
    asyncio.run(_write(url, session_id, name, rounds, batch, reports))


async def _write(url: str, session_id: str, name: str, rounds: int, batch: int, reports: Connection) -> None:
    manager = create_memory_manager(url)
    assert manager is not None
    session = await manager.get_or_create_session(session_id)
    for number in range(rounds) if rounds else count():
        messages = [Message("user", f"{name} {number}", message_id=f"{name}-{number}-{at}") for at in range(batch)]
        await session.add_messages(messages)
        reports.send_bytes(number.to_bytes(4))
    await manager.stop()
