"""Several workers on one database: SQLite here, PostgreSQL if you have one, the same program.

    python examples/shared_database.py
    LANGSWARM_MEMORY_URL=postgresql://user:password@localhost/agents python examples/shared_database.py

Needs `pip install 'langswarm-memory[postgres]'` for PostgreSQL.
"""

import asyncio
import os
import time

from langswarm_memory import Message, create_memory_manager

URL = os.environ.get("LANGSWARM_MEMORY_URL") or "sqlite:///shared.db"
WORKERS, MESSAGES = 4, 25

PER_WORKER = """
SELECT name AS worker, count(*) AS messages, min(seq) AS first, max(seq) AS last
FROM messages WHERE session_id = :session GROUP BY name ORDER BY name
"""


async def work(number: int) -> None:
    """One worker. Elsewhere this is a process or a machine: nothing is shared but the database."""
    async with create_memory_manager(URL) as manager:
        session = await manager.get_or_create_session("shared", user_id="team")
        for count in range(MESSAGES):
            await session.add_message(Message("assistant", f"step {count}", name=f"worker-{number}"))


async def main() -> None:
    async with create_memory_manager(URL) as manager:
        await manager.delete_session("shared")  # of the last time
        start = time.perf_counter()
        await asyncio.gather(*(work(number) for number in range(WORKERS)))
        seconds = time.perf_counter() - start

        session = await manager.get_session("shared")
        seqs = [message.seq async for message in session.iter_messages()]
        print(f"{len(seqs)} messages of {WORKERS} workers in {seconds:.2f} s")
        print("numbered without gaps:", seqs == list(range(1, WORKERS * MESSAGES + 1)))
        for row in await manager.backend.query(PER_WORKER, {"session": "shared"}):
            print(dict(row))


if __name__ == "__main__":
    asyncio.run(main())
