"""The main job on real input: import conversations, read them back exactly, show one, bound it, query them.

    python examples/demo.py [FILE]

FILE holds conversations in OpenAI's format; without it the three in examples/data are used. Everything is kept in a
fresh SQLite file under .demo/.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import case, func, select

from langswarm_memory import Message, SQLiteBackend, import_conversations
from langswarm_memory.cli.transcript import print_message
from langswarm_memory.models import MessageRow, SessionRow

CHECKOUT = Path(__file__).resolve().parents[1]
SAMPLE = CHECKOUT / "examples" / "data" / "support-conversations.json"
DATABASE = CHECKOUT / ".demo" / "memory.db"
ROOM = 400  # tokens of the context that is shown, besides the system message
SHOWN = 12  # messages of the transcript


async def main(path: Path) -> int:
    out = Console(highlight=False)
    for old in DATABASE.parent.glob("memory.db*"):
        old.unlink()
    async with SQLiteBackend(db_path=str(DATABASE)) as backend:
        out.rule("1  import")
        report = await import_conversations(backend, path)
        out.print(f"{report.imported} conversations, {report.messages:,} messages from {path.name}")
        if report.failures:
            for failure in report.failures:
                out.print(f"not imported: {failure.error}", markup=False)
            return 1
        again = await import_conversations(backend, path)
        out.print(f"imported again: {again.unchanged} unchanged, {again.messages} messages stored")

        out.rule("2  read back")
        given = [conversation for conversation in conversations(path) if "id" in conversation]
        exact = await read_back(backend, given)
        out.print(f"{exact} of {len(given)} conversations read back as exactly what the file has")
        if exact != len(given):
            return 1

        longest = (
            await rows(backend, select(SessionRow.session_id).order_by(SessionRow.message_count.desc()).limit(1))
        )[0][0]
        session = await backend.get_session(longest)
        assert session is not None
        out.rule(f"3  transcript of {longest}")
        history = await session.get_messages(full_history=True)
        for message in history[:SHOWN]:
            print_message(out, message, longest=300)
        out.print(f"… {len(history) - SHOWN} more messages\n" if len(history) > SHOWN else "")

        budget = ROOM + sum(message.token_count or 0 for message in history if role(message) == "system")
        out.rule(f"4  what a model with room for {budget:,} tokens sees")
        context = await session.get_recent_context(budget)
        tokens = sum(message.token_count or 0 for message in context)
        out.print(f"{len(context)} of {len(history)} messages, {tokens:,} tokens, system message first:")
        for message in context:
            out.print(
                f"  #{message.seq:<3} {role(message):<10} {message.token_count:>4}  {preview(message)}", markup=False
            )

        out.rule("5  relational queries")
        await show(out, backend, "tokens per user", ["user", "sessions", "messages", "tokens"], TOKENS)
        await show(out, backend, "tools and how often they fail", ["tool", "results", "failed"], TOOLS)
    name = DATABASE.relative_to(Path.cwd()) if DATABASE.is_relative_to(Path.cwd()) else DATABASE
    out.print(
        f"\nThe database is {name}. Next: .venv/bin/langswarm-memory --url sqlite:///{name} sessions", markup=False
    )
    return 0


TOKENS = (
    select(
        func.coalesce(SessionRow.user_id, "(none)"),
        func.count(),
        func.sum(SessionRow.message_count),
        func.sum(SessionRow.token_count),
    )
    .group_by(SessionRow.user_id)
    .order_by(func.sum(SessionRow.token_count).desc())
    .limit(10)
)

TOOLS = (
    select(MessageRow.name, func.count(), func.sum(case((MessageRow.content.like("Error%"), 1), else_=0)))
    .where(MessageRow.role == "tool")
    .group_by(MessageRow.name)
    .order_by(func.count().desc())
    .limit(10)
)


async def rows(backend: SQLiteBackend, statement: object) -> list[tuple[object, ...]]:
    async with backend.orm() as db:
        return [tuple(row) for row in await db.execute(statement)]  # type: ignore[call-overload]


async def show(out: Console, backend: SQLiteBackend, title: str, columns: list[str], statement: object) -> None:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in await rows(backend, statement):
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    out.print(table)


def conversations(path: Path) -> list[dict[str, object]]:
    return json.loads(path.read_text(encoding="utf-8-sig")) if path.suffix == ".json" else []


async def read_back(backend: SQLiteBackend, given: list[dict[str, object]]) -> int:
    """Count the conversations that come back as the file has them, key order included."""
    exact = 0
    for conversation in given:
        session = await backend.get_session(str(conversation["id"]))
        assert session is not None
        stored = [message.to_openai_format() for message in await session.get_messages(full_history=True)]
        exact += json.dumps(stored) == json.dumps(conversation["messages"])
    return exact


def role(message: Message) -> str:
    return str(getattr(message.role, "value", message.role))


def preview(message: Message) -> str:
    calls = ", ".join(call["function"]["name"] + "()" for call in message.tool_calls or ())
    text = " ".join((message.text or f"calls {calls}").split())
    return text if len(text) <= 90 else text[:89] + "…"


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE)))
