"""The main job, from end to end: import agent conversations, read them back, cut a context, ask questions in SQL.

    python examples/demo.py [FILE]

FILE holds conversations in OpenAI's format; by default the three in examples/data. The database is made anew in .demo/.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from langswarm_memory import LangSwarmMemoryError, SQLiteBackend, import_conversations
from langswarm_memory.cli.output import safe
from langswarm_memory.cli.transcript import print_message
from langswarm_memory.conversations import read_conversations

CHECKOUT = Path(__file__).resolve().parents[1]
BUNDLED = CHECKOUT / "examples" / "data" / "support-conversations.json"
DATABASE = CHECKOUT / ".demo" / "memory.db"

SHOWN_MESSAGES = 8
SHOWN_CHARACTERS = 300
CONTEXT_SHARE = 0.35  # of the tokens that are no system message

TOKENS_PER_USER = """\
SELECT coalesce(s.user_id, '(nobody)') AS user,
       count(DISTINCT s.session_id) AS sessions,
       count(*) AS messages, sum(m.token_count) AS tokens
FROM sessions AS s JOIN messages AS m USING (session_id)
GROUP BY s.user_id ORDER BY tokens DESC LIMIT 8"""

TOOLS = """\
SELECT name AS tool, count(*) AS calls,
       sum(content LIKE 'Error%') AS failed,
       round(100.0 * avg(content LIKE 'Error%'), 1) AS "failed %"
FROM messages WHERE role = 'tool'
GROUP BY name ORDER BY calls DESC, tool LIMIT 8"""

INTERESTING = """\
SELECT session_id FROM messages
GROUP BY session_id ORDER BY sum(role = 'tool' AND content LIKE 'Error%') > 0 DESC, sum(role = 'tool') > 0 DESC,
         min(timestamp) LIMIT 1"""

out = Console(highlight=False)


async def main(path: Path) -> None:
    for old in DATABASE.parent.glob(f"{DATABASE.name}*"):
        old.unlink()
    async with SQLiteBackend(db_path=str(DATABASE)) as backend:
        await fill(backend, path)
        await verify(backend, path)
        (row,) = await backend.query(INTERESTING)
        await show_transcript(backend, row["session_id"])
        await show_context(backend, row["session_id"])
        await show_query(backend, "Which user takes how many tokens?", TOKENS_PER_USER)
        await show_query(backend, "Which tools are called, and how often do they fail?", TOOLS)
    show_next_steps(row["session_id"])


async def fill(backend: SQLiteBackend, path: Path) -> None:
    title("Import")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("messages")
    start = time.perf_counter()
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task(path.name, total=None)
        report = await import_conversations(
            backend, path, lambda done, total, _session_id: bar.update(task, completed=done, total=total)
        )
    seconds = time.perf_counter() - start
    report.raise_for_failures()
    if not report.conversations:
        raise SystemExit(f"{path} holds no conversations")
    out.print(
        f"[bold]{report.conversations:,}[/] conversations, [bold]{report.messages:,}[/] messages "
        f"in {seconds:.2f} s, safe on the disk"
    )


async def verify(backend: SQLiteBackend, path: Path) -> None:
    title("Read back")
    count = 0
    for conversation in read_conversations(path):
        session = await backend.get_session(conversation.session_id)
        stored = [message.to_openai_format() for message in await session.get_messages(full_history=True)]
        if json.dumps(stored) != json.dumps(conversation.given):
            raise SystemExit(f"session {conversation.session_id!r} is not what the file says")
        count += len(stored)
    out.print(f"[bold]{count:,}[/] messages in OpenAI's format are [green]exactly those of the file[/], key for key")


async def show_transcript(backend: SQLiteBackend, session_id: str) -> None:
    session = await backend.get_session(session_id)
    messages = await session.get_messages(after=0, limit=SHOWN_MESSAGES)
    title(f"Session {safe(session_id, line=True)}")
    for message in messages:
        print_message(out, message, longest=SHOWN_CHARACTERS)
    left = await session.count_messages() - len(messages)
    if left:
        out.print(f"… and {left:,} more messages", style="dim")


async def show_context(backend: SQLiteBackend, session_id: str) -> None:
    session = await backend.get_session(session_id)
    everything = await session.get_messages(full_history=True)
    system = sum(message.token_count for message in everything if message.role == "system")
    total = sum(message.token_count for message in everything)
    budget = -(-(system + int((total - system) * CONTEXT_SHARE)) // 100) * 100
    context = await session.get_recent_context(max_tokens=budget)

    title(f"What fits a model's context of {budget:,} tokens")
    out.print(
        Syntax(f"context = await session.get_recent_context(max_tokens={budget})", "python", background_color="default")
    )
    kept = {message.seq for message in context}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (("messages", "left"), ("", "left"), ("tokens", "right"), ("", "left")):
        table.add_column(name, justify=justify)
    for group in stretches(everything, kept):
        first, last, is_kept = group[0], group[-1], group[0].seq in kept
        tokens = sum(message.token_count for message in group)
        why = "system messages always come" if is_kept and first.role == "system" else ""
        table.add_row(
            f"{first.seq}" if first is last else f"{first.seq} to {last.seq}",
            "[green]kept[/]" if is_kept else "[red]cut[/]",
            f"{tokens:,}",
            why or ("the newest that fit, tool results never without their call" if is_kept else "still stored"),
            style=None if is_kept else "dim",
        )
    table.add_section()
    used = sum(message.token_count for message in context)
    table.add_row(f"{len(context)} of {len(everything)}", "", f"{used:,}", f"of {total:,}", style="bold")
    out.print(table)


def stretches(messages: list, kept: set) -> list[list]:
    """Split messages where being kept changes, and behind the system messages."""
    found = []
    for message in messages:
        last = found[-1][-1] if found else None
        is_same = last is not None and (last.seq in kept, last.role == "system") == (
            message.seq in kept,
            message.role == "system",
        )
        if is_same:
            found[-1].append(message)
        else:
            found.append([message])
    return found


async def show_query(backend: SQLiteBackend, question: str, sql: str) -> None:
    title(question)
    out.print(Syntax(sql, "sql", background_color="default"))
    rows = await backend.query(sql)
    if not rows:
        out.print("nothing of that in this file", style="dim")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, value in rows[0].items():
        table.add_column(name, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(Text(f"{v:,}" if isinstance(v, int) else safe(str(v), line=True)) for v in row.values()))
    out.print(table)


def show_next_steps(session_id: str) -> None:
    place = os.path.relpath(DATABASE)
    installed = Path(sys.executable).with_name("langswarm-memory")
    command = os.path.relpath(installed) if installed.exists() else "langswarm-memory"
    title(f"The database is {place}. What to try next")
    for line in (
        f"export LANGSWARM_MEMORY_URL=sqlite:///{place}",
        f"{command} sessions",
        f"{command} show {safe(session_id, line=True)} --tokens 1000",
        f'{command} query "SELECT role, count(*) AS messages FROM messages GROUP BY role"',
        f"{command} import your-conversations.jsonl",
        "make demo DATA=your-conversations.jsonl",
    ):
        out.print(f"  {line}", style="cyan", markup=False, soft_wrap=True)
    out.print()
    out.print("More programs: [bold]examples/[/]. How to use it in yours: [bold]docs/getting-started.md[/].")


def title(text: str) -> None:
    out.print()
    out.rule(Text(text, "bold"), align="left")


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("DATA") or BUNDLED
    try:
        asyncio.run(main(Path(given)))
    except LangSwarmMemoryError as exc:
        sys.exit(f"error: {safe(str(exc), line=True)}")
    except KeyboardInterrupt:
        sys.exit(130)
