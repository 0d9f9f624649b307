"""An import that ends at any moment goes on where it stopped: nothing torn, nothing doubled, nothing left out."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import InMemoryBackend, StorageUnavailableError, create_memory_backend, import_conversations
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.importing import BATCH
from tests.importing.conversations import CHECKOUT, COLLECTED, Messages, as_array, as_lines, everything, exact, write

SECONDS = 60.0
WRITES = ("insert_session", "append")

LONG: Messages = [{"role": "user" if n % 2 else "assistant", "content": f"turn {n}"} for n in range(2 * BATCH + 10)]
FILE: list[dict[str, Any]] = [*COLLECTED, {"id": "long", "messages": LONG}, {"id": "last", "messages": LONG[:3]}]
WANTED = {conversation["id"]: exact(conversation["messages"]) for conversation in FILE}
CALLS = 4 + 6  # an insert for each conversation, an append for each batch


class Cut(Exception):
    """Stands for the end of the process."""


def cut_at(backend: BaseMemoryBackend, number: int, *, afterwards: bool) -> None:
    """Let the backend's n-th write fail.

    Args:
        backend: The backend.
        number: Which write, from 1.
        afterwards: Whether it is done, and only the answer is lost.
    """
    count = 0

    def wrapped(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == number and not afterwards:
                raise Cut
            result = await write(*args, **kwargs)
            if count == number:
                raise Cut
            return result

        return call

    for name in WRITES:
        setattr(backend.repository, name, wrapped(getattr(backend.repository, name)))


async def contents(backend: BaseMemoryBackend) -> dict[str, str]:
    return {session_id: exact(messages) for session_id, messages in (await everything(backend)).items()}


@pytest.mark.parametrize("afterwards", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("number", range(1, CALLS + 1))
async def test_import_that_ends_at_a_write_goes_on(number: int, afterwards: bool, tmp_path: Path) -> None:
    path = write(tmp_path, as_lines(FILE))
    backend = InMemoryBackend()
    originals = {name: getattr(backend.repository, name) for name in WRITES}
    cut_at(backend, number, afterwards=afterwards)
    with pytest.raises(Cut):
        await import_conversations(backend, path)
    for name, original in originals.items():
        setattr(backend.repository, name, original)
    report = await import_conversations(backend, path)
    assert report.failures == ()
    assert await contents(backend) == WANTED


async def test_import_writes_as_often_as_the_tests_above_cut_it(tmp_path: Path) -> None:
    backend = InMemoryBackend()
    cut_at(backend, CALLS + 1, afterwards=False)
    await import_conversations(backend, write(tmp_path, as_lines(FILE)))
    assert await contents(backend) == WANTED


async def test_conversation_up_to_a_batch_is_never_stored_in_part(tmp_path: Path) -> None:
    backend = InMemoryBackend()
    cut_at(backend, 4, afterwards=False)  # the append of the second conversation
    with pytest.raises(Cut):
        await import_conversations(backend, write(tmp_path, as_lines(FILE)))
    assert await contents(backend) == {"order": WANTED["order"], "weather": "[]"}


async def test_failure_of_the_store_is_raised(tmp_path: Path) -> None:
    backend = InMemoryBackend()

    async def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise StorageUnavailableError("in_memory", "append")

    backend.repository.append = fail  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailableError):
        await import_conversations(backend, write(tmp_path, as_lines(FILE)))


async def test_cancelled_import_goes_on(backend: BaseMemoryBackend, tmp_path: Path) -> None:
    path = write(tmp_path, as_array(FILE))
    running = asyncio.ensure_future(import_conversations(backend, path, lambda *_call: running.cancel()))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(await backend.list_sessions()) == 1
    await import_conversations(backend, path)
    assert await contents(backend) == WANTED


async def test_two_imports_at_once_store_everything_once(backend: BaseMemoryBackend, tmp_path: Path) -> None:
    path = write(tmp_path, as_array(FILE))
    reports = await asyncio.gather(*(import_conversations(backend, path) for _ in range(2)))
    assert [report.failures for report in reports] == [(), ()]
    assert await contents(backend) == WANTED


# --- the end of the process ----------------------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from langswarm_memory import create_memory_backend, import_conversations

def progress(done, total, session_id):
    print(done, flush=True)

async def main(url, path):
    backend = create_memory_backend(url)
    await import_conversations(backend, path, progress)
    await backend.disconnect()

asyncio.run(main(*sys.argv[1:]))
"""


def start(url: str, path: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LANGSWARM_")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CHILD, url, str(path)],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'memory.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


def kill_after(lines: int, url: str, path: Path) -> None:
    """Start an import and kill it as soon as it has told of so many batches; it is in the middle of the next."""
    with start(url, path) as child:
        assert child.stdout is not None
        for _ in range(lines):
            assert child.stdout.readline(), "it ended before it was killed"
        child.kill()
        child.wait(SECONDS)


async def test_killed_import_is_completed_by_the_next(url: str, tmp_path: Path) -> None:
    short = [{"id": f"s{n}", "messages": LONG[: n % 7]} for n in range(60)]
    values = [*FILE, *short]
    path = write(tmp_path, as_lines(values))
    for lines in (1, 4, 5, 30):
        await asyncio.to_thread(kill_after, lines, url, path)
    async with create_memory_backend(url) as backend:  # type: ignore[attr-defined]
        await import_conversations(backend, path)
        wanted = {conversation["id"]: exact(conversation["messages"]) for conversation in values}
        assert await contents(backend) == wanted


async def test_killed_import_leaves_only_whole_conversations_and_batches(url: str, tmp_path: Path) -> None:
    path = write(tmp_path, as_lines(FILE))
    await asyncio.to_thread(kill_after, 3, url, path)  # in the middle of the long one
    lengths = {name: [0, len(json.loads(messages))] for name, messages in WANTED.items()}
    lengths["long"] += [BATCH, 2 * BATCH]
    async with create_memory_backend(url) as backend:  # type: ignore[attr-defined]
        for session_id, messages in (await everything(backend)).items():
            assert len(messages) in lengths[session_id]
            assert exact(messages) == exact(json.loads(WANTED[session_id])[: len(messages)])
