"""``langswarm-memory import``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..backend import BaseMemoryBackend
from ..importing import ImportReport, import_conversations
from ..interfaces.contracts import ProgressCallback
from . import INTERRUPTED
from .output import console, print_error, print_json
from .target import Target, json_option, target_options

SHOWN_FAILURES = 20


@click.command("import")
@click.argument("file", type=click.Path())
@click.option("--user", metavar="USER", help="Owner of the conversations that name none.")
@json_option
@target_options
@click.pass_obj
def import_file(target: Target, file: str, user: str | None, as_json: bool) -> int:
    """Import the conversations of FILE, in OpenAI's format.

    FILE is JSON or JSON lines: objects with 'messages' and, as they like, 'id', 'user_id', 'agent_id', 'tags' and
    'created_at'; or lists of messages; or the messages of one conversation. Other keys become properties.

    The database is made if it is missing. Importing a file again stores nothing again; an import that was interrupted,
    however that happened, goes on where it stopped. A conversation that cannot be stored stays out as a whole, is
    named, and makes the exit code 1; the others are imported.

    With --url memory:// nothing is kept: that only checks the file.
    """

    async def work(backend: BaseMemoryBackend) -> ImportReport:
        with _progress_bar(shown=not as_json) as progress:
            return await import_conversations(backend, file, progress, user_id=user)

    try:
        report = target.run(work, create=True)
    except KeyboardInterrupt:
        print_error("interrupted; the same command goes on where it stopped")
        return INTERRUPTED
    if as_json:
        print_json(_as_dict(report))
    else:
        console().print(_summary(report), soft_wrap=True)
        for failure in report.failures[:SHOWN_FAILURES]:
            print_error(str(failure.error))
        if len(report.failures) > SHOWN_FAILURES:
            print_error(f"and {len(report.failures) - SHOWN_FAILURES:,} more; --json names them all")
    return 1 if report.failures else 0


@contextmanager
def _progress_bar(*, shown: bool) -> Iterator[ProgressCallback | None]:
    out = console(stderr=True)
    if not (shown and out.is_terminal):
        yield None
        return
    columns = (
        TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TextColumn("messages"), TimeElapsedColumn()
    )  # fmt: skip
    with Progress(*columns, console=out) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int, _session_id: str) -> None:
            bar.update(task, completed=done, total=total)

        yield progress


def _summary(report: ImportReport) -> str:
    if report.conversations == 0:
        return "nothing to import: the file holds no conversations"
    if report.unchanged == report.conversations:
        return f"nothing to import: {_number(report.unchanged, 'conversation')} stored already"
    parts = [f"imported {_number(report.imported, 'conversation')}"]
    if report.continued:
        parts.append(f"continued {report.continued:,}")
    if report.unchanged:
        parts.append(f"{report.unchanged:,} stored already")
    if report.failures:
        parts.append(f"{len(report.failures):,} failed")
    return ", ".join(parts) + f"; {_number(report.messages, 'message')} stored"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _as_dict(report: ImportReport) -> dict[str, Any]:
    values = {field.name: getattr(report, field.name) for field in fields(report)}
    values["failures"] = [
        {
            "number": failure.number,
            "line": failure.line,
            "session_id": failure.session_id,
            "error": str(failure.error),
        }
        for failure in report.failures
    ]
    return values
