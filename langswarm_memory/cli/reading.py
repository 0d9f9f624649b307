"""``langswarm-memory sessions``, ``show``, ``stats`` and ``health``."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any

import click

from ..backend import BaseMemoryBackend
from ..errors import LangSwarmMemoryError, SessionNotFoundError
from ..interfaces.enums import SessionStatus
from ..interfaces.message import Message
from ..interfaces.records import SessionMetadata
from ..repository import codec
from ..repository.protocol import SessionQuery, SessionRecord
from ..session import BaseMemorySession
from .output import (
    console,
    json_text,
    print_error,
    print_facts,
    print_json,
    print_table,
    safe,
    shown_url,
    size_text,
    write,
)
from .target import Target, json_option, target_options
from .transcript import print_message

SESSIONS_SHOWN = 50
STATUSES = [status.value for status in SessionStatus]


@click.command()
@click.option("--user", metavar="USER", help="Only this user's.")
@click.option("--status", type=click.Choice(STATUSES), help="Only of this status; expired ones are left out otherwise.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    default=SESSIONS_SHOWN,
    show_default=True,
    help="At most so many.",
)
@click.option("--after", metavar="SESSION", help="Go on behind this one, the last of the page before.")
@json_option
@target_options
@click.pass_obj
def sessions(
    target: Target, user: str | None, status: str | None, limit: int, after: str | None, as_json: bool
) -> None:
    """List the sessions, newest first."""

    async def work(backend: BaseMemoryBackend) -> list[SessionRecord]:
        at = backend.clock()
        expired = status == SessionStatus.EXPIRED.value
        begin = None if after is None else await _record(backend, after)
        query = SessionQuery(
            user_id=codec.check_optional_id(user, "--user"),
            status=None if expired else status,
            live_at=None if expired else at,
            expired_at=at if expired else None,
            after=None if begin is None else (begin.metadata.created_at, begin.metadata.session_id),
            limit=limit + 1,  # one more tells whether there is a next page
        )
        return await backend.perform(backend.repository.list_sessions, query)

    found = target.run(work)
    records, more = found[:limit], len(found) > limit
    if as_json:
        print_json([_session_dict(record) for record in records])
        return
    if not records:
        console().print("no sessions", style="dim")
        return
    print_table(
        ["session", "user", "status", "messages", "tokens", "created", "updated", "tags"],
        [
            [
                record.metadata.session_id,
                record.metadata.user_id,
                status or record.metadata.status.value,
                f"{record.message_count:,}",
                f"{record.token_count:,}",
                record.metadata.created_at,
                record.metadata.updated_at,
                ", ".join(record.metadata.tags),
            ]
            for record in records
        ],
        numeric=["messages", "tokens"],
    )
    if more:
        last = safe(records[-1].metadata.session_id, line=True)
        console(stderr=True).print(f"there are more: --after {last}", style="dim", soft_wrap=True)


async def _record(backend: BaseMemoryBackend, session_id: str) -> SessionRecord:
    codec.check_id(session_id, "the session's id")
    record = await backend.perform(backend.repository.fetch_session, session_id)
    if record is None:
        raise SessionNotFoundError(session_id)
    return record


def _session_dict(record: SessionRecord) -> dict[str, Any]:
    values = {field.name: getattr(record.metadata, field.name) for field in fields(SessionMetadata)}
    return {**values, "message_count": record.message_count, "token_count": record.token_count}


@click.command()
@click.argument("session")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Only the newest N messages.")
@click.option("--tokens", type=click.IntRange(0), metavar="N", help="What a model would be given within N tokens.")
@click.option("--full", is_flag=True, help="The whole history, not only the session's window.")
@click.option("--openai", is_flag=True, help="Print the messages in OpenAI's format, exactly as they came in.")
@json_option
@target_options
@click.pass_obj
def show(
    target: Target, session: str, limit: int | None, tokens: int | None, full: bool, openai: bool, as_json: bool
) -> None:
    """Show the conversation of SESSION.

    That is its window: system messages and the newest others, as many as the session's 'max_messages'. Control
    characters in messages are shown as escapes.
    """
    if tokens is not None and (full or limit is not None):
        raise click.UsageError("--tokens excludes --full and --limit")

    async def work(backend: BaseMemoryBackend) -> None:
        record = await _record(backend, session)
        handle = backend.session_class(record.metadata, backend)
        messages = _chosen(handle, limit, tokens, full)
        if openai:
            await _print_array((message.to_openai_format() async for message in messages), "")
        elif as_json:
            write(sys.stdout, '{\n"session": ' + json_text(_session_dict(record)) + ',\n"messages": ')
            await _print_array(({"seq": message.seq, **message.to_dict()} async for message in messages), "}\n")
        else:
            await _print_transcript(record, messages)

    target.run(work)


async def _chosen(
    session: BaseMemorySession, limit: int | None, tokens: int | None, full: bool
) -> AsyncIterator[Message]:
    if full and limit is None:
        async for message in session.iter_messages():  # in flat memory, however long it is
            yield message
        return
    if tokens is not None:
        messages = await session.get_recent_context(tokens)
    else:
        messages = await session.get_messages(limit, full_history=full)
    for message in messages:
        yield message


async def _print_array(values: AsyncIterator[Any], end: str) -> None:
    before = "["
    async for value in values:
        write(sys.stdout, f"{before}\n{json_text(value)}")
        before = ","
    write(sys.stdout, f"{'[]' if before == '[' else chr(10) + ']'}\n{end}")


async def _print_transcript(record: SessionRecord, messages: AsyncIterator[Message]) -> None:
    metadata, out = record.metadata, console()
    facts: dict[str, object] = {
        "session": metadata.session_id,
        "user": metadata.user_id,
        "agent": metadata.agent_id,
        "status": metadata.status.value,
        "created": metadata.created_at,
        "expires": metadata.expires_at,
        "tags": ", ".join(metadata.tags),
        "properties": metadata.properties or None,
        "stored": f"{record.message_count:,} messages, {record.token_count:,} tokens",
    }
    print_facts({name: value for name, value in facts.items() if value not in (None, "")})
    out.print()
    count = total = 0
    async for message in messages:
        print_message(out, message)
        count += 1
        total += message.token_count or 0
    if count < record.message_count:
        out.print(
            f"{count:,} of {record.message_count:,} messages, {total:,} tokens; --full shows all",
            style="dim",
            soft_wrap=True,
        )


@click.command()
@json_option
@target_options
@click.pass_obj
def stats(target: Target, as_json: bool) -> None:
    """Say how much is stored."""

    async def work(backend: BaseMemoryBackend) -> dict[str, Any]:
        found = await backend.perform(backend.repository.stats)
        return {
            "database": shown_url(target.url),
            "sessions": found.sessions,
            "sessions_by_status": dict(found.sessions_by_status),
            "messages": found.messages,
            "tokens": found.tokens,
            "messages_per_session": round(found.messages / found.sessions, 1) if found.sessions else 0.0,
            "size_bytes": found.size_bytes,
        }

    found = target.run(work)
    if as_json:
        print_json(found)
        return
    by_status = ", ".join(f"{count:,} {status}" for status, count in found["sessions_by_status"].items())
    print_facts(
        {
            "database": found["database"],
            "sessions": f"{found['sessions']:,}" + (f" ({by_status})" if by_status else ""),
            "messages": f"{found['messages']:,} ({found['messages_per_session']:,} per session)",
            "tokens": f"{found['tokens']:,}",
            "size": size_text(found["size_bytes"]),
        }
    )


@click.command()
@json_option
@target_options
@click.pass_obj
def health(target: Target, as_json: bool) -> int:
    """Say whether the database answers; exit code 1 if it does not."""
    try:
        report = target.run(lambda backend: backend.health_check())  # one that cannot be reached is in the report
    except LangSwarmMemoryError as exc:
        report = {"status": "unhealthy", "connected": False, "error": str(exc)}
    healthy = report["status"] != "unhealthy"
    if as_json:
        print_json({"database": shown_url(target.url), **report})
    elif healthy:
        print_facts(
            {
                "database": shown_url(target.url),
                "status": report["status"],
                "response": f"{report['response_time_ms']:,} ms",
                "sessions": f"{report['session_count']:,}",
                "messages": f"{report['message_count']:,}",
            }
        )
    else:
        print_error(f"{shown_url(target.url)} is unhealthy: {report['error']}")
    return 0 if healthy else 1
