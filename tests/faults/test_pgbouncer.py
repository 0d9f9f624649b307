"""PgBouncer in transaction mode: each transaction may meet another server process."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from langswarm_memory import Message, PostgresBackend, SessionMetadata
from tests.faults.places import history, texts
from tests.services.host import Account, free_port

pytestmark = pytest.mark.store("postgres")

SERVER_CONNECTIONS = 3  # far fewer than clients, so that their transactions take turns on each of them
WRITERS = 16
ROUNDS = 10

CONFIGURATION = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
log_connections = 0
log_disconnections = 0
"""


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """URL of an empty database, through a pooler in transaction mode."""
    if shutil.which("pgbouncer") is None:
        pytest.skip("no pgbouncer; run: apt-get install pgbouncer")
    account, parts, own_port = Account.needed(), urlsplit(postgres_url), free_port()
    folder = Path(tempfile.mkdtemp(prefix="langswarm-pgbouncer-"))
    (folder / "users").write_text(f'"{parts.username}" "{parts.password or ""}"\n')
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            host=parts.hostname, port=parts.port, own_port=own_port, folder=folder, size=SERVER_CONNECTIONS
        )
    )
    as_account = {}
    if account is not None:  # it refuses to run as root
        account.own(folder)
        as_account = {"user": account.uid, "group": account.gid, "extra_groups": []}
    command = ["pgbouncer", str(configuration)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder, **as_account) as pooler:
        assert pooler.stderr is not None
        try:
            log = []
            while "process up" not in (line := pooler.stderr.readline()):
                log.append(line)
                assert line, "".join(log)
            login = parts.netloc.rpartition("@")[0]
            yield urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{own_port}"))
        finally:
            pooler.terminate()
            shutil.rmtree(folder)


async def test_writers_and_readers_share_few_server_connections(pooled_url: str) -> None:
    async with PostgresBackend(pooled_url, statement_cache_size=0, max_size=WRITERS) as backend:
        shared = await backend.create_session(SessionMetadata("s", max_messages=None))

        async def write(name: str) -> None:
            own = await backend.create_session(SessionMetadata(name))
            for number in range(ROUNDS):
                await shared.add_message(Message("user", name, message_id=f"{name}-{number}"))
                await own.add_messages(texts("m", 3, first=3 * number))
                await own.update_metadata(number=number)
            assert len(await history(backend, name)) == 3 * ROUNDS

        async def read() -> None:
            for _ in range(ROUNDS):
                seqs = [message.seq for message in await shared.get_messages()]
                assert seqs == list(range(1, len(seqs) + 1))
                await shared.get_recent_context(50)
                await backend.list_sessions(limit=5)
                await backend.query("SELECT count(*) AS n FROM messages WHERE session_id = $1", ["s"])

        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(write(f"w{number}"))
                tasks.create_task(read())
        found = [message.message_id for message in await history(backend)]
        assert len(found) == WRITERS * ROUNDS
        for number in range(WRITERS):
            assert [name for name in found if name.startswith(f"w{number}-")] == [
                f"w{number}-{n}" for n in range(ROUNDS)
            ]


async def test_backends_that_open_a_new_database_at_once_agree(pooled_url: str) -> None:
    backends = [PostgresBackend(pooled_url, statement_cache_size=0) for _ in range(4)]
    assert await asyncio.gather(*(backend.connect() for backend in backends)) == [True] * 4
    sessions = await asyncio.gather(*(backend.list_sessions() for backend in backends))
    assert sessions == [[]] * 4
    await asyncio.gather(*(backend.disconnect() for backend in backends))
